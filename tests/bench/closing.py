"""Time closing sessions against the least that any program could do, that a safe one could, and jq and bash."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from .made import AGENT, build, place
from .page import Goal, goals, put, table
from .side_by_side import Case, Taken, closer_environ, least_safe, measure, ours

KIB = 1024
HERE = Path(__file__).parent
STAMP = "2016-11-21T00-00-00.000Z"


class Job(NamedTuple):
    """One row of the table: how many sessions there are, of what size, which go, how often it is timed.

    `most`: how many times the floor it may take, None where there is no goal.
    """

    verb: str
    count: int
    sessions: int
    entry_bytes: int
    rounds: int
    most: float | None = None

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.verb} {self.count} of {self.sessions:,}, {self.entry_bytes // KIB} KiB"


JOBS = (
    Job("close", 1, 100, 4 * KIB, 5),
    Job("close", 100, 10_000, 4 * KIB, 7, 1.5),
    Job("close", 100, 10_000, 20 * KIB, 7, 1.2),
    Job("keep", 3, 1_000, 4 * KIB, 5),
    Job("keep", 3, 1_000, 20 * KIB, 5),
    Job("keep", 3, 10_000, 4 * KIB, 7, 2.0),
    Job("keep", 3, 10_000, 20 * KIB, 7, 1.2),
    Job("keep", 3, 100_000, 4 * KIB, 7, 1.5),
)
# mv once a file: of ten thousand it would take most of the time of the benchmark.
MOST_BY_HAND = 1_000
MOST_GROWTH = 10.5


def time_job(job: Job, scratch: Path) -> tuple[dict[str, Taken], int]:
    """Return what each way takes, and the size of the store in bytes."""
    made, state = scratch / "made", scratch / "state"
    for folder in (made, state):
        shutil.rmtree(folder, ignore_errors=True)
    # A child's peak counts that of its parent when it was born, so the store is made elsewhere.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ids = pool.apply(build, (made, state, job.sessions, job.entry_bytes))
    index = state / "agents" / AGENT / "sessions" / "sessions.json"
    size = (made / "agents" / AGENT / "sessions" / "sessions.json").stat().st_size
    # The main session stays, too: it is one of those that are named to be kept.
    numbers = range(1, 1 + job.count) if job.verb == "close" else range(job.count, job.sessions)
    named = range(1, 1 + job.count) if job.verb == "close" else range(job.count)
    keys = [f"agent:{AGENT}:project-{number}" if number else f"agent:{AGENT}:main" for number in named]
    (scratch / "keys.json").write_text(json.dumps(keys))
    (scratch / "files.txt").write_text("\n".join(f"{ids[number]}.jsonl" for number in numbers))
    left = size * (job.sessions - len(numbers)) // job.sessions

    def prepare() -> None:
        place(made, state)

    def verify() -> None:
        gone = len(list(index.parent.glob("*.deleted.*")))
        assert gone == len(numbers), f"{gone} transcripts archived, {len(numbers)} expected"

    command = {"close": "close-project-batch", "keep": "keep-only-sessions"}[job.verb]
    words = [*ours(command), "--state-dir", str(state), "--agent", AGENT, "--json", "--yes"]
    floor = [sys.executable, "-I", "-S", str(HERE / "floor.py"), str(index), str(left)]
    floor += [str(scratch / "files.txt"), STAMP]
    by_hand = ["bash", str(HERE / "by_hand.sh"), str(index), str(scratch / "keys.json"), job.verb, STAMP]
    safe = [*least_safe(state), job.verb, *keys]
    cases = [
        Case("ours", [*words, *keys], prepare, verify),
        Case("floor", floor, prepare, verify),
        Case("safe", safe, prepare, verify),
    ]
    if shutil.which("jq") and job.sessions <= MOST_BY_HAND:
        cases.append(Case("by-hand", by_hand, prepare, verify))
    environ = closer_environ(scratch)
    with tempfile.TemporaryDirectory(dir=scratch) as results:
        return measure(cases, job.rounds, Path(results), environ), size


def main() -> int:
    """Put the table into the page."""
    rows, medians, reached = [], {}, []
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        for job in JOBS:
            taken, size = time_job(job, Path(scratch))
            own, floor, safe, hand = taken["ours"], taken["floor"], taken["safe"], taken.get("by-hand")
            medians[job] = own.median
            rows.append(
                [
                    job.title,
                    f"{size / 2**20:.1f} MiB",
                    f"{own.median:.2f} s",
                    f"{floor.median:.3f} s",
                    f"{own.against(floor):.1f}",
                    f"{safe.median:.2f} s",
                    f"{safe.against(floor):.1f}",
                    f"{own.against(safe):.2f}",
                    f"{own.against(hand):.2f}" if hand else "—",
                    f"{own.peak / size:.1f}",
                ]
            )
            if job.most is not None:
                reached.append(Goal(f"{job.title}: ≤ {job.most} of the floor", own.against(floor), job.most))
            print(rows[-1], flush=True)
    head = [
        "sessions", "store", "ours", "floor", "ours / floor", "safe", "safe / floor", "ours / safe", "ours / jq",
        "memory / store",
    ]  # fmt: skip
    small, big = (
        medians[job] for job in JOBS if job.verb == "keep" and job.sessions >= 10_000 and job.entry_bytes < 5000
    )
    reached.append(Goal(f"keep 3: 100,000 ≤ {MOST_GROWTH} times 10,000", big / small, MOST_GROWTH))
    put("closing", f"{table(head, rows)}\n{goals('closing', reached)}")
    return 0
