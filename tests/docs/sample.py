"""A made-up state directory for the pages: what somebody has who has used OpenClaw for a while."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HOUR = 3600
DAY = 24 * HOUR
KIB = 1024
LEAD = "agent:project-lead:"
NAMES = uuid.UUID("0b0d4c1e-2f5e-4f53-9a52-6b1f0f6f7d2a")

# agent -> key -> (idle for so long, size of the transcript, more of the row). No age is near the edge of its unit: a
# slow machine may take minutes between making the store and listing it.
_SESSIONS: dict[str, dict[str, tuple[float, int, dict[str, Any]]]] = {
    "main": {"agent:main:main": (2.4 * HOUR, 88 * KIB, {})},
    "project-lead": {
        LEAD + "main": (5.4 * HOUR, 412 * KIB, {}),
        LEAD + "telegram:group:-1001234": (3.5 * HOUR, 61 * KIB, {"chatType": "group"}),
        LEAD + "kelly-dashboard": (7.4 * HOUR, 118 * KIB, {"label": "Kelly's dashboard"}),
        LEAD + "project-kelly-dashboard": (9.4 * DAY, 37 * KIB, {}),
        LEAD + "hydration-tracker": (3.4 * DAY, 54_700, {}),
        LEAD + "invoice-import": (12.4 * DAY, 203 * KIB, {"pinnedAt": int((time.time() - 12 * DAY) * 1000)}),
        LEAD + "cron:nightly-report": (31.4 * HOUR, 12 * KIB, {}),
        LEAD + "cron:nightly-report:run:7f3a": (31.5 * HOUR, 9 * KIB, {}),
        LEAD + "subagent:2b1c": (4.4 * DAY, 23 * KIB, {"spawnedBy": LEAD + "kelly-dashboard"}),
    },
    "researcher": {
        "agent:researcher:main": (6.4 * HOUR, 19 * KIB, {}),
        "agent:researcher:kelly-dashboard": (8.4 * DAY, 71 * KIB, {"label": "Reading for Kelly"}),
    },
}
_TRAJECTORY_OF = LEAD + "kelly-dashboard"
# Of one session is known how it began.
TALK_OF = LEAD + "hydration-tracker"
TALK: tuple[dict[str, Any], ...] = (
    {"role": "user", "content": "Remind me to drink a glass of water every two hours, and note each one."},
    {
        "role": "assistant", "provider": "openai", "model": "gpt-5", "usage": {"input": 1840, "output": 52},
        "content": [{"type": "toolCall", "id": "call-1", "name": "write", "arguments": {"path": "hydration.md"}}],
    },
    {"role": "toolResult", "toolCallId": "call-1", "toolName": "write", "content": "20 bytes written"},
    {"role": "assistant", "content": "Noted in hydration.md. The first glass is at ten."},
)  # fmt: skip


def build(state: Path, port: int) -> None:
    """Write the sample in the layout of OpenClaw up to 2026.7; `port` is the one at which no gateway listens."""
    state.mkdir(mode=0o700, parents=True)
    _write(state / "openclaw.json", json.dumps({"gateway": {"port": port}}))
    now = time.time()
    for agent, rows in _SESSIONS.items():
        folder = state / "agents" / agent / "sessions"
        folder.mkdir(mode=0o700, parents=True)
        entries = {}
        for key, (idle, size, more) in rows.items():
            session_id = str(uuid.uuid5(NAMES, key))
            path = folder / f"{session_id}.jsonl"
            _transcript(path, session_id, size, now - idle, TALK if key == TALK_OF else ())
            if key == _TRAJECTORY_OF:
                _transcript(folder / f"{session_id}.trajectory.jsonl", session_id, 4 * KIB, now - idle)
            updated = {"updatedAt": int((now - idle) * 1000), "status": "done"}
            entries[key] = {"sessionId": session_id, "sessionFile": str(path), **updated, **more}
        _write(folder / "sessions.json", json.dumps(entries, indent=2, ensure_ascii=False))
    _delete(state / "agents/project-lead/sessions", LEAD + "budget-2027", 29 * KIB, now - 2 * DAY)
    stray = str(uuid.uuid5(NAMES, "stray"))
    _transcript(state / "agents/project-lead/sessions" / f"{stray}.jsonl", stray, 31 * KIB, now - 15 * DAY)


def _delete(folder: Path, key: str, size: int, when: float) -> None:
    """Leave what OpenClaw does of a session that was deleted in its UI, and a copy of its index from before."""
    session_id, index = str(uuid.uuid5(NAMES, key)), folder / "sessions.json"
    moment = datetime.fromtimestamp(when, UTC)
    _transcript(folder / f"{session_id}.jsonl.deleted.{moment:%Y-%m-%dT%H-%M-%S}.000Z", session_id, size, when)
    entry = {"sessionId": session_id, "updatedAt": int((when - HOUR) * 1000), "status": "done", "label": "Budget"}
    backup = folder / f"{index.name}.bak.{int((when - HOUR) * 1000)}"
    _write(backup, json.dumps({**json.loads(index.read_text()), key: entry}, indent=2))
    os.utime(backup, (when - HOUR, when - HOUR))


def _transcript(path: Path, session_id: str, size: int, written: float, talk: Sequence[dict[str, Any]] = ()) -> None:
    """Write a transcript of about so many bytes, last written at that moment."""
    begun = datetime.fromtimestamp(written - HOUR, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = [json.dumps({"type": "session", "version": 3, "id": session_id, "timestamp": begun})]
    lines += [json.dumps({"type": "message", "timestamp": begun, "message": one}) for one in talk]
    said = json.dumps({"type": "message", "message": {"role": "user", "content": "Where were we? " * 20}})
    lines += [said] * ((size - sum(map(len, lines))) // len(said))
    _write(path, "\n".join(lines) + "\n")
    os.utime(path, (written, written))


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
