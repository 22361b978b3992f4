"""Session databases in the layout of OpenClaw 2026.9.6, and what its gateway does to them."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support_moments import BORN

if TYPE_CHECKING:
    from support import Store

USER_VERSION = 23
LEAD, RESEARCHER = "agent:project-lead:", "agent:researcher:"
CRON_RUN = LEAD + "cron:nightly:run:7f3a"
PATCH_MANY = 100
# As `select sql from sqlite_master` shows them, without the columns that nobody here looks at.
SCHEMA = """
create table session_nodes (
  session_key text not null primary key, current_session_id text not null, entry_json text not null,
  entry_valid integer not null default 0, updated_at integer not null,
  status text check (status is null or status in ('running', 'done', 'failed', 'killed', 'timeout')),
  created_at integer, created_via text, project_id text, parent_session_key text, spawned_by text, label text,
  display_name text, pinned_at integer, archived_at integer, last_read_at integer, last_interaction_at integer,
  last_activity_at integer
);
create table session_windows (
  session_id text not null primary key, session_key text not null, previous_session_id text, reason text,
  created_at integer not null, updated_at integer not null, status text,
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table transcript_events (
  session_id text not null, seq integer not null, event_json text, created_at integer not null, event_zstd blob,
  event_utf8_bytes integer, navigation_json text, primary key (session_id, seq),
  foreign key (session_id) references session_windows (session_id) on delete cascade
);
create table auth_profile_store (store_key text not null primary key, store_json text not null);
create table trajectory_runtime_events (
  session_id text not null, seq integer not null, run_id text, event_json text not null, created_at integer not null,
  primary key (session_id, seq),
  foreign key (session_id) references session_windows (session_id) on delete cascade
);
create table session_participants (
  session_key text not null, identity_namespace text not null, actor_id text not null,
  contribution_count integer not null, primary key (session_key, identity_namespace, actor_id),
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table board_tabs (
  session_key text not null, tab_id text not null, title text not null, primary key (session_key, tab_id),
  foreign key (session_key) references session_nodes (session_key) on delete cascade
);
create table board_widgets (
  session_key text not null, name text not null, tab_id text not null, html text, primary key (session_key, name),
  foreign key (session_key, tab_id) references board_tabs (session_key, tab_id) on delete cascade
);
"""
# The database of the state directory, likewise.
STATE_SCHEMA = """
create table current_conversation_bindings (
  binding_key text primary key, binding_id text not null, target_session_key text not null, channel text not null,
  conversation_id text not null, record_json text not null
);
create table session_watch_cursors (watcher_session_key text not null, target_session_key text not null);
create table cron_jobs (
  store_key text not null, job_id text not null, enabled integer not null, job_json text not null, state_json text,
  primary key (store_key, job_id)
);
create table worktrees (
  id text not null primary key, path text not null, branch text not null, owner_kind text not null, owner_id text,
  provisioned_paths_json text, removed_at integer
);
create table delivery_queue_entries (queue_name text not null, id text not null, session_key text, entry_json text);
create table audit_events (sequence integer primary key, session_key text, session_id text);
"""


class No(Exception):
    """The gateway refuses a call."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message)
        self.error = {"code": "INVALID_REQUEST", "message": message, **more}


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

    def create(self, agent: str, version: int = USER_VERSION) -> None:
        """Create an agent's database and its sessions folder."""
        path = database(self.store.state, agent)
        path.parent.mkdir(mode=0o700, parents=True)
        self.store.folder(agent).mkdir(mode=0o700, exist_ok=True)
        with contextlib.closing(opened(path)) as connection:
            connection.execute("pragma journal_mode = wal")
            connection.executescript(SCHEMA)
            connection.execute(f"pragma user_version = {version}")
            connection.execute("insert into auth_profile_store values ('default', '{}')")
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
        "update session_nodes set current_session_id = ?1, archived_at = null, entry_json = json_remove("
        "json_set(entry_json, '$.sessionId', ?1), '$.archivedAt', '$.archiveReason') where session_key = ?2"
    )
    return [(change, (fresh, key)), window(fresh, key), event(fresh, 0)]


# What the gateway does

HELD: dict[tuple[str, str], dict[str, sqlite3.Connection]] = {}
_last = [0]


def hold(order: Mapping[str, Any]) -> dict[str, sqlite3.Connection]:
    """Return a connection to each database of the state directory; they stay open as long as it is served.

    So what is written is in the `-wal` and nowhere else.
    """
    state = order["state"]
    if (state, order.get("serial", "")) not in HELD:
        for connections in HELD.values():
            for connection in connections.values():
                connection.close()
        HELD.clear()
        found = {path.name: database(state, path.name) for path in Path(state, "agents").glob("*")}
        HELD[state, order.get("serial", "")] = {
            agent: opened(path) for agent, path in found.items() if path.exists() and _has_sessions(path)
        }
    return HELD[state, order.get("serial", "")]


def _has_sessions(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        try:
            return bool(connection.execute("select 1 from sqlite_master where name = 'session_windows'").fetchall())
        except sqlite3.DatabaseError:
            return False


def tick() -> int:
    """Return the time in ms, never the same twice."""
    _last[0] = max(int(time.time() * 1000), _last[0] + 1)
    return _last[0]


def _closed_schema(params: Mapping[str, Any], *known: str) -> None:
    if unknown := set(params) - set(known):
        raise No(f"invalid params: unexpected property {min(unknown)!r}")


def _changed(key: str, what: str) -> No:
    return No(f"Session {key} changed before {what}. Retry.", details={"reason": "session-changed"})


def packed(text: str) -> bytes:
    """Return a text as OpenClaw packs a transcript."""
    return bytes(_zstd().compress(text.encode()))


def unpacked(raw: bytes) -> bytes:
    """Return what was packed."""
    return bytes(_zstd().decompress(raw))


def _zstd() -> Any:
    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def _row(connection: sqlite3.Connection, key: str) -> sqlite3.Row | None:
    found = connection.execute("select * from session_nodes where session_key = ?", (key,)).fetchone()
    assert found is None or isinstance(found, sqlite3.Row)
    return found


def is_active(order: Mapping[str, Any], row: sqlite3.Row) -> bool:
    """Tell whether a run is in flight."""
    key = row["session_key"]
    return key in order.get("active", ()) or (row["status"] == "running" and key not in order.get("stale", ()))


def list_sessions(
    order: Mapping[str, Any], connection: sqlite3.Connection, agent: str, params: Mapping[str, Any], *, lie: bool
) -> dict[str, Any]:
    """Return the rows that are not archived; the runs of cron jobs are never listed."""
    _closed_schema(params, "agentId", "limit", "offset", "archived", "includeGlobal", "includeUnknown")
    rows = [
        {
            "key": row["session_key"],
            "sessionId": row["current_session_id"],
            "agentId": agent,
            "status": row["status"],
            "archived": False,
            "hasActiveRun": is_active(order, row),
            "updatedAt": row["updated_at"],
        }
        for row in connection.execute("select * from session_nodes where archived_at is null order by session_key")
        if not (":cron:" in row["session_key"] and ":run:" in row["session_key"])
    ]
    rows += [row for row in order.get("ghosts", []) if agent_of(row["key"]) == agent]
    rows = rows[: params.get("limit", 100)]
    return {"path": str(database(order["state"], agent)), "totalCount": len(rows), "hasMore": False, "sessions": rows}


def patch_many(
    order: Mapping[str, Any], held: Mapping[str, sqlite3.Connection], params: Mapping[str, Any], *, lie: bool
) -> dict[str, Any]:
    """Archive sessions or take them out of the archive, each on its own."""
    _closed_schema(params, "targets", "patch")
    _closed_schema(params["patch"], "archived", "pinned")
    if not 0 < len(params["targets"]) <= PATCH_MANY:
        raise No("invalid sessions.patchMany params: targets must NOT have more than 100 items")
    outcomes = []
    for target in params["targets"]:
        _closed_schema(target, "key", "agentId", "expectedSessionId")
        key = target["key"]
        try:
            if not lie:
                patch = params["patch"]
                _archive(order, held[agent_of(key)], key, target.get("expectedSessionId"), patch["archived"])
                if patch.get("pinned"):
                    pin = "update session_nodes set pinned_at = ? where session_key = ?"
                    held[agent_of(key)].execute(pin, (tick(), key))
            outcomes.append({"ok": True, "key": key})
        except No as problem:
            outcomes.append({"ok": False, "key": key, "error": problem.error})
    return {"ok": True, "outcomes": outcomes}


def _archive(
    order: Mapping[str, Any], connection: sqlite3.Connection, key: str, expected: str | None, archived: bool
) -> None:
    row = _row(connection, key)
    if row is None or (expected is not None and row["current_session_id"] != expected):
        raise _changed(key, "patch")
    if key == f"agent:{agent_of(key)}:main":
        raise No(f"Cannot archive the main session ({key}).")
    if (row["archived_at"] is not None) is archived:
        return
    now, status = tick(), row["status"]
    entry = json.loads(row["entry_json"]) | {"updatedAt": now}
    if archived:
        entry |= {"archivedAt": now, "archiveReason": "manual"}
        if is_active(order, row):
            status = "killed"
            entry |= {"status": status, "abortedLastRun": True}
    else:
        del entry["archivedAt"], entry["archiveReason"]
    connection.execute(
        "update session_nodes set entry_json = ?, updated_at = ?, archived_at = ?, status = ?, pinned_at = null"
        " where session_key = ?",
        (json.dumps(entry, ensure_ascii=False), now, now if archived else None, status, key),
    )


def delete(
    order: Mapping[str, Any], connection: sqlite3.Connection, agent: str, params: Mapping[str, Any], *, lie: bool
) -> dict[str, Any]:
    """Delete a session and write its transcript into an archive, an archived session or not."""
    _closed_schema(params, "key", "agentId", "expectedSessionId", "deleteTranscript", "archivedOnly")
    if order.get("refuse") == "delete":
        raise No("missing scope: operator.admin")
    key = params["key"]
    if key == f"agent:{agent}:main" or key == "global":
        raise No(f"Cannot delete the main session ({key}).")
    row, expected = _row(connection, key), params.get("expectedSessionId")
    if params.get("archivedOnly") and (row is None or row["archived_at"] is None):
        raise No(f"Session {key} is not archived. Archive it first, then delete it.")
    if expected is not None and (row is None or row["current_session_id"] != expected):
        raise _changed(key, "deletion")
    if row is None:
        return {"ok": True, "key": key, "deleted": False, "archived": []}
    folder = Path(order["state"], "agents", agent, "sessions")
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z"
    path = folder / f"{row['current_session_id']}.jsonl.deleted.{stamp}.{os.urandom(16).hex()}.zst"
    if not lie:
        query = "select event_json from transcript_events where session_id = ? order by seq"
        events = [found[0] for found in connection.execute(query, (row["current_session_id"],))]
        head = json.dumps({"type": "session", "id": row["current_session_id"]})
        path.write_bytes(packed("".join(f"{line}\n" for line in [head, *events])))
        connection.execute("delete from session_nodes where session_key = ?", (key,))
    return {"ok": True, "key": key, "deleted": True, "archived": [str(path)] if params["deleteTranscript"] else []}


# What its importer does, while no gateway runs


def import_files(state: str | Path, agent: str, *, limit: int | None = None) -> int:
    """Take the sessions of a `sessions.json` into the agent's database and move away what was read; their number."""
    folder = Path(state, "agents", agent, "sessions")
    index, away = folder / "sessions.json", folder.parent / "session-sqlite-import-archive"
    entries = list(json.loads(index.read_text()).items())[:limit]
    read = []
    with contextlib.closing(opened(database(state, agent))) as connection:
        connection.execute("begin immediate")
        for key, entry in entries:
            named = entry.pop("sessionFile", None)
            _import_row(connection, key, entry)
            if named is not None:
                read.append(Path(named))
                for seq, line in enumerate(Path(named).read_text().splitlines()[1:]):
                    columns = "session_id, seq, event_json, created_at"
                    values = (entry["sessionId"], seq, line, BORN + seq)
                    connection.execute(f"insert into transcript_events ({columns}) values (?, ?, ?, ?)", values)
        connection.execute("commit")
    if limit is None:
        away.mkdir(mode=0o700, exist_ok=True)
        moves = []
        for path in (*read, index):
            moves.append(away / f"{path.name}.imported-{tick()}")
            path.replace(moves[-1])
        _write_manifest(state, agent, moves)
    return len(entries)


def _write_manifest(state: str | Path, agent: str, moved: Sequence[Path]) -> None:
    """Write what an import notes of itself."""
    moves = [{"archivePath": str(path), "kind": "transcript"} for path in moved]
    now = datetime.now(UTC).isoformat()
    target = {"agentId": agent, "completedMoves": moves, "plannedMoves": moves}
    runs = Path(state, "session-sqlite-migration-runs")
    runs.mkdir(mode=0o700, exist_ok=True)
    found = {"manifestVersion": 3, "startedAt": now, "completedAt": now, "targets": [target]}
    (runs / f"session-sqlite-{tick()}-5c11a06e.json").write_text(json.dumps(found))


def _import_row(connection: sqlite3.Connection, key: str, entry: dict[str, Any]) -> None:
    text = json.dumps(entry, ensure_ascii=False, separators=(", ", ":"))
    columns = "session_key, current_session_id, entry_json, updated_at, archived_at"
    values = (key, entry["sessionId"], text, entry["updatedAt"], entry.get("archivedAt"))
    connection.execute(f"insert into session_nodes ({columns}) values (?, ?, ?, ?, ?)", values)
    connection.execute(*window(entry["sessionId"], key))
