"""Measure a cleanup of a month of cron runs against reading, filtering, backing up and writing that store."""

from __future__ import annotations

import json
import multiprocessing
import random
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

from .page import Goal, goals, put, table
from .side_by_side import Spent, closer_environ, least_safe, ours, spent

RUNS, TRANSCRIPTS, ENTRY_BYTES = 43_200, 2_000, 4096
ROUNDS = 11
MOST = 1.3
AGENT = "main"
SHOWN = {
    "ours": "`cleanup-sessions --all-agents --yes --json`",
    "baseline": "read, filter, back up, write with orjson",
    "safe": "the least that a safe one can do",
}
# The fastest way that people would write: no check, no transcript, nothing to undo but the backup.
BASELINE = """
import os, sys, time
import orjson
path, now = sys.argv[1], time.time() * 1000
raw = open(path, "rb").read()
old = lambda key, entry: ":run:" in key and now - entry["updatedAt"] > 86.4e6
kept = {key: entry for key, entry in orjson.loads(raw).items() if not old(key, entry)}
for name, data in ((path + ".bak-1", raw), (path + ".tmp", orjson.dumps(kept, option=orjson.OPT_INDENT_2))):
    with open(name, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
os.rename(path + ".tmp", path)
folder = os.open(os.path.dirname(path), os.O_RDONLY)
os.fsync(folder)
"""


def main() -> int:
    """Put the table into the page."""
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        # A child's peak counts that of its parent when it was born, so the store is made elsewhere.
        maker = multiprocessing.Process(target=build, args=(Path(scratch, "made"), Path(scratch, "state")))
        maker.start()
        maker.join()
        size = Path(scratch, "made", "agents", AGENT, "sessions", "sessions.json").stat().st_size
        took: dict[str, list[Spent]] = {name: [] for name in SHOWN}
        for number in range(ROUNDS):
            turn = number % len(SHOWN)
            for name in [*SHOWN][turn:] + [*SHOWN][:turn]:
                took[name].append(_once(name, Path(scratch)))
    rows = []
    for name, shown in SHOWN.items():
        seconds, processor = (
            statistics.median(values) for values in zip(*(one[:2] for one in took[name]), strict=True)
        )
        peak = max(one.peak for one in took[name]) / size
        rows.append(
            [shown, f"{seconds:.2f} s ({processor:.2f})", _against(took[name], took["baseline"]), f"{peak:.1f}"]
        )
    ratios = [ours.seconds / other.seconds for ours, other in zip(took["ours"], took["baseline"], strict=True)]
    head = ["what", "time, of the processor", "against the baseline", "peak memory / store"]
    reached = [Goal(f"≤ {MOST} of the baseline", statistics.median(ratios), MOST)]
    said = f"{RUNS:,} cron runs, {TRANSCRIPTS:,} transcripts, {size >> 20} MiB."
    put("cleanup", f"{said}\n\n{table(head, rows)}\n{goals('cleanup', reached)}")
    return 0


def _against(ours: list[Spent], others: list[Spent]) -> str:
    ratios = sorted(one.seconds / two.seconds for one, two in zip(ours, others, strict=True))
    return f"{statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"


def build(made: Path, final: Path) -> None:
    """Write the store, as it is to be used at `final`."""
    dice, now = random.Random(7), int(time.time() * 1000)
    folder, real = made / "agents" / AGENT / "sessions", final / "agents" / AGENT / "sessions"
    folder.mkdir(parents=True)
    store = {f"agent:{AGENT}:main": _entry(str(uuid.uuid4()), now, real)}
    for number in range(RUNS):
        run = str(uuid.UUID(int=dice.getrandbits(128)))
        store[f"agent:{AGENT}:cron:report:run:{run}"] = _entry(run, now - 60_000 * (RUNS - number), real)
        if number < TRANSCRIPTS:
            folder.joinpath(f"{run}.jsonl").write_text('{"type":"session","version":3}\n' + '{"type":"message"}\n' * 20)
    index = folder / "sessions.json"
    index.write_text(json.dumps(store, indent=2))
    index.chmod(0o600)


def _entry(run: str, moment: int, folder: Path) -> dict[str, object]:
    entry: dict[str, object] = {
        "sessionId": run,
        "updatedAt": moment,
        "sessionFile": str(folder / f"{run}.jsonl"),
        "status": "done",
        "model": "m",
    }
    # The lines of a real skillsSnapshot of 2026.5.7 are 79 bytes long.
    text = "    <description>Use when a session is to be closed, or looked at.</description>\n"
    prompt = text * ((ENTRY_BYTES - len(json.dumps(entry))) // len(json.dumps(text)))
    return {**entry, "skillsSnapshot": {"prompt": prompt}}


def _once(name: str, scratch: Path) -> Spent:
    """Return what one of them takes on a fresh copy, the whole process."""
    state = scratch / "state"
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(scratch / "made", state)
    index = state / "agents" / AGENT / "sessions" / "sessions.json"
    words = {
        "ours": [*ours("cleanup-sessions"), "--state-dir", str(state), "--all-agents", "--yes", "--json"],
        "baseline": [sys.executable, "-c", BASELINE, str(index)],
        "safe": [*least_safe(state), "old"],
    }[name]
    taken = spent(words, closer_environ(scratch))
    left = len(json.loads(index.read_bytes()))
    assert left < 1_500, f"{name} left {left} sessions"
    return taken
