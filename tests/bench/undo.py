"""Time the undo of closes in one store, small rows and large ones, against those closes, and both against the least."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from .made import AGENT, build
from .page import Goal, goals, put, table
from .side_by_side import Spent, closer_environ, least_safe, ours, spent

ROUNDS = 7
MOST_MEMORY, MOST_MICROSECONDS = 2.5, 60
HERE, STAMP = Path(__file__).parent, "2016-11-21T00-00-00.000Z"
KEPT = 3


class Job(NamedTuple):
    """A store whose sessions are all closed but three, and how much longer than that its undo may take."""

    sessions: int
    entry_bytes: int
    most: float


JOBS = (Job(10_000, 4 << 10, 1.2), Job(240, 500 << 10, 1.5))


class Round(NamedTuple):
    """What a close and its undo took, and what the least of each takes that no safe way can leave out."""

    close: Spent
    undo: Spent
    floor: Spent
    floor_back: Spent
    safe: Spent


def main() -> int:
    """Put the table into the page."""
    rows, reached = [], []
    for job in JOBS:
        with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
            size, rounds = _measured(job, Path(scratch))
        name = f"{job.sessions:,} rows, {size / 1e6:.0f} MB"
        dear = statistics.median(one.undo.seconds / one.close.seconds for one in rounds)
        worked = statistics.median(one.undo.processor / one.close.processor for one in rounds)
        least = statistics.median(one.floor_back.seconds / one.floor.seconds for one in rounds)
        heavy = max(one.undo.peak for one in rounds) / size
        rows.append([
            name, _shown([one.close for one in rounds]), _shown([one.floor for one in rounds]),
            _shown([one.undo for one in rounds]), _shown([one.floor_back for one in rounds]), f"{dear:.2f}",
            f"{worked:.2f}", f"{least:.2f}", f"{heavy:.1f}",
        ])  # fmt: skip
        reached += [
            Goal(f"undo of {name}: ≤ {job.most} of the close (the least {least:.2f})", dear, job.most),
            Goal(f"undo of {name}: memory ≤ {MOST_MEMORY} times the store", heavy, MOST_MEMORY),
        ]
        if job.sessions >= 10_000:
            close, floor, safe = (
                statistics.median(one.processor for one in taken) / (job.sessions - KEPT) * 1e6
                for taken in zip(*((one.close, one.floor, one.safe) for one in rounds), strict=True)
            )
            what = f"≤ {MOST_MICROSECONDS} µs of processor each (least {floor:.0f}, least safe {safe:.0f})"
            reached.append(Goal(f"close of {name}: {what}", close, MOST_MICROSECONDS))
    head = [
        "store", "close", "the least", "undo", "the least", "undo / close", "by processor time", "of the least",
        "peak memory / store",
    ]  # fmt: skip
    said = f"All sessions but three are closed; medians of {ROUNDS} rounds, time and processor time."
    put("undo", f"{said}\n\n{table(head, rows)}\n{goals('undo', reached)}")
    return 0


def _shown(taken: list[Spent]) -> str:
    seconds, processor = (statistics.median(values) for values in zip(*((one[:2]) for one in taken), strict=True))
    return f"{seconds:.2f} s, {processor:.2f} s"


def _measured(job: Job, scratch: Path) -> tuple[int, list[Round]]:
    """Return the bytes of the store, and what each round took."""
    made, state, names = scratch / "made", scratch / "state", scratch / "files.txt"
    # A child's peak counts that of its parent when it was born, so the store is made elsewhere.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        ids = pool.apply(build, (made, state, job.sessions, job.entry_bytes))
    names.write_text("\n".join(f"{one}.jsonl" for one in ids[KEPT:]))
    kept = [f"agent:{AGENT}:main", *(f"agent:{AGENT}:project-{number}" for number in range(1, KEPT))]
    index, environ, place = Path("agents", AGENT, "sessions", "sessions.json"), closer_environ(scratch), str(state)
    size = (made / index).stat().st_size
    close = [*ours("keep-only-sessions"), "--agent", AGENT, "--yes", "--json", *kept, "--state-dir", place]
    undo = [*ours("restore-sessions"), "last", "--json", "--state-dir", place]
    python = [sys.executable, "-I", "-S"]
    least = [*python, str(HERE / "floor.py"), str(state / index), str(size * KEPT // job.sessions), str(names), STAMP]
    back = [*python, str(HERE / "floor_back.py"), str(state / index), str(names), STAMP]

    def fresh() -> None:
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(made, state)

    rounds = []
    for _ in range(ROUNDS):
        fresh()
        floors = [spent(least, environ), spent(back, environ)]
        fresh()
        safe = spent([*least_safe(state), "keep", *kept], environ)
        assert len(json.loads((state / index).read_bytes())) == len(kept)
        fresh()
        closed = spent(close, environ)
        assert len(json.loads((state / index).read_bytes())) == len(kept)
        rounds.append(Round(closed, spent(undo, environ), *floors, safe))
        # By another process: what is read here would count for the memory of the next one.
        assert os.spawnlp(os.P_WAIT, "cmp", "cmp", str(state / index), str(made / index)) == 0
    return size, rounds
