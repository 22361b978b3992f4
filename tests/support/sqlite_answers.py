"""What the gateway of OpenClaw 2026.9.6 does to the databases of sessions."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.sqlite import agent_of, database, opened, packed, unpacked

PATCH_MANY = 100
HELD: dict[tuple[str, str], dict[str, sqlite3.Connection]] = {}
_last = [0]


class No(Exception):
    """The gateway refuses a call."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message)
        self.error = {"code": "INVALID_REQUEST", "message": message, **more}


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
        query = "select event_json, event_zstd from transcript_events where session_id = ? order by seq"
        events = [
            found[0] or unpacked(found[1]).decode() for found in connection.execute(query, (row["current_session_id"],))
        ]
        head = json.dumps({"type": "session", "id": row["current_session_id"]})
        path.write_bytes(packed("".join(f"{line}\n" for line in [head, *events])))
        connection.execute("delete from session_nodes where session_key = ?", (key,))
    return {"ok": True, "key": key, "deleted": True, "archived": [str(path)] if params["deleteTranscript"] else []}
