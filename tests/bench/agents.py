"""Measure a cleanup of many agents, and its undo, against a script that goes from store to store straight on."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from .made import place
from .page import Goal, goals, put, table
from .side_by_side import Spent, closer_environ, least_safe, ours, spent

COUNTS, MANY = (75, 150, 300), 1_000
ROUNDS = 7
ROWS, STALE = 200, 176
ENTRY_BYTES = 1024
HOUR_MS = 3_600_000
MOST_FLOOR, MOST_UNDO, MOST_MIB, MOST_GROWTH = 2.5, 1.2, 120, 4.4
# No check, no lock, no record, no second look; it parses what it has to, and is safe against nothing.
STRAIGHT_ON = """
import json, os, sys, time
root, now = sys.argv[1], time.time() * 1000
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
    put("sessions.json.tmp", json.dumps(store, indent=2).encode())
    os.rename("sessions.json.tmp", "sessions.json")
    for name in gone:
        os.rename(f"{name}.jsonl", f"{name}.jsonl.deleted.1")
    folder = os.open(".", os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
"""


def main() -> int:
    """Put the table into the page; with ALL set in the environment for a thousand agents, too."""
    counts = (*COUNTS, *([MANY] if os.environ.get("ALL") else []))
    took: dict[tuple[int, str], list[Spent]] = {(count, name): [] for count in counts for name in _NAMES}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
            # A child's peak counts that of its parent when it was born, so the stores are made elsewhere.
            made = (Path(scratch, "made"), Path(scratch, "state"), count)
            maker = multiprocessing.Process(target=build, args=made)
            maker.start()
            maker.join()
            for number in range(ROUNDS):
                for name, taken in _round(Path(scratch), straight_first=bool(number % 2)).items():
                    took[count, name].append(taken)
    put("agents", _page(counts, took))
    return 0


_NAMES = ("straight", "safe", "cleanup", "undo")


def _page(counts: Sequence[int], took: dict[tuple[int, str], list[Spent]]) -> str:
    head = ["agents", "straight", "safe", "safe / straight", "cleanup", "/ straight", "/ safe", "memory"]
    head_back = ["agents", "undo", "undo / cleanup", "memory"]
    rows, back_rows, reached = [], [], []
    for count in counts:
        straight, safe, cleanup, undo = (took[count, name] for name in _NAMES)
        dear, back = _ratio(cleanup, straight), _ratio(undo, cleanup)
        memory = [max(one.peak for one in taken) >> 20 for taken in (cleanup, undo)]
        rows.append([
            f"{count:,}", _shown(straight), _shown(safe), _both(safe, straight), _shown(cleanup),
            _both(cleanup, straight), _both(cleanup, safe), f"{memory[0]} MiB",
        ])  # fmt: skip
        back_rows.append([f"{count:,}", _shown(undo), _both(undo, cleanup), f"{memory[1]} MiB"])
        reached += [
            Goal(f"{count:,} agents: cleanup ≤ {MOST_FLOOR} of straight on", dear, MOST_FLOOR),
            Goal(f"{count:,} agents: undo ≤ {MOST_UNDO} of the cleanup", back, MOST_UNDO),
            Goal(f"{count:,} agents: memory ≤ {MOST_MIB} MiB", max(memory), MOST_MIB),
        ]
    growth = _ratio(took[300, "cleanup"], took[75, "cleanup"])
    reached.append(Goal(f"time of 300 agents ≤ {MOST_GROWTH} of that of 75", growth, MOST_GROWTH))
    said = (
        f"{ROWS} cron runs an agent, {STALE} of them stale, each with its transcript; medians of {ROUNDS} rounds;\n"
        "in brackets the time of the processor, and its ratios."
    )
    return f"{said}\n\n{table(head, rows)}\n{table(head_back, back_rows)}\n{goals('agents', reached)}"


def _ratio(ours: Sequence[Spent], other: Sequence[Spent], *, by: str = "seconds") -> float:
    return statistics.median(getattr(one, by) / getattr(two, by) for one, two in zip(ours, other, strict=True))


def _both(ours: Sequence[Spent], other: Sequence[Spent]) -> str:
    return f"{_ratio(ours, other):.2f} ({_ratio(ours, other, by='processor'):.2f})"


def _shown(taken: Sequence[Spent]) -> str:
    seconds, processor = (statistics.median(values) for values in zip(*(one[:2] for one in taken), strict=True))
    return f"{seconds:.2f} s ({processor:.2f})"


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


def _round(scratch: Path, *, straight_first: bool) -> dict[str, Spent]:
    """Return what each took, on stores made anew; an undo follows its cleanup."""
    state, found, environ = scratch / "state", {}, closer_environ(scratch)
    tools = [*ours("cleanup-sessions"), "--all-agents", "--yes", "--json"]
    back = [*ours("restore-sessions"), "last", "--json"]
    orders = ("straight", "safe", "ours") if straight_first else ("ours", "safe", "straight")
    others = {
        "straight": [sys.executable, "-c", STRAIGHT_ON, str(state / "agents")],
        "safe": [*least_safe(state), "old"],
    }
    for which in orders:
        place(scratch / "made", state)
        before = _left(state)
        left = before // ROWS * (ROWS - STALE)
        if which != "ours":
            found[which] = spent(others[which], environ)
            assert _left(state) == left
            continue
        found["cleanup"] = spent([*tools, "--state-dir", str(state)], environ)
        assert _left(state) == left
        found["undo"] = spent([*back, "--state-dir", str(state)], environ)
        assert _left(state) == before
    return found


def _left(state: Path) -> int:
    """Return how many sessions the indexes hold."""
    return sum(len(json.loads(index.read_bytes())) for index in state.glob("agents/*/sessions/sessions.json"))
