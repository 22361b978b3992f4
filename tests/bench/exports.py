"""Measure an export against a bare Python that copies the same transcript and hashes it."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from .page import Goal, goals, put, table
from .side_by_side import REPOSITORY, Case, Taken, closer_environ, measure

EVENTS, SMALL = 100_000, 10_000
ROUNDS = 5
MOST, MOST_MIB = 1.5, 60
OWN = "11111111-2222-4333-8444-555555555555"
HERE = Path(__file__).parent


def main() -> int:
    """Put the table into the page."""
    rows = []
    for count in (SMALL, EVENTS):
        with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
            size, took = _taken(Path(scratch), count)
        whole, page, copy, parsed = (took[name] for name in ("bundle", "page", "copy", "parsed"))
        rows.append([
            f"{count:,}", f"{size >> 20} MiB", f"{copy.median:.2f} s", f"{whole.median:.2f} s",
            f"{whole.against(copy):.1f}", f"{parsed.median:.2f} s", f"{whole.against(parsed):.1f}",
            f"{page.median:.2f} s", f"{whole.peak >> 20} MiB",
        ])  # fmt: skip
    reached = [
        Goal(f"{EVENTS:,} events: a bundle ≤ {MOST} of a copy with its hash", whole.against(copy), MOST),
        Goal(f"{EVENTS:,} events: memory ≤ {MOST_MIB} MiB", whole.peak >> 20, MOST_MIB),
    ]
    head = ["events", "transcript", "copy and hash", "bundle", "against that", "taken apart once", "against that"]
    head += ["page alone", "memory"]
    put("exports", f"{table(head, rows)}\n{goals(reached)}")
    return 0


def _taken(scratch: Path, count: int) -> tuple[int, dict[str, Taken]]:
    """Return the bytes of a transcript of so many events, and what each way took."""
    state, out = scratch / "state", scratch / "out"
    path = _build(state, count)
    export = [str(REPOSITORY / "bin" / "export-sessions"), "--state-dir", str(state), "big", "--output", str(out)]

    def prepare() -> None:
        shutil.rmtree(out, ignore_errors=True)
        for name in ("copy", "parsed", "parsed.md"):
            (scratch / name).unlink(missing_ok=True)

    def copied() -> None:
        made = [name for name in ("copy", "parsed") if (scratch / name).exists()]
        assert made
        assert all((scratch / name).stat().st_size == path.stat().st_size for name in made)

    def exported() -> None:
        assert any(out.rglob("transcript.jsonl")) or any(out.rglob("*.md"))

    parsed = [str(path), str(scratch / "parsed"), str(Path(msgspec.__file__).parents[1])]
    cases = [
        Case(
            "copy",
            [sys.executable, "-I", "-S", str(HERE / "copied.py"), str(path), str(scratch / "copy")],
            prepare,
            copied,
        ),
        Case("parsed", [sys.executable, str(HERE / "parsed.py"), *parsed], prepare, copied),
        Case("bundle", [sys.executable, *export], prepare, exported),
        Case("page", [sys.executable, *export, "--format", "md"], prepare, exported),
    ]
    return path.stat().st_size, measure(cases, ROUNDS, scratch, closer_environ(scratch))


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
