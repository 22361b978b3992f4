"""Measure an export by its processor time against what copies the same transcript, and what takes it apart once, too.

The latter is the least that anything can take that writes a page of it: `parsed.py`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from .page import Goal, goals, put, table
from .side_by_side import REPOSITORY, Spent, closer_environ, spent

EVENTS, SMALL = 100_000, 10_000
ROUNDS = 5
MOST, MOST_OF_LEAST, MOST_MIB = 1.5, 1.5, 60
OWN = "11111111-2222-4333-8444-555555555555"
HERE = Path(__file__).parent


def main() -> int:
    """Put the table into the page."""
    rows = []
    for count in (SMALL, EVENTS):
        with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
            size, took = _taken(Path(scratch), count)
        whole, page, copy, least = (took[name] for name in ("bundle", "page", "copy", "least"))
        peak = max(one.peak for one in whole) >> 20
        against_copy, against_least = _ratio(whole, copy), _ratio(whole, least)
        rows.append([
            f"{count:,}", f"{size >> 20} MiB", _seconds(copy), f"{_seconds(least)}, {_ratio(least, copy):.1f} of that",
            _seconds(whole), f"{against_copy:.1f}", f"**{against_least:.2f}**", _seconds(page), f"{peak} MiB",
        ])  # fmt: skip
    reached = [
        Goal(f"{EVENTS:,} events: a bundle ≤ {MOST} of a copy with its hash", against_copy, MOST),
        Goal(f"{EVENTS:,} events: a bundle ≤ {MOST_OF_LEAST} of the lower bound", against_least, MOST_OF_LEAST),
        Goal(f"{EVENTS:,} events: memory ≤ {MOST_MIB} MiB", peak, MOST_MIB),
    ]
    head = ["events", "transcript", "copy and hash", "lower bound", "bundle", "of a copy", "of the bound"]
    head += ["page alone", "memory"]
    put("exports", f"{table(head, rows)}\n{goals('exports', reached)}")
    return 0


def _seconds(took: Sequence[Spent]) -> str:
    return f"{statistics.median(one.processor for one in took):.2f} s"


def _ratio(one: Sequence[Spent], other: Sequence[Spent]) -> float:
    """Return the median of the ratios of the rounds: the machine's speed changes between them."""
    return statistics.median(a.processor / b.processor for a, b in zip(one, other, strict=True))


def _taken(scratch: Path, count: int) -> tuple[int, dict[str, list[Spent]]]:
    """Return the bytes of a transcript of so many events, and what each way took, round by round."""
    state, out = scratch / "state", scratch / "out"
    path = _build(state, count)
    export = [sys.executable, str(REPOSITORY / "bin" / "export-sessions"), "--state-dir", str(state), "big"]
    packages = str(Path(msgspec.__file__).parents[1])
    ways = {
        "copy": [sys.executable, "-I", "-S", str(HERE / "copied.py"), str(path), str(scratch / "copy")],
        "least": [sys.executable, str(HERE / "parsed.py"), str(path), str(scratch / "copy"), packages],
        "bundle": [*export, "--output", str(out)],
        "page": [*export, "--output", str(out), "--format", "md"],
    }
    took: dict[str, list[Spent]] = {name: [] for name in ways}
    environ = closer_environ(scratch)
    for number in range(ROUNDS):
        turn = number % len(ways)
        for name in [*ways][turn:] + [*ways][:turn]:
            shutil.rmtree(out, ignore_errors=True)
            (scratch / "copy").unlink(missing_ok=True)
            took[name].append(spent(ways[name], environ))
            made = scratch / "copy" if name in ("copy", "least") else next(out.rglob("transcript.jsonl"), None)
            assert name == "page" or (made is not None and made.stat().st_size == path.stat().st_size)
            assert name != "page" or any(out.rglob("*.md"))
    return path.stat().st_size, took


def _build(state: Path, count: int) -> Path:
    """Write a state directory with one session of so many events, a tool call and its result among four."""
    folder = state / "agents" / "project-lead" / "sessions"
    folder.mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    path = folder / f"{OWN}.jsonl"
    text = "What was said in this message, at some length. " * 16
    contents = (
        ("user", [{"type": "text", "text": text}], {}),
        ("assistant", [{"type": "toolCall", "id": "call", "name": "bash", "arguments": {"command": text}}], {}),
        ("toolResult", [{"type": "text", "text": text}], {"toolCallId": "call", "toolName": "bash"}),
        ("assistant", [{"type": "text", "text": text}], {"model": "gpt-5", "usage": {"input": 9, "output": 3}}),
    )
    with path.open("w") as file:
        file.write(json.dumps({"type": "session", "version": 3, "id": OWN}) + "\n")
        for at in range(count):
            role, content, more = contents[at % 4]
            event = {"type": "message", "id": f"e{at}", "parentId": f"e{at - 1}" if at else None,
                     "message": {"role": role, "content": content, **more}}  # fmt: skip
            file.write(json.dumps(event) + "\n")
    entry = {"sessionId": OWN, "sessionFile": str(path), "updatedAt": 1}
    (folder / "sessions.json").write_text(json.dumps({"agent:project-lead:big": entry}))
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": 9}}))
    return path
