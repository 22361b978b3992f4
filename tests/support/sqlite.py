"""Sample databases of sessions, and the statements that change them."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.keys import LEAD, RESEARCHER
from support.moments import BORN
from support.schemas import SCHEMA, USER_VERSION

if TYPE_CHECKING:
    from support.stores import Store


CRON_RUN = LEAD + "cron:nightly:run:7f3a"


def database(state: str | Path, agent: str) -> Path:
    """Return where an agent's database is."""
    return Path(state, "agents", agent, "agent", "openclaw-agent.sqlite")


def agent_of(key: str) -> str:
    """Return the agent that a gateway takes a key for: bare keys are the default agent's."""
    parts = key.split(":")
    return parts[1] if parts[0] == "agent" and len(parts) > 2 else "main"


def opened(path: Path) -> sqlite3.Connection:
    """Return a connection the way OpenClaw opens one; nothing in a test has to survive a power cut."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma synchronous = off")
    return connection


class Bases:
    """The databases of one state directory, seen from a test."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.store.state

    def create(self, agent: str, version: int = USER_VERSION) -> None:
        """Create an agent's database and its sessions folder."""
        path = database(self.store.state, agent)
        path.parent.mkdir(mode=0o700, parents=True)
        self.store.folder(agent).mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(_empty(version))
        path.chmod(0o600)

    @contextlib.contextmanager
    def open(self, agent: str) -> Iterator[sqlite3.Connection]:
        """Give a connection."""
        with contextlib.closing(opened(database(self.store.state, agent))) as connection:
            yield connection

    def add(
        self,
        key: str,
        *,
        agent: str | None = None,
        events: int = 2,
        status: str | None = None,
        archived_at: int | None = None,
        pinned_at: int | None = None,
        **more: Any,
    ) -> str:
        """Add a session with a transcript; return its id. The entry is text that nobody would write twice alike."""
        agent = agent or agent_of(key)
        session = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{agent} {key}"))
        entry = {"sessionId": session, "updatedAt": BORN, "note": "“ñ”  \u2028 \\ /", **more}
        if archived_at is not None:
            entry |= {"archivedAt": archived_at, "archiveReason": "manual"}
        text = json.dumps(entry, ensure_ascii=False, separators=(", ", ":"))
        with self.open(agent) as connection:
            connection.execute(
                "insert into session_nodes (session_key, current_session_id, entry_json, updated_at, status, pinned_at,"
                " archived_at) values (?, ?, ?, ?, ?, ?, ?)",
                (key, session, text, BORN, status, pinned_at, archived_at),
            )
            connection.execute(*window(session, key))
            for seq in range(events):
                connection.execute(*event(session, seq))
        return session

    def rows(self, agent: str = "project-lead") -> dict[str, dict[str, Any]]:
        """Return an agent's rows by key."""
        with self.open(agent) as connection:
            return {row["session_key"]: dict(row) for row in connection.execute("select * from session_nodes")}

    def events(self, agent: str = "project-lead") -> dict[tuple[str, int], str]:
        """Return an agent's transcript events by session id and number."""
        with self.open(agent) as connection:
            query = "select session_id, seq, event_json from transcript_events"
            return {(row[0], row[1]): row[2] for row in connection.execute(query)}

    def listed(self, agent: str = "project-lead") -> set[str]:
        """Return an agent's session keys."""
        return set(self.rows(agent))

    def archives(self, agent: str = "project-lead") -> list[Path]:
        """Return the archives of an agent's transcripts."""
        return sorted(self.store.folder(agent).glob("*.jsonl.deleted.*.zst"))


# Deletes sessions of databases through a gateway that is gone again afterwards; returns the id of the receipt.
Delete = Callable[..., str]


@functools.cache
def _empty(version: int) -> bytes:
    """Return a database without sessions."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "empty.sqlite")
        with contextlib.closing(opened(path)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(SCHEMA)
            connection.execute(f"pragma user_version = {version}")
            connection.execute("insert into auth_profile_store values ('default', '{}')")
        return path.read_bytes()


def build_sqlite(store: Store) -> Bases:
    """Return the sample databases in a state directory: two agents, every kind of key, closed cleanly."""
    bases = Bases(store)
    for agent in ("project-lead", "researcher"):
        bases.create(agent)
        bases.add(f"agent:{agent}:main")
        bases.add(f"agent:{agent}:kelly-dashboard", label="Kelly's “dashboard”")
    for tail in ("alpha", "beta", "project-hydration-tracker", "cron:nightly"):
        bases.add(LEAD + tail)
    bases.add(CRON_RUN)
    bases.add(LEAD + "never-spoken", events=0)
    bases.add(LEAD + "pinned", pinned_at=BORN)
    bases.add(LEAD + "put-away", archived_at=BORN + 5)
    bases.add(LEAD + "matrix:!RoomAbc:Server")
    bases.add(RESEARCHER + "gamma")
    return bases


def window(session: str, key: str) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that gives a session its window."""
    columns = "session_id, session_key, created_at, updated_at"
    return f"insert into session_windows ({columns}) values (?, ?, ?, ?)", (session, key, BORN, BORN)


def event(session: str, seq: int, text: str = "hello") -> tuple[str, tuple[Any, ...]]:
    """Return the statement that appends an event to a transcript."""
    body = json.dumps({"type": "message", "id": f"{session}/{seq}", "message": {"role": "user", "content": text}})
    columns = "session_id, seq, event_json, created_at"
    return f"insert into transcript_events ({columns}) values (?, ?, ?, ?)", (session, seq, body, BORN + seq)


def begun_run(key: str) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that shows a run in flight."""
    return "update session_nodes set status = 'running' where session_key = ?", (key,)


def reset(key: str, fresh: str) -> list[tuple[str, tuple[Any, ...]]]:
    """Return the statements that give a key a new session."""
    change = (
        "update session_nodes set current_session_id = ?, archived_at = null, entry_json = json_remove("
        "json_set(entry_json, '$.sessionId', ?), '$.archivedAt', '$.archiveReason') where session_key = ?"
    )
    return [(change, (fresh, fresh, key)), window(fresh, key), event(fresh, 0)]


def packed(text: str) -> bytes:
    """Return a text as OpenClaw packs a transcript."""
    return bytes(_zstd().compress(text.encode()))


def unpacked(raw: bytes) -> bytes:
    """Return what was packed."""
    return bytes(_zstd().decompress(raw))


def _zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
