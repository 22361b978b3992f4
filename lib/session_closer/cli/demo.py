"""The sample store of --demo: several agents, built in a temporary directory and thrown away."""

from __future__ import annotations

import json
import os
import tempfile
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

from ..core.report import Report
from ..core.wish import Options, Wish
from ..operations import runtimes
from ..operations.close import execute
from ..ports.context import Context
from ..ports.runtime import Place

_ABOUT = (
    "This is a demonstration: nothing of yours is touched. "
    "Its sample store is removed at the end, with every file that is named below."
)
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


class Console(Protocol):
    """Where a run of the sample says what it does; with `as_json` nothing may be said but the report."""

    as_json: Any

    def say(self, *lines: str) -> None:
        """Print lines for people."""

    def tell(self, line: str) -> None:
        """Say a line at once, before slow work begins."""

    def show(self, found: Report) -> None:
        """Print a report."""


def perform(wish: Wish, options: Options, console: Console) -> Report:
    """Run a wish on the sample, with before and after for people; return its report, which is printed."""
    with tempfile.TemporaryDirectory(prefix="session-closer-demo-") as place:
        state = os.path.realpath(os.path.join(place, "state"))
        build(state)
        where = runtimes.entrance().sample(state)
        if not console.as_json:
            console.say(_ABOUT, "", "before", *_listing(where), "")
        found = execute(where, wish, options, tell=console.tell)
        console.show(found)
        if not console.as_json and not options.dry_run:
            console.say("", "after", *_listing(where))
        return found


def _listing(where: Place) -> list[str]:
    lines = []
    runtime = runtimes.found(where, Context(Options(dry_run=True)))
    for agent in where.agents():
        store = runtime.detect(agent)
        assert store is not None
        snapshot = store.read()
        # Counted: what a report calls kept is of the agents that it is about.
        lines += [f"  agent {agent}, {len(snapshot.sessions)} sessions", *(f"    {key}" for key in snapshot.sessions)]
    return lines


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)
