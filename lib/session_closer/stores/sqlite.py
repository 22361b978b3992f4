"""Recognise OpenClaw's session database (from 2026.8.1 on) without changing a byte."""

from __future__ import annotations

import os

from ..errors import Refused

_SESSION_TABLES = ("session_nodes", "session_entries", "transcript_events")


def database(state: str, agent: str) -> str:
    """Return where the agent's database would be."""
    return os.path.join(state, "agents", agent, "agent", "openclaw-agent.sqlite")


def session_tables(path: str) -> list[str]:
    """Return the session tables in a database: a file of that name without one belongs to something else."""
    if not os.path.exists(path):
        return []
    import sqlite3
    from urllib.parse import quote

    # Without a -shm nobody has it open; then only `immutable` leaves no -shm and -wal behind.
    mode = "mode=ro" if os.path.exists(path + "-shm") else "immutable=1"
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=5)
        try:
            rows = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
        finally:
            connection.close()
    except sqlite3.Error as problem:
        raise Refused(f"{path} cannot be read: {problem}", "openclaw doctor", name="unknown_store") from None
    names = {str(row[0]) for row in rows}
    return [name for name in _SESSION_TABLES if name in names]
