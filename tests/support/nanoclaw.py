"""Homes of NanoClaw by the schemas of version 1 and 2, and in them one old thing of each kind that nobody needs."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from session_closer.nanoclaw import entrance

from support.aged import DAY, Aged

_V1 = "create table sessions (group_folder text primary key, session_id text not null)"
_V2 = """
create table agent_groups (id text primary key, name text not null, folder text not null unique, created_at text);
create table sessions (id text primary key, agent_group_id text not null references agent_groups(id),
    status text default 'active', container_status text default 'stopped', last_active text, created_at text);
create table pending_questions (question_id text primary key, session_id text not null references sessions(id));
create table pending_approvals (approval_id text primary key, session_id text references sessions(id),
    status text not null default 'pending');
"""
INBOUND = """
create table messages_in (id text primary key, kind text not null, timestamp text, status text default 'pending',
    content text not null, source_session_id text);
create table delivered (message_out_id text primary key, status text not null default 'delivered');
"""
OUTBOUND = """
create table messages_out (id text primary key, kind text not null, content text not null);
create table processing_ack (message_id text primary key, status text not null, status_changed text);
create table session_state (key text primary key, value text not null, updated_at text);
"""
OVER, USED = (f"{digit * 8}-1111-4111-8111-{digit * 12}" for digit in "a1")
GROUP, OTHER, LOST = "ag-main", "ag-other", "ag-lost"
CLOSED, ACTIVE = "sess-1-over", "sess-2-open"
_MORE = "99999999-9999-4999-8999-999999999999"


def of_claude(folder: str, projects: str, sid: str) -> dict[str, str]:
    """Return the path of each kind that Claude Code leaves of a session."""
    return {
        "transcript": f"{folder}/projects/{projects}/{sid}.jsonl",
        "tool_results": f"{folder}/projects/{projects}/{sid}",
        "debug": f"{folder}/debug/{sid}.txt",
        "todo": f"{folder}/todos/{sid}-agent-{sid}.json",
        "telemetry": f"{folder}/telemetry/1p_failed_events.{sid}.{_MORE}.json",
    }


class NanoclawHome(Aged):
    """A root with what lies in it; the central database of version 2 stays open: its newest rows are in its -wal."""

    database = ""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = time.time()
        place = path / self.database
        place.parent.mkdir(parents=True)
        (path / "package.json").write_text('{"name": "nanoclaw", "version": "2.0.64"}')
        self.central = opened(place)
        weakref.finalize(self, self.central.close)

    def add(self, table: str, **columns: Any) -> None:
        """Add a row to the central database."""
        insert(self.central, table, **columns)

    def values(self, table: str, **known: Any) -> dict[str, Any]:
        """Return a row of the central database by what is known of it."""
        wanted = " and ".join(f"{name} = ?" for name in known)
        found = self.central.execute(f"select * from {table} where {wanted}", tuple(known.values()))
        return dict(zip([name for name, *_ in found.description], found.fetchone(), strict=True))

    def lay_all_of(self, folder: str, projects: str, sid: str, *, age: float = 60 * DAY) -> dict[str, str]:
        """Leave one of each kind that Claude Code leaves of a session."""
        found = of_claude(folder, projects, sid)
        for kind, path in found.items():
            self.lay(f"{path}/tool-results/one.txt" if kind == "tool_results" else path, sid, age=age)
            self.age(path, age)
        return found

    def dig(self, path: str) -> None:
        """Make a folder in a folder, and so on, deeper than anybody would."""
        here = os.open(self.path / path, os.O_RDONLY)
        for _ in range(300):
            os.mkdir("deep", dir_fd=here)
            inner = os.open("deep", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)

    def place(self) -> entrance.NanoclawPlace:
        """Return it as a command line names it."""
        return entrance.find({}, named=str(self.path), profile=None)

    def tree(self) -> dict[str, bytes]:
        """Return all that is there but for what is ours, and but for the side files of the central database."""
        return {
            path: each.read_bytes()
            for each in sorted(self.path.rglob("*"))
            if each.is_file()
            and not (path := each.relative_to(self.path).as_posix()).startswith(("session-closer/", "data/v2.db-"))
        }

    def close(self) -> None:
        """Close the central database."""
        self.central.close()


class V1Home(NanoclawHome):
    """Version 1: one group, with the session that it has now, and one old thing of each kind of a task's session."""

    database = "store/messages.db"
    claude, projects = "data/sessions/main/.claude", "-workspace-group"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.central.executescript(_V1)
        self.add("sessions", group_folder="main", session_id=USED)

    def lay_free(self) -> dict[str, str]:
        """Leave one of each kind that goes; return the paths."""
        found = self.lay_all_of(self.claude, self.projects, OVER)
        found["group_log"] = "groups/main/logs/container-1.log"
        self.lay(found["group_log"])
        return found

    def lay_used(self) -> dict[str, str]:
        """Leave what is as old, and of the session that the group has now."""
        return self.lay_all_of(self.claude, self.projects, USED)


