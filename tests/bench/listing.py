"""Time a list of a large store, and its memory, against Python's own reading of that file, and the least of a list."""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .made import build
from .page import Goal, goals, put, table
from .side_by_side import Spent, closer_environ, least_list, spent
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
        taken = _in_turn([listing, reading, least_list(index)], environ)
        size = index.stat().st_size
    dear, worked = ([_against(each, taken[1], which) for each in taken] for which in (0, 1))
    heavy = [max(one.peak for one in each) / size for each in taken]
    seconds = [statistics.median(one.seconds for one in each) for each in taken]
    rows = [
        [what, f"{seconds[at]:.2f} s", f"{dear[at]:.2f}", f"{worked[at]:.2f}", f"{heavy[at]:.1f}"]
        for at, what in enumerate(("`list-sessions --json`", "`json.load`", "the least that a list can do"))
    ]
    most = f"memory ≤ {MOST_MEMORY} times the store (the least {heavy[2]:.2f})"
    reached = [
        Goal(f"{SESSIONS:,} rows: ≤ {MOST_TIME} of `json.load` (the least {dear[2]:.2f})", dear[0], MOST_TIME),
        Goal(f"{SESSIONS:,} rows: {most}", heavy[0], MOST_MEMORY),
    ]
    head = ["what", "time", "against `json.load`", "by processor time", "peak memory / store"]
    said = f"{SESSIONS:,} rows of {ENTRY_BYTES >> 10} KiB, {size >> 20} MiB; medians of {ROUNDS} rounds."
    put("listing", f"{said}\n\n{table(head, rows)}\n{goals('listing', reached)}")
    return 0


def _in_turn(cases: Sequence[Sequence[str]], environ: Mapping[str, str]) -> list[list[Spent]]:
    """Return what each process took in each round, whose order changes."""
    taken: list[list[Spent]] = [[] for _ in cases]
    for number in range(ROUNDS):
        for at in range(number, number + len(cases)):
            taken[at % len(cases)].append(spent(cases[at % len(cases)], environ))
    return taken


def _against(ours: Sequence[Spent], theirs: Sequence[Spent], which: int) -> float:
    """Return the median of the ratios of the rounds, by the clock (0) or of the processor (1)."""
    return statistics.median(one[which] / other[which] for one, other in zip(ours, theirs, strict=True))
