"""Homes of Hermes by the schemas of 0.13, 0.19 and of later ones, and a session for each way to be in use."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from session_closer.system import processes

from support.aged import DAY

_SESSIONS_0_13 = """
    id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT, system_prompt TEXT,
    parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT, message_count INTEGER DEFAULT 0,
    title TEXT, handoff_state TEXT, handoff_platform TEXT, handoff_error TEXT
"""
_SESSIONS_0_19 = f"""{_SESSIONS_0_13}, session_key TEXT, chat_id TEXT, chat_type TEXT, thread_id TEXT, cwd TEXT,
    git_branch TEXT, git_repo_root TEXT, archived INTEGER NOT NULL DEFAULT 0
"""
_END = ", FOREIGN KEY (parent_session_id) REFERENCES sessions(id)"
_COMMON = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
CREATE TABLE messages (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id),
    role TEXT NOT NULL, content TEXT, timestamp REAL NOT NULL);
CREATE TABLE state_meta (key TEXT PRIMARY KEY, value TEXT);
CREATE INDEX idx_sessions_parent ON sessions(parent_session_id);
CREATE INDEX idx_messages_session ON messages(session_id, timestamp);
"""
_SINCE_0_19 = """
CREATE TABLE gateway_routing (scope TEXT NOT NULL DEFAULT '', session_key TEXT NOT NULL, entry_json TEXT NOT NULL,
    updated_at REAL NOT NULL, PRIMARY KEY (scope, session_key));
CREATE TABLE compression_locks (session_id TEXT PRIMARY KEY, holder TEXT NOT NULL, acquired_at REAL NOT NULL,
    expires_at REAL NOT NULL);
CREATE TABLE async_delegations (delegation_id TEXT PRIMARY KEY, origin_session TEXT NOT NULL,
    origin_ui_session_id TEXT NOT NULL DEFAULT '', parent_session_id TEXT, state TEXT NOT NULL,
    dispatched_at REAL NOT NULL, completed_at REAL, updated_at REAL NOT NULL,
    delivery_state TEXT NOT NULL DEFAULT 'pending', owner_pid INTEGER, owner_started_at INTEGER);
"""
_NEWER = """
ALTER TABLE sessions ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN last_activity_at REAL;
ALTER TABLE sessions ADD COLUMN something_new TEXT;
CREATE TABLE session_turn_leases (conversation_id TEXT PRIMARY KEY, holder TEXT NOT NULL, expires_at REAL NOT NULL);
"""
SCHEMAS = {
    11: f"CREATE TABLE sessions ({_SESSIONS_0_13}{_END});{_COMMON}",
    22: f"CREATE TABLE sessions ({_SESSIONS_0_19}{_END});{_COMMON}{_SINCE_0_19}",
}
SCHEMAS[99] = SCHEMAS[22] + _NEWER
EVERY, SINCE_0_19, NEWER = (11, 22, 99), (22, 99), (99,)


