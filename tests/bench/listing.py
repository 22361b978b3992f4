"""Time a list of a large store, and its memory, against Python's own reading of that file."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
from pathlib import Path

from .made import build
from .page import Goal, goals, put, table
from .side_by_side import closer_environ, spent
from .side_by_side import ours as begun

SESSIONS, ENTRY_BYTES = 100_000, 4 << 10
ROUNDS = 7
MOST_TIME, MOST_MEMORY = 1.0, 1.5
_READ = "import json, sys; json.load(open(sys.argv[1]))"


def main() -> int:
    """Put the table into the page."""
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        state, environ = Path(scratch, "state"), closer_environ(Path(scratch))
        # A child's peak counts that of its parent when it was born, so the store is made elsewhere.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(build, (state, state, SESSIONS, ENTRY_BYTES))
        index = state / "agents" / "main" / "sessions" / "sessions.json"
        listing = [*begun("list-sessions"), "--json", "--state-dir", str(state)]
        reading = [sys.executable, "-c", _READ, str(index)]
        both = [(spent(listing, environ), spent(reading, environ)) for _ in range(ROUNDS)]
        size = index.stat().st_size
    dear = statistics.median(ours.seconds / theirs.seconds for ours, theirs in both)
    worked = statistics.median(ours.processor / theirs.processor for ours, theirs in both)
    ours, theirs = ([one[at] for one in both] for at in (0, 1))
    heavy = max(one.peak for one in ours) / size
    rows = [
        [
            "`list-sessions --json`", f"{statistics.median(one.seconds for one in ours):.2f} s", f"{dear:.2f}",
            f"{worked:.2f}", f"{heavy:.1f}",
        ],
        [
            "`json.load`", f"{statistics.median(one.seconds for one in theirs):.2f} s", "1", "1",
            f"{max(one.peak for one in theirs) / size:.1f}",
        ],
    ]  # fmt: skip
    reached = [
        Goal(f"{SESSIONS:,} rows: ≤ {MOST_TIME} of `json.load`", dear, MOST_TIME),
        Goal(f"{SESSIONS:,} rows: memory ≤ {MOST_MEMORY} times the store", heavy, MOST_MEMORY),
    ]
    head = ["what", "time", "against `json.load`", "by processor time", "peak memory / store"]
    said = f"{SESSIONS:,} rows of {ENTRY_BYTES >> 10} KiB, {size >> 20} MiB; medians of {ROUNDS} rounds."
    put("listing", f"{said}\n\n{table(head, rows)}\n{goals(reached)}")
    return 0
