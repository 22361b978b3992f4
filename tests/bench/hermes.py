"""Measure a cleanup of a Hermes' home against finding the same files, reading the ids, and moving them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from support.hermes import DAY, SCHEMAS

from .page import Goal, goals, put, table
from .side_by_side import Spent, closer_environ, ours, spent

SNAPSHOTS, ROWS, BYTES = 22_000, 25_000, 60 << 10
# Of a hundred snapshots so many are of open sessions, and so many are young.
OPEN, YOUNG = 5, 10
ROUNDS = 5
# Of the time by hand, and of that of the least that is safe.
MOST, MOST_OF_SAFE = 2.0, 1.5
SAFE = Path(__file__).with_name("safe_home.py")
_FIND = ("find", "sessions", "-name", "session_*.json", "-printf", "%f %T@ %s\\n")
# What anybody has to do who wants to know which of them may go.
LOOK = """
import sqlite3, subprocess, sys, time
found = subprocess.run(sys.argv[1:], capture_output=True, text=True, check=True).stdout.splitlines()
database = sqlite3.connect("file:state.db?mode=ro", uri=True)
held = {row[0] for row in database.execute("select id from sessions where ended_at is null")}
old = time.time() - 30 * 86400
free = [name for name, at, _ in map(str.split, found) if float(at) < old and name[8:-5] not in held]
"""
# And moves them, durably, with nothing to undo it by.
MOVE = (
    LOOK
    + """
import os
os.mkdir("away")
for name in free:
    os.rename("sessions/" + name, "away/" + name)
for folder in ("away", "sessions"):
    os.fsync(os.open(folder, os.O_RDONLY))
"""
)


_NAMES = ("cleanup-sessions", "by hand", "bare and safe", "that with plumbum")


class _Took(NamedTuple):
    """What each round of one job took: ours, by hand, the least that is safe, and that with what ours starts by."""

    ours: list[Spent]
    by_hand: list[Spent]
    safe: list[Spent]
    started: list[Spent]


def main() -> int:
    """Put the table into the page."""
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        home = Path(scratch, "home")
        build(home)
        environ = closer_environ(Path(scratch))
        closer = [*ours("cleanup-sessions"), "--runtime", "hermes", "--home", str(home), "--yes", "--json"]
        by_hand, safe = [sys.executable, "-c"], [sys.executable, str(SAFE), str(home)]
        jobs = {
            "dry run": ([*closer, "--dry-run"], [*by_hand, LOOK, *_FIND], safe, [*safe, "start"]),
            "put away": (closer, [*by_hand, MOVE, *_FIND], [*safe, "move"], [*safe, "move", "start"]),
        }
        rows, reached = [], []
        for name, commands in jobs.items():
            took = _Took([], [], [], [])
            for number in range(ROUNDS):
                turns = list(zip(took, commands, strict=True))
                for rounds, words in turns if number % 2 else reversed(turns):
                    rounds.append(_once(words, home, environ))
            for what, other in zip(_NAMES, took, strict=True):
                share = statistics.median(_against(other, took.by_hand, 1))
                rows.append([f"{name}, {what}", _shown(other), f"{share:.2f}", _ratio(took.ours, other)])
            reached += _reached(name, took)
    head = ["what", "time", "of by hand, processor", "ours against it"]
    said = f"{SNAPSHOTS:,} snapshots of {BYTES >> 10} KB, {ROWS:,} rows; in brackets the time of the processor."
    put("hermes", f"{said}\n\n{table(head, rows)}\n{goals('hermes', reached)}")
    return 0


def _reached(name: str, took: _Took) -> list[Goal]:
    """Return the goals of one job; what else runs changes nothing of those by the time of the processor."""

    def median(one: Sequence[Spent], other: Sequence[Spent], at: int) -> float:
        return _against(one, other, at)[ROUNDS // 2]

    return [
        Goal(f"{name}: ≤ {MOST} of by hand", median(took.ours, took.by_hand, 0), MOST),
        Goal(f"{name}: bare and safe ≤ {MOST} of by hand", median(took.safe, took.by_hand, 1), MOST),
        Goal(f"{name}: that with plumbum ≤ {MOST} of by hand", median(took.started, took.by_hand, 1), MOST),
        Goal(f"{name}: ≤ {MOST_OF_SAFE} of bare and safe", median(took.ours, took.safe, 1), MOST_OF_SAFE),
        Goal(f"{name}: ≤ {MOST_OF_SAFE} of that with plumbum", median(took.ours, took.started, 1), MOST_OF_SAFE),
    ]


def _shown(took: Sequence[Spent]) -> str:
    seconds, processor = (statistics.median(one[at] for one in took) for at in (0, 1))
    return f"{seconds:.2f} s ({processor:.2f})"


def _against(took: Sequence[Spent], other: Sequence[Spent], at: int = 0) -> list[float]:
    """Return the ratios of the rounds, the smallest first: of seconds, or of those of the processor (1)."""
    return sorted(one[at] / two[at] for one, two in zip(took, other, strict=True))


def _ratio(took: Sequence[Spent], other: Sequence[Spent]) -> str:
    seconds, processor = _against(took, other), _against(took, other, 1)
    median = statistics.median(seconds)
    return f"{median:.2f}, {seconds[0]:.2f} to {seconds[-1]:.2f} ({statistics.median(processor):.2f})"


def build(home: Path) -> None:
    """Make a home whose sessions have left their snapshots."""
    folder = home / "sessions"
    folder.mkdir(parents=True)
    database = sqlite3.connect(home / "state.db", isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.executescript(SCHEMAS[22])
    database.execute("insert into schema_version values (22)")
    now = time.time()
    ids = [f"20200101_{number:06d}_{number:08x}" for number in range(ROWS)]
    ended = [None if number % 100 < OPEN else now - 89 * DAY for number in range(ROWS)]
    rows = [(name, "cli", now - 90 * DAY, at) for name, at in zip(ids, ended, strict=True)]
    database.execute("begin")
    database.executemany("insert into sessions (id, source, started_at, ended_at) values (?, ?, ?, ?)", rows)
    said = ((name, "user", "?", now - 89 * DAY) for name in ids for _ in range(2))
    database.executemany("insert into messages (session_id, role, content, timestamp) values (?, ?, ?, ?)", said)
    database.execute("commit")
    database.close()
    for number, name in enumerate(ids[:SNAPSHOTS]):
        path = folder / f"session_{name}.json"
        path.write_bytes(f'{{"session_id": "{name}", "messages": ["'.encode().ljust(BYTES - 3, b"x") + b'"]}')
        at = now - (2 if OPEN <= number % 100 < OPEN + YOUNG else 60) * DAY
        os.utime(path, (at, at))


def _once(words: list[str], home: Path, environ: dict[str, str]) -> Spent:
    """Return what one of them takes, the whole process; what it has moved comes back."""
    took = spent(words, environ, home)
    moved = [*home.glob("session-closer/archives/*/sessions"), *home.glob("away")]
    count = sum(1 for folder in moved for path in folder.iterdir() if path.rename(home / "sessions" / path.name))
    assert count in (0, SNAPSHOTS * (100 - OPEN - YOUNG) // 100), count
    for folder in ("session-closer", "away"):
        shutil.rmtree(home / folder, ignore_errors=True)
    for record in home.glob("away.*"):
        record.unlink()
    return took
