"""NanoClaw's central database, opened to read only: its sessions, its groups, and who waits for a person."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..artifacts import rows
from ..artifacts.database import File, Steps
from ..core.errors import Refused
from ..system.clock import Clock
from ..system.files import open_within
from . import kinds

# An approval that was given, or not, or can be no more.
_SETTLED = frozenset({"approved", "rejected", "expired"})
_NEXT = "name the folder of a NanoClaw (--home DIR); nothing of it is touched before this database can be read"
_STEPS = Steps(_NEXT, _NEXT)


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

    def __init__(self, root: str, layout: kinds.Layout, clock: Clock) -> None:
        self._file = File(os.path.join(root, layout.database), _STEPS, clock)
        self._is_v2 = layout is kinds.V2
        self._file.check(lambda: _found(root, layout.database))
        self._connection = self._file.asked(self._file.connected)
        self._version = -1
        self.sessions: Mapping[Any, Row] = {}
        self.groups: Mapping[Any, Any] = {}
        self.asked: frozenset[Any] = frozenset()

    def look(self) -> None:
        """Read it; CloserError where it cannot be read."""
        self._file.asked(self._look)

    def _look(self) -> None:
        [(version,)] = self._rows("pragma data_version")
        if version == self._version:
            return
        self._connection.execute("begin")
        try:
            self._read()
        finally:
            self._connection.rollback()
        self._version = version

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

    def belongings(self, session_id: str) -> Iterator[rows.Row]:
        """Give each row of a session, its own first, as they are at one moment; CloserError."""
        return rows.of_session(self._file, self._connection, "id" if self._is_v2 else "session_id", session_id)

    def _table(self, name: str, *columns: str, needed: bool = True) -> list[Any]:
        there = {column for (column,) in self._rows("select name from pragma_table_info(?)", (name,))}
        if missing := set(columns) - there:
            if not there and not needed:
                return []
            what = f"{self._file.path} is no database of NanoClaw's that we know: {name} without"
            raise Refused(f"{what} {', '.join(sorted(missing))}", _NEXT, name="foreign_database")
        return self._rows(f"select {', '.join(columns)} from {name}")  # noqa: S608

    def _rows(self, query: str, given: Iterable[str] = ()) -> list[Any]:
        return self._connection.execute(query, tuple(given)).fetchall()

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


def _found(root: str, name: str) -> os.stat_result:
    # A link, on any part of the path, may lead to a database of somebody else.
    descriptor = open_within(root, name)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)