class HermesHome:
    """A home as Hermes leaves it; the database stays open, so that what was written last is in its -wal alone."""

    def __init__(self, path: Path, version: int = 22) -> None:
        self.path = path
        self.now = time.time()
        (path / "sessions").mkdir(parents=True)
        self.database = sqlite3.connect(path / "state.db", isolation_level=None)
        weakref.finalize(self, self.database.close)
        self.database.execute("pragma journal_mode = wal")
        self.database.executescript(SCHEMAS[version])
        self._insert("schema_version", version=version)

    def _insert(self, table: str, **columns: Any) -> None:
        marks = ", ".join("?" * len(columns))
        query = f"insert into {table} ({', '.join(columns)}) values ({marks})"
        self.database.execute(query, tuple(columns.values()))

    def session(self, name: str, *, age: float = 60 * DAY, messages: int = 1, **columns: Any) -> str:
        """Add a session that is over, whose last message is so old (seconds)."""
        at = self.now - age
        known = {"source": "cli", "started_at": at - 60, "ended_at": at + 1, "end_reason": "cli_close"}
        self._insert("sessions", id=name, **known | columns)
        for number in range(messages):
            self._insert("messages", session_id=name, role="user", content="?", timestamp=at - messages + 1 + number)
        return name

    def route(self, name: str, scope: str = "/elsewhere/sessions") -> None:
        """Let a chat lead to a session, in the database."""
        entry = json.dumps({"session_key": "k", "session_id": name})
        self._insert("gateway_routing", scope=scope, session_key=f"chat:{name}", entry_json=entry, updated_at=self.now)

    def index(self, *names: str, folder: Path | None = None) -> Path:
        """Let chats lead to sessions, in the gateway's index."""
        path = (folder or self.path / "sessions") / "sessions.json"
        path.write_text(json.dumps({f"chat:{name}": {"session_id": name} for name in names} | {"_note": "not a dict"}))
        return path

    def running(self, name: str, pid: int, started: float | None) -> None:
        """Say that a process has a session open."""
        (self.path / "runtime").mkdir(exist_ok=True)
        entry = {"session_id": name, "pid": pid, "process_start_time": started}
        (self.path / "runtime" / "active_sessions.json").write_text(json.dumps({"entries": [entry]}))

    def delegate(self, name: str, *, age: float = 0.0, **columns: Any) -> None:
        """Let a session wait for work that was handed over so long ago."""
        at = self.now - age
        known = {"delegation_id": f"deleg_{name}", "origin_session": "", "state": "completed", "dispatched_at": at}
        known |= {"updated_at": at, "delivery_state": "delivered"}
        self._insert("async_delegations", **known | columns)

    def lock(self, name: str, *, left: float, table: str = "compression_locks", column: str = "session_id") -> None:
        """Hold a session for so many seconds from now on."""
        more = {"acquired_at": self.now} if table == "compression_locks" else {}
        self._insert(table, **{column: name, "holder": "h", "expires_at": self.now + left}, **more)

    def close(self) -> None:
        """Close the database, as a Hermes that ends does."""
        self.database.close()


def over(home: HermesHome, name: str, **columns: Any) -> None:
    """Add a session that is over, and that a protection may hold."""
    home.session(name, **columns)


def _open(home: HermesHome, name: str) -> None:
    home.session(name, ended_at=None, end_reason=None, source="cron", age=400 * DAY)


def _routed(home: HermesHome, name: str) -> None:
    home.session(name)
    home.route(name)


def _indexed(home: HermesHome, name: str) -> None:
    home.session(name)
    home.index(name)


def _indexed_elsewhere(home: HermesHome, name: str) -> None:
    home.session(name)
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir()
    (home.path / "gateway.json").write_text(json.dumps({"sessions_dir": str(elsewhere)}))
    home.index(name, folder=elsewhere)


def _reopenable(reason: str, column: str) -> Callable[[HermesHome, str], None]:
    return lambda home, name: over(home, name, end_reason=reason, **{column: "telegram:1"})


def _handed_over(state: str) -> Callable[[HermesHome, str], None]:
    return lambda home, name: over(home, name, handoff_state=state)


def _goes_on(home: HermesHome, name: str) -> None:
    home.session("pinned", pinned=1, end_reason="compression")
    home.session(f"{name}-before", parent_session_id="pinned", end_reason="compression")
    home.session(name, parent_session_id=f"{name}-before")


def _locked(home: HermesHome, name: str) -> None:
    home.session(name)
    home.lock(name, left=60)


def _leased(home: HermesHome, name: str) -> None:
    home.session(name)
    home.lock(name, left=60, table="session_turn_leases", column="conversation_id")


def _delegated(column: str, **columns: Any) -> Callable[[HermesHome, str], None]:
    def make(home: HermesHome, name: str) -> None:
        home.session(name)
        home.delegate(name, **{column: name}, **columns)

    return make


