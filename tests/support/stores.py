"""A sample state directory whose sessions are in files, and what a test asks of it."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from session_closer.system import processes

from support.keys import LEAD, session_id
from support.moments import BORN, PUT_AWAY
from support.trees import tree, write

TOKEN = "token-of-the-tests"


class Store:
    """One state directory in the layout of OpenClaw up to 2026.7."""

    def __init__(self, state: Path, port: int) -> None:
        self.state = Path(os.path.realpath(state))
        self.port = port
        self.state.mkdir(mode=0o700, parents=True)
        self.configure()

    def configure(self, *, token: str | None = TOKEN, **more: Any) -> None:
        """Write the configuration."""
        gateway: dict[str, Any] = {"mode": "local", "port": self.port, "bind": "loopback"}
        if token is not None:
            gateway["auth"] = {"mode": "token", "token": token}
        agents = {"list": [{"id": "main", "default": True}, {"id": "project-lead"}, {"id": "researcher"}]}
        write(self.state / "openclaw.json", json.dumps({"gateway": gateway, "agents": agents, **more}))

    def folder(self, agent: str = "project-lead") -> Path:
        """Return an agent's sessions folder."""
        return self.state / "agents" / agent / "sessions"

    def index(self, agent: str = "project-lead") -> Path:
        """Return an agent's sessions.json."""
        return self.folder(agent) / "sessions.json"

    def entries(self, agent: str = "project-lead") -> dict[str, Any]:
        """Return an agent's entries."""
        return dict(json.loads(self.index(agent).read_bytes()))

    def listed(self, agent: str = "project-lead") -> list[str]:
        """Return an agent's session keys."""
        return list(self.entries(agent))

    def write(self, entries: Mapping[str, Any], agent: str = "project-lead") -> None:
        """Write an agent's sessions.json the way OpenClaw does."""
        self.folder(agent).mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(entries, indent=2, ensure_ascii=False)
        write(self.index(agent), text.encode("utf-8", "surrogatepass"))

    def add(self, *rows: tuple[str, Mapping[str, Any]], agent: str = "project-lead") -> None:
        """Add entries."""
        known = self.entries(agent) if self.index(agent).exists() else {}
        self.write({**known, **dict(rows)}, agent)

    def session(
        self, key: str, *, agent: str = "project-lead", like: str | None = None, spoken: bool = True, **more: Any
    ) -> dict[str, Any]:
        """Return an entry, its transcript written; `like` names the session whose transcript it shares."""
        name = session_id(f"{agent} {like or key}")
        entry: dict[str, Any] = {"sessionId": name, "updatedAt": BORN, **more}
        if spoken:
            entry["sessionFile"] = str(self.transcript(f"{name}.jsonl", agent))
        return entry

    def transcript(self, name: str, agent: str = "project-lead") -> Path:
        """Write a file into the sessions folder; return its path."""
        path = self.folder(agent) / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, json.dumps({"type": "session", "version": 3, "id": name}) + "\n")
        return path

    def names(self, agent: str = "project-lead") -> set[str]:
        """Return the names in an agent's sessions folder."""
        return set(os.listdir(self.folder(agent)))

    def backups(self, agent: str = "project-lead") -> list[Path]:
        """Return an agent's backups."""
        return sorted(self.folder(agent).glob("sessions.json.bak-*"))

    def receipts(self) -> list[dict[str, Any]]:
        """Return all receipts, oldest first."""
        return [json.loads(path.read_bytes()) for path in sorted(self.state.glob("session-closer/receipts/*.json"))]

    def open_runs(self) -> list[str]:
        """Return the runs that have not ended."""
        return sorted(path.name for path in self.state.glob("session-closer/open/*"))

    def lock_transcript(self, key: str, agent: str = "project-lead") -> Path:
        """Put a live process's lock beside a session's transcript: a run in flight."""
        path = Path(self.entries(agent)[key]["sessionFile"] + ".lock")
        pid = os.getpid()
        write(path, json.dumps({"pid": pid, "createdAt": "now", "starttime": processes.start_ticks(pid)}))
        return path


def picture(store: Store) -> dict[str, tuple[Any, ...]]:
    """Return what is in the agents' folders but backups: names, modes, content; times of all but the indexes."""
    found = {}
    for name, (mode, time, content) in tree(store.state / "agents").items():
        if ".bak-" not in name:
            changes = stat.S_ISDIR(mode) or name.endswith("sessions.json")
            found[name] = (mode, None if changes else time, content)
    return found


# Makes the sample store with its gateway in some state of life (tests/commands/conftest.py).
Stage = Callable[..., Store]


def build(state: Path, port: int) -> Store:
    """Return the sample store: three agents, every kind of key and every kind of file."""
    store = Store(state, port)
    _project_lead(store)
    for agent, tails in (("researcher", ("main", "kelly-dashboard")), ("main", ("main", "hydration-tracker"))):
        rows = [f"agent:{agent}:{tail}" for tail in tails]
        store.add(*((key, store.session(key, agent=agent)) for key in rows), agent=agent)
    return store


def _project_lead(store: Store) -> None:
    def row(tail: str, **more: Any) -> tuple[str, dict[str, Any]]:
        key = tail if tail.startswith("project-invoices") else LEAD + tail
        return key, store.session(key, **more)

    topics = session_id("topics")
    store.add(
        row("main"),
        row("kelly-dashboard", label="Kelly's “dashboard”"),
        row("project-kelly-dashboard"),
        row("project-hydration-tracker"),
        row("project-invoices"),
        row("alpha", chatType="direct"),
        row("alpha-review", like=LEAD + "alpha"),
        row("cron:nightly"),
        row("cron:nightly:run:7f3a", like=LEAD + "cron:nightly"),
        row("subagent:2b1c", spawnedBy=LEAD + "kelly-dashboard"),
        row("never-spoken", spoken=False),
        (LEAD + "after-reset", {**store.session("older"), "sessionId": session_id("newer"), "updatedAt": BORN}),
        (LEAD + "topics", {"sessionId": topics, "updatedAt": BORN}),
        row("telegram:group:-1001234", chatType="group"),
    )
    store.transcript(f"{session_id('newer')}.jsonl")
    store.transcript(f"{topics}-topic-42.jsonl")
    kelly = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    store.transcript(f"{kelly}.trajectory.jsonl")
    store.transcript(f"{kelly}.trajectory-path.json")
    store.transcript(f"{kelly}.checkpoint.{session_id('checkpoint')}.jsonl")
    store.transcript(f"orphan.jsonl.deleted.{PUT_AWAY}")
