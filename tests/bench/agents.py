"""Measure a cleanup of many agents, and its undo, against a script that goes from store to store straight on."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from .page import put, table
from .side_by_side import REPOSITORY, closer_environ

COUNTS, MANY = (75, 150, 300), 1_000
ROUNDS = 7
ROWS, STALE = 200, 176
ENTRY_BYTES = 1024
HOUR_MS = 3_600_000
MOST_FLOOR, MOST_UNDO, MOST_MIB, MOST_GROWTH = 2.5, 1.2, 120, 4.4
# No check, no lock, no record, no second look; it parses what it has to, and is safe against nothing. With `synced`
# nothing is done but what no safe way can leave out for the disk: a record ahead of each change, and each step durable.
STRAIGHT_ON = """
import json, os, sys, time
root, synced, now = sys.argv[1], len(sys.argv) > 2, time.time() * 1000
def sync(path):
    folder = os.open(path, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
def put(name, data):
    with open(name, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
for agent in sorted(os.listdir(root)):
    os.chdir(os.path.join(root, agent, "sessions"))
    with open("sessions.json", "rb") as file:
        raw = file.read()
    store = json.loads(raw)
    old = [key for key, entry in store.items() if ":run:" in key and now - entry["updatedAt"] > 86.4e6]
    gone = [store.pop(key)["sessionId"] for key in old]
    put("sessions.json.bak-1", raw)
    if synced:
        sync(".")
        put(os.path.join(root, f"record-{agent}"), json.dumps(gone).encode())
        sync(root)
    put("sessions.json.tmp", json.dumps(store, indent=2).encode())
    os.rename("sessions.json.tmp", "sessions.json")
    if synced:
        sync(".")
    for name in gone:
        os.rename(f"{name}.jsonl", f"{name}.jsonl.deleted.1")
    sync(".")
"""


def main() -> int:
    """Put the table into the page; with ALL set in the environment for a thousand agents, too."""
    counts = (*COUNTS, *([MANY] if os.environ.get("ALL") else []))
    took: dict[tuple[int, str], list[float]] = {(count, name): [] for count in counts for name in _NAMES}
    peaks = {(count, name): 0 for count in counts for name in _NAMES}
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        for count in counts:
            # A child's peak counts that of its parent when it was born, so the stores are made elsewhere.
            made = (Path(scratch, f"made-{count}"), Path(scratch, "state"), count)
            maker = multiprocessing.Process(target=build, args=made)
            maker.start()
            maker.join()
        for number in range(ROUNDS):
            for count in counts:
                for name, (seconds, peak) in _round(Path(scratch), count, straight_first=bool(number % 2)).items():
                    took[count, name].append(seconds)
                    peaks[count, name] = max(peaks[count, name], peak)
    put("agents", _page(counts, took, peaks))
    return 0


_NAMES = ("straight", "synced", "cleanup", "undo")


def _page(counts: Sequence[int], took: dict[tuple[int, str], list[float]], peaks: dict[tuple[int, str], int]) -> str:
    head = [
        "agents", "straight on", "synced", "cleanup", "against both", "memory", "undo", "against the cleanup", "memory",
    ]  # fmt: skip
    rows, goals = [], []
    for count in counts:
        straight, synced, cleanup, undo = (took[count, name] for name in _NAMES)
        dear, least, back = _ratio(cleanup, straight), _ratio(cleanup, synced), _ratio(undo, cleanup)
        memory = [peaks[count, name] >> 20 for name in ("cleanup", "undo")]
        rows.append([
            f"{count:,}", f"{statistics.median(straight):.2f} s", f"{statistics.median(synced):.2f} s",
            f"{statistics.median(cleanup):.2f} s", f"{dear:.2f} and {least:.2f}", f"{memory[0]} MiB",
            f"{statistics.median(undo):.2f} s", f"{back:.2f}", f"{memory[1]} MiB",
        ])  # fmt: skip
        goals += [
            (f"{count:,} agents: cleanup ≤ {MOST_FLOOR} of straight on", dear, MOST_FLOOR),
            (f"{count:,} agents: undo ≤ {MOST_UNDO} of the cleanup", back, MOST_UNDO),
            (f"{count:,} agents: memory ≤ {MOST_MIB} MiB", max(memory), MOST_MIB),
        ]
    growth = _ratio(took[300, "cleanup"], took[75, "cleanup"])
    goals.append((f"time of 300 agents ≤ {MOST_GROWTH} of that of 75", growth, MOST_GROWTH))
    lines = [[goal, f"{value:.4g}", "met" if value <= most else "missed"] for goal, value, most in goals]
    said = f"{ROWS} cron runs an agent, {STALE} of them stale, each with its transcript; medians of {ROUNDS} rounds."
    return f"{said}\n\n{table(head, rows)}\n{table(['goal', 'measured', ''], lines)}"


def _ratio(ours: Sequence[float], other: Sequence[float]) -> float:
    return statistics.median(one / two for one, two in zip(ours, other, strict=True))


def build(made: Path, final: Path, count: int) -> None:
    """Write a state directory of so many agents, as it is to be used at `final`."""
    dice, now = random.Random(count), int(time.time() * 1000)
    for number in range(count):
        agent = f"agent-{number:04d}"
        folder, real = (root / "agents" / agent / "sessions" for root in (made, final))
        folder.mkdir(parents=True)
        store = {}
        for at in range(ROWS):
            run = str(uuid.UUID(int=dice.getrandbits(128)))
            age = (48 if at < STALE else 2) * HOUR_MS + at * 1000
            entry = {
                "sessionId": run,
                "updatedAt": now - age,
                "sessionFile": str(real / f"{run}.jsonl"),
                "status": "done",
                "model": "m",
            }
            room = ENTRY_BYTES - len(json.dumps(entry))
            store[f"agent:{agent}:cron:report:run:{run}"] = {**entry, "skillsSnapshot": {"prompt": "x" * room}}
            transcript = folder / f"{run}.jsonl"
            transcript.write_text('{"type":"session","version":3}\n' + '{"type":"message"}\n' * 20)
            # An old transcript, as it is where nobody writes to it any more.
            os.utime(transcript, ns=((now - age) * 1_000_000,) * 2)
        index = folder / "sessions.json"
        index.write_text(json.dumps(store, indent=2))
        index.chmod(0o600)


def _round(scratch: Path, count: int, *, straight_first: bool) -> dict[str, tuple[float, int]]:
    """Return the seconds and the bytes of memory of each, on stores made anew; an undo follows its cleanup."""
    state, found = scratch / "state", {}
    tools = [str(REPOSITORY / "bin" / "cleanup-sessions"), "--all-agents", "--yes", "--json"]
    back = [str(REPOSITORY / "bin" / "restore-sessions"), "last", "--json"]
    orders = ("straight", "synced", "ours") if straight_first else ("ours", "synced", "straight")
    for which in orders:
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(scratch / f"made-{count}", state)
        before = _left(state)
        os.sync()
        if which != "ours":
            more = [which] if which == "synced" else []
            found[which] = _timed([sys.executable, "-c", STRAIGHT_ON, str(state / "agents"), *more], scratch)
            assert _left(state) == count * (ROWS - STALE)
            continue
        found["cleanup"] = _timed([*tools, "--state-dir", str(state)], scratch)
        assert _left(state) == count * (ROWS - STALE)
        os.sync()
        found["undo"] = _timed([*back, "--state-dir", str(state)], scratch)
        assert _left(state) == before
    return found


def _timed(words: Sequence[str], scratch: Path) -> tuple[float, int]:
    started = time.monotonic()
    process = subprocess.Popen(words, env=closer_environ(scratch), stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    assert code == 0, f"{words[:2]} ended with {code}"
    return time.monotonic() - started, usage.ru_maxrss * 1024


def _left(state: Path) -> int:
    """Return how many sessions the indexes hold."""
    return sum(len(json.loads(index.read_bytes())) for index in state.glob("agents/*/sessions/sessions.json"))
