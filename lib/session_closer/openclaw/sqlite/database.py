"""Open an agent's database to read it, and tell whether it is one that holds sessions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...core.errors import Refused
from ...system import files

if TYPE_CHECKING:
    from sqlite3 import Connection

_SESSION_TABLES = ("session_nodes", "session_entries", "transcript_events")
_NEEDED = {
    "session_nodes": {
        "session_key",
        "current_session_id",
        "entry_json",
        "status",
        "pinned_at",
        "archived_at",
        "updated_at",
    },
    "transcript_events": {"session_id", "seq"},
}
_BUSY_SECONDS = 10


@contextmanager
def reading(path: str) -> Iterator[Connection]:
    """Give a read-only connection that leaves no file behind; raise Refused where the database cannot be read."""
    import sqlite3  # an agent without a database does not need it
    from urllib.parse import quote

    # What is not checkpointed yet is in the -wal, which `immutable` does not see; without one nobody has the
    # database open, and only `immutable` leaves no -shm and -wal behind.
    living = any(files.exists(path + suffix, follow=True) for suffix in ("-wal", "-shm"))
    mode = "mode=ro" if living else "immutable=1"
    try:
        connection = sqlite3.connect(f"file:{quote(path)}?{mode}", uri=True, timeout=_BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as problem:
        raise Refused(f"{path} cannot be read: {problem}", "openclaw doctor", name="unknown_store") from None


def holds_sessions(path: str) -> bool:
    """Tell whether a database has session tables that we can read: another one of that name has no sessions.

    Refused where it has some that we do not know.
    """
    if not files.exists(path, follow=True):
        return False
    with reading(path) as connection:
        tables = names_in(connection, "select name from sqlite_master where type = 'table'")
        if tables.isdisjoint(_SESSION_TABLES):
            return False
        for table, needed in _NEEDED.items():
            # A view can be a query that never ends.
            columns = f"select name from pragma_table_info('{table}')"  # noqa: S608
            missing = needed - (names_in(connection, columns) if table in tables else set())
            if missing:
                version = connection.execute("pragma user_version").fetchone()[0]
                raise Refused(
                    f"{path} has session tables that this version does not know (schema {version}, "
                    f"{table} without {', '.join(sorted(missing))})",
                    "update OpenClaw or session-closer; until then: openclaw sessions --help",
                    name="unknown_store",
                )
    return True


def names_in(connection: Connection, query: str) -> set[str]:
    rows: Iterable[tuple[object, ...]] = connection.execute(query)
    return {str(row[0]) for row in rows}