def _working(home: HermesHome, name: str) -> None:
    pid = os.getpid()
    started = processes.start_ticks(pid)
    home.session(name)
    home.delegate(name, age=90 * DAY, parent_session_id=name, state="running", owner_pid=pid, owner_started_at=started)


def _running(home: HermesHome, name: str) -> None:
    home.session(name)
    home.running(name, os.getpid(), psutil.Process().create_time())


def _ancestor(home: HermesHome, name: str) -> None:
    home.session(name, end_reason="compression")
    home.session(f"{name}-child", parent_session_id=name)
    home.session(f"{name}-grandchild", parent_session_id=f"{name}-child", ended_at=None)


class Way(NamedTuple):
    """One way to be in use: the word for it, what makes a session that is, and the schemas that have it."""

    name: str
    word: str
    make: Callable[[HermesHome, str], None]
    versions: tuple[int, ...] = SINCE_0_19


WAYS = (
    Way("open, of any source and however old", "open", _open, EVERY),
    Way("a chat leads there, in the database", "routed", _routed),
    Way("a chat leads there, in the index", "routed", _indexed, EVERY),
    Way("a chat leads there, and there is no row", "routed", lambda home, name: (home.index(name), None)[1], EVERY),
    Way("a chat leads there, in an index elsewhere", "routed", _indexed_elsewhere, EVERY),
    Way("agent_close, by its key", "reopenable", _reopenable("agent_close", "session_key")),
    Way("agent_close, by its chat", "reopenable", _reopenable("agent_close", "chat_id")),
    Way("ws_orphan_reap", "reopenable", _reopenable("ws_orphan_reap", "chat_id")),
    Way("superseded_by_resume", "reopenable", _reopenable("superseded_by_resume", "chat_id")),
    Way("startup_orphan_reap", "reopenable", _reopenable("startup_orphan_reap", "chat_id")),
    Way("archived", "archived", lambda home, name: over(home, name, archived=1)),
    Way("pinned", "pinned", lambda home, name: over(home, name, pinned=1), NEWER),
    Way("what a pinned one goes on in", "pinned", _goes_on, NEWER),
    Way("to be handed over", "handoff", _handed_over("pending"), EVERY),
    Way("being handed over", "handoff", _handed_over("running"), EVERY),
    Way("compressed just now", "locked", _locked),
    Way("in the middle of a turn", "leased", _leased, NEWER),
    Way("waits for a result: the parent", "delegated", _delegated("parent_session_id", delivery_state="pending")),
    Way("waits for a result: the origin", "delegated", _delegated("origin_session", delivery_state="pending")),
    Way("waits for a result: a window", "delegated", _delegated("origin_ui_session_id", delivery_state="pending")),
    Way("a living process works for it", "delegated", _working),
    Way("a living process has it open", "running", _running, EVERY),
    Way("one that is open comes from it", "ancestor", _ancestor, EVERY),
)
# In use only as long as something else is so, which it is not here.
FREE = (
    Way("over", "", over, EVERY),
    Way("closed without a chat", "", lambda home, name: over(home, name, end_reason="agent_close")),
    Way("a chat that has begun anew", "", _reopenable("session_reset", "chat_id")),
    Way("was handed over", "", _handed_over("completed"), EVERY),
    Way("compressed long ago", "", lambda home, name: (over(home, name), home.lock(name, left=-1))[0]),
    Way(
        "a child of an open one", "", lambda home, name: (_open(home, "p"), over(home, name, parent_session_id="p"))[1]
    ),
    Way("fetched its result", "", _delegated("parent_session_id", delivery_state="delivered")),
    Way("a dead process works for it", "", _delegated("parent_session_id", state="running", owner_pid=2**30)),
    Way(
        "a result that nobody fetches",
        "",
        _delegated("parent_session_id", delivery_state="pending", state="unknown", age=31 * DAY),
    ),
)
