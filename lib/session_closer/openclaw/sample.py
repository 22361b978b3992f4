"""A sample of several agents, as OpenClaw would have left it three days ago, for a demonstration."""

from __future__ import annotations

import json
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Any

_AGE_SECONDS = 3 * 24 * 60 * 60
_NAMES = uuid.UUID("6f0f3c52-9d5e-4c5b-8a2e-5f1f6f9a7c10")

# agent -> (tail of the key or a bare key, settings): `like` shares another row's session, `with` adds companions.
_SAMPLE: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "project-lead": [
        ("agent:project-lead:main", {}),
        (
            "agent:project-lead:kelly-dashboard",
            {"label": "Kelly's dashboard", "with": ("trajectory", "checkpoint")},
        ),
        ("agent:project-lead:project-kelly-dashboard", {}),
        ("agent:project-lead:project-hydration-tracker", {}),
        ("project-hydration-tracker", {}),
        ("agent:project-lead:invoice-import", {"chatType": "direct"}),
        ("agent:project-lead:invoice-import-review", {"like": "agent:project-lead:invoice-import"}),
        ("agent:project-lead:telegram:group:-1001234", {"chatType": "group"}),
        ("agent:project-lead:cron:nightly-report", {}),
        (
            "agent:project-lead:cron:nightly-report:run:7f3a",
            {"like": "agent:project-lead:cron:nightly-report"},
        ),
        ("agent:project-lead:subagent:2b1c", {"spawnedBy": "agent:project-lead:kelly-dashboard"}),
        ("agent:project-lead:never-spoken", {"silent": True}),
    ],
    "researcher": [
        ("agent:researcher:main", {}),
        ("agent:researcher:kelly-dashboard", {"label": "Reading for Kelly"}),
    ],
    "main": [("agent:main:main", {}), ("agent:main:hydration-tracker", {})],
}


def build(state: str) -> None:
    """Write the sample into an empty state directory: sessions of three days ago."""
    born = int(time.time() - _AGE_SECONDS)
    for agent, rows in _SAMPLE.items():
        folder = os.path.join(state, "agents", agent, "sessions")
        os.makedirs(folder, mode=0o700)
        entries = {}
        for number, (key, settings) in enumerate(rows):
            entries[key] = _entry(folder, key, dict(settings), born + number * 60)
        _write(os.path.join(folder, "sessions.json"), json.dumps(entries, indent=2, ensure_ascii=False))


def _entry(folder: str, key: str, settings: dict[str, Any], moment: int) -> dict[str, Any]:
    companions = settings.pop("with", ())
    silent = settings.pop("silent", False)
    session_id = str(uuid.uuid5(_NAMES, folder.split(os.sep)[-2] + settings.pop("like", key)))
    path = os.path.join(folder, f"{session_id}.jsonl")
    entry = {"sessionId": session_id, "updatedAt": moment * 1000, **settings}
    if silent:
        return entry
    entry["sessionFile"] = path
    begun = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first = {"type": "session", "version": 3, "id": session_id, "timestamp": begun}
    said = {"type": "message", "message": {"role": "user", "content": f"Let us talk about {key}."}}
    _write(path, json.dumps(first) + "\n" + json.dumps(said) + "\n")
    if "trajectory" in companions:
        _write(os.path.join(folder, f"{session_id}.trajectory.jsonl"), '{"traceSchema":"openclaw-trajectory"}\n')
    if "checkpoint" in companions:
        checkpoint = uuid.uuid5(_NAMES, "checkpoint")
        _write(os.path.join(folder, f"{session_id}.checkpoint.{checkpoint}.jsonl"), json.dumps(first) + "\n")
    return entry


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
