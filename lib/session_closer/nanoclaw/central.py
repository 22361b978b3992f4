"""NanoClaw's central database, opened to read only: its sessions, its groups, and who waits for a person."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote

from ..core.errors import Busy, CloserError, Refused
from ..system import trust
from ..system.files import open_within
from . import kinds

_BUSY_SECONDS = 3.0
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PRIMARY = 0xFF
# An approval that was given, or not, or can be no more.
_SETTLED = frozenset({"approved", "rejected", "expired"})
_NEXT = "name the folder of a NanoClaw (--home DIR); nothing of it is touched before this database can be read"


class Row(NamedTuple):
    """One row of `sessions`; version 1 has no status, and the id is Claude Code's."""

    id: Any
    group: Any
    status: Any = "active"
    container: Any = "stopped"
    last: Any = None

    @property
    def at(self) -> float | None:
        """When it was last active, in seconds since 1970; infinite where that cannot be read."""
        if self.last is None:
            return None
        try:
            found = datetime.fromisoformat(self.last)
        except (TypeError, ValueError):
            return float("inf")
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class Central:
    """What the database says; `look` reads it again where anybody has changed it. It is to be closed."""

    def __init__(self, root: str, layout: kinds.Layout) -> None:
        self._path, self._is_v2 = os.path.join(root, layout.database), layout is kinds.V2
        self._connection = _opened(root, layout.database)
        self._version = -1
        self.sessions: Mapping[Any, Row] = {}
        self.groups: Mapping[Any, Any] = {}
        self.asked: frozenset[Any] = frozenset()

    def look(self) -> None:
        """Read it; CloserError where it cannot be read."""
        try:
            [(version,)] = self._rows("pragma data_version")
            if version == self._version:
                return
            self._connection.execute("begin")
            try:
                self._read()
            finally:
                self._connection.rollback()
            self._version = version
        except sqlite3.Error as problem:
            raise _said(self._path, problem) from None

    def _read(self) -> None:
        columns = ("id", "agent_group_id", "status", "container_status", "last_active")
        found = self._table("sessions", *(columns if self._is_v2 else ("session_id", "group_folder")))
        self.sessions = {row[0]: Row(*row) for row in found}
        if self._is_v2:
            self.groups = {str(name): folder for name, folder in self._table("agent_groups", "id", "folder")}
            approvals = self._table("pending_approvals", "session_id", "status", needed=False)
            questions = self._table("pending_questions", "session_id", needed=False)
            asked = {session for session, status in approvals if status not in _SETTLED}
            self.asked = frozenset(asked.union(session for (session,) in questions))

    def _table(self, name: str, *columns: str, needed: bool = True) -> list[Any]:
        there = {column for (column,) in self._rows("select name from pragma_table_info(?)", (name,))}
        if missing := set(columns) - there:
            if not there and not needed:
                return []
            what = f"{self._path} is no database of NanoClaw's that we know: {name} without"
            raise Refused(f"{what} {', '.join(sorted(missing))}", _NEXT, name="foreign_database")
        return self._rows(f"select {', '.join(columns)} from {name}")  # noqa: S608

    def _rows(self, query: str, given: Iterable[str] = ()) -> list[Any]:
        return self._connection.execute(query, tuple(given)).fetchall()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _opened(root: str, name: str) -> sqlite3.Connection:
    path = os.path.join(root, name)
    try:
        # A link, on any part of the path, may lead to a database of somebody else.
        descriptor = open_within(root, name)
        found = os.fstat(descriptor)
        os.close(descriptor)
        if not trust.is_trusted(found.st_uid):
            raise Refused(f"{path} belongs to uid {found.st_uid}", "run this as that user", name="foreign_database")
        if not found.st_size:
            raise Refused(f"{path} is empty", _NEXT, name="empty_database")
        # What was committed may be in the -wal alone, which `immutable` does not see.
        named = f"file:{quote(path)}?mode=ro"
        return sqlite3.connect(named, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    except OSError as problem:
        raise Refused(f"{path} cannot be read: {problem.strerror}", _NEXT, name="no_database") from None
    except sqlite3.Error as problem:
        raise _said(path, problem) from None


def _said(path: str, problem: sqlite3.Error) -> CloserError:
    if getattr(problem, "sqlite_errorcode", 0) & _PRIMARY in _LOCKED:
        return Busy(f"{path} is locked: {problem}", "run the same command again", name="locked_database")
    return Refused(f"{path} cannot be read: {problem}", _NEXT, name="damaged_database")
