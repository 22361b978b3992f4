"""What OpenClaw's importer does, while no gateway runs."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from support.moments import BORN
from support.sqlite import database, opened, window
from support.sqlite_answers import tick


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
                for seq, line in enumerate(Path(named).read_text().split("\n")[1:-1]):
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
