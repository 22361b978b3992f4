"""Time the undo of closes in one store, small rows and large ones, against those closes."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import NamedTuple

from .made import AGENT, build
from .page import Goal, goals, put, table
from .side_by_side import REPOSITORY, Spent, closer_environ, spent

ROUNDS = 7
MOST_MEMORY, MOST_MICROSECONDS = 2.5, 60


class Job(NamedTuple):
    """A store whose sessions are all closed but three, and how much longer than that its undo may take."""

    sessions: int
    entry_bytes: int
    most: float


JOBS = (Job(10_000, 4 << 10, 1.2), Job(240, 500 << 10, 1.5))


def main() -> int:
    """Put the table into the page."""
    rows, reached = [], []
    for job in JOBS:
        with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
            size, pairs = _measured(job, Path(scratch))
        name = f"{job.sessions:,} rows, {size / 1e6:.0f} MB"
        dear = statistics.median(undo.seconds / close.seconds for close, undo in pairs)
        worked = statistics.median(undo.processor / close.processor for close, undo in pairs)
        heavy = max(undo.peak for _, undo in pairs) / size
        close, undo = ([one[at] for one in pairs] for at in (0, 1))
        rows.append([
            name, _shown(close), _shown(undo), f"{dear:.2f}", f"{worked:.2f}", f"{heavy:.1f}",
        ])  # fmt: skip
        reached += [
            Goal(f"undo of {name}: ≤ {job.most} of the close", dear, job.most),
            Goal(f"undo of {name}: memory ≤ {MOST_MEMORY} times the store", heavy, MOST_MEMORY),
        ]
        if job.sessions >= 10_000:
            each = statistics.median(one.processor for one in close) / (job.sessions - 3) * 1e6
            what = f"close of {name}: processor time ≤ {MOST_MICROSECONDS} µs a session that goes"
            reached.append(Goal(what, each, MOST_MICROSECONDS))
    head = ["store", "close", "undo", "against the close", "by processor time", "peak memory / store"]
    said = f"All sessions but three are closed; medians of {ROUNDS} rounds, time and processor time."
    put("undo", f"{said}\n\n{table(head, rows)}\n{goals(reached)}")
    return 0


def _shown(taken: list[Spent]) -> str:
    seconds, processor = (statistics.median(values) for values in zip(*((one[:2]) for one in taken), strict=True))
    return f"{seconds:.2f} s, {processor:.2f} s"


def _measured(job: Job, scratch: Path) -> tuple[int, list[tuple[Spent, Spent]]]:
    """Return the bytes of the store, and what each round took: the close, and its undo."""
    made, state = scratch / "made", scratch / "state"
    # A child's peak counts that of its parent when it was born, so the store is made elsewhere.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(build, (made, state, job.sessions, job.entry_bytes))
    kept = [f"agent:{AGENT}:main", *(f"agent:{AGENT}:project-{number}" for number in (1, 2))]
    index, environ, place = Path("agents", AGENT, "sessions", "sessions.json"), closer_environ(scratch), str(state)
    close = [str(REPOSITORY / "bin" / "keep-only-sessions"), "--agent", AGENT, "--yes", "--json"]
    undo = [str(REPOSITORY / "bin" / "restore-sessions"), "last", "--json"]
    pairs = []
    for _ in range(ROUNDS):
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(made, state)
        os.sync()
        closed = spent([*close, *kept, "--state-dir", place], environ)
        assert len(json.loads((state / index).read_bytes())) == len(kept)
        os.sync()
        pairs.append((closed, spent([*undo, "--state-dir", place], environ)))
        assert (state / index).read_bytes() == (made / index).read_bytes()
    return (made / index).stat().st_size, pairs