class V2Home(NanoclawHome):
    """Version 2: a group with an active session, whose row is in the -wal alone, and with one that is closed."""

    database = "data/v2.db"
    claude, projects = f"data/v2-sessions/{GROUP}/.claude-shared", "-workspace-agent"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.central.executescript(f"pragma journal_mode = wal; {_V2}")
        for group in (GROUP, OTHER):
            self.add("agent_groups", id=group, name=group, folder=group)
        self.central.execute("pragma wal_checkpoint(truncate)")
        self.row(ACTIVE, status="active")

    def row(self, name: str, *, group: str = GROUP, age: float = 60 * DAY, **columns: Any) -> None:
        """Add a session, closed unless it is said."""
        last = datetime.fromtimestamp(self.now - age, UTC).isoformat().replace("+00:00", "Z")
        self.add("sessions", **{"id": name, "agent_group_id": group, "status": "closed", "last_active": last} | columns)

    def session(self, name: str, *, group: str = GROUP, age: float = 60 * DAY, sid: str | None = None) -> str:
        """Make the folder of a session, with its two databases and nothing to be done; return its path."""
        path = f"data/v2-sessions/{group}/{name}"
        for each in ("inbox", "outbox"):
            (self.path / path / each).mkdir(parents=True, exist_ok=True)
        self.write(path, "inbound", INBOUND)
        self.write(path, "outbound", OUTBOUND)
        self.tell(path, "inbound", "messages_in", id="m1", kind="chat", status="completed", content="?")
        self.tell(path, "outbound", "messages_out", id="o1", kind="chat", content="!")
        self.tell(path, "inbound", "delivered", message_out_id="o1")
        if sid is not None:
            self.tell(path, "outbound", "session_state", key="continuation:claude", value=sid)
        self.lay(f"{path}/.heartbeat", "")
        self.age(path, age)
        return path

    def write(self, path: str, name: str, script: str) -> None:
        """Run a script over one of the two databases of a session."""
        with contextlib.closing(opened(self.path / path / f"{name}.db")) as database:
            database.executescript(script)

    def tell(self, path: str, name: str, table: str, *, age: float = 60 * DAY, **columns: Any) -> None:
        """Add a row to one of the two databases of a session."""
        with contextlib.closing(opened(self.path / path / f"{name}.db")) as database:
            insert(database, table, **columns)
        self.age(path, age)

    def lay_free(self) -> dict[str, str]:
        """Leave one of each kind that goes; return the paths."""
        self.row(CLOSED)
        found = self.lay_all_of(self.claude, self.projects, OVER)
        found["session_dir"] = self.session(CLOSED)
        found["rotated"] = f"{self.claude}/projects/{self.projects}/{USED}.jsonl.rotated-1700000000000"
        self.lay(found["rotated"])
        found["group_dir"] = f"data/v2-sessions/{LOST}"
        self.lay(f"{found['group_dir']}/sess-0/inbox/note.txt")
        self.age(found["group_dir"], 60 * DAY)
        return found

    def lay_used(self) -> dict[str, str]:
        """Leave what is as old, and of the active session."""
        found = self.lay_all_of(self.claude, self.projects, USED)
        found["session_dir"] = self.session(ACTIVE, sid=USED)
        return found


def opened(path: Path) -> sqlite3.Connection:
    """Open a database; no power is cut in a test."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma synchronous = off")
    return database


def insert(database: sqlite3.Connection, table: str, **columns: Any) -> None:
    """Add a row."""
    marks = ", ".join("?" * len(columns))
    database.execute(f"insert into {table} ({', '.join(columns)}) values ({marks})", tuple(columns.values()))
