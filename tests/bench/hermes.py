"""Measure a cleanup of a Hermes' home against finding the same files, reading the ids, and moving them."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from support.hermes import DAY, SCHEMAS

from .page import Goal, goals, put, table
from .side_by_side import closer_environ

SNAPSHOTS, ROWS, BYTES = 22_000, 25_000, 60 << 10
# Of a hundred snapshots so many are of open sessions, and so many are young.
OPEN, YOUNG = 5, 10
ROUNDS = 5
MOST = 2.0
COMMAND = Path(__file__).parents[2] / "bin" / "cleanup-sessions"
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


def main() -> int:
    """Put the table into the page."""
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        home = Path(scratch, "home")
        build(home)
        environ = closer_environ(Path(scratch))
        ours = [str(COMMAND), "--runtime", "hermes", "--home", str(home), "--yes", "--json"]
        ways = {
            "dry run": ([*ours, "--dry-run"], [sys.executable, "-c", LOOK, *_FIND]),
            "put away": (ours, [sys.executable, "-c", MOVE, *_FIND]),
        }
        rows, reached = [], []
        for name, (command, baseline) in ways.items():
            took: dict[str, list[float]] = {"ours": [], "baseline": []}
            for number in range(ROUNDS):
                for who in ("ours", "baseline") if number % 2 else ("baseline", "ours"):
                    took[who].append(_once(command if who == "ours" else baseline, home, environ))
            ratios = sorted(one / other for one, other in zip(took["ours"], took["baseline"], strict=True))
            ratio = f"{statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
            seconds = [f"{statistics.median(took[who]):.2f} s" for who in ("ours", "baseline")]
            rows.append([name, *seconds, ratio])
            reached.append(Goal(f"{name}: ≤ {MOST} of by hand", statistics.median(ratios), MOST))
    head = ["what", "cleanup-sessions", "by hand", "ratio"]
    said = f"{SNAPSHOTS:,} snapshots of {BYTES >> 10} KB, {ROWS:,} rows."
    put("hermes", f"{said}\n\n{table(head, rows)}\n{goals(reached)}")
    return 0


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


def _once(words: list[str], home: Path, environ: dict[str, str]) -> float:
    """Return the seconds that one of the two takes, the whole process; what it has moved comes back."""
    os.sync()
    started = time.monotonic()
    subprocess.run(words, env=environ, cwd=home, stdout=subprocess.DEVNULL, check=True)
    took = time.monotonic() - started
    moved = [*home.glob("session-closer/archives/*/sessions"), *home.glob("away")]
    count = sum(1 for folder in moved for path in folder.iterdir() if path.rename(home / "sessions" / path.name))
    assert count in (0, SNAPSHOTS * (100 - OPEN - YOUNG) // 100), count
    for folder in ("session-closer", "away"):
        shutil.rmtree(home / folder, ignore_errors=True)
    return took
