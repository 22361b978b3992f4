"""NanoClaw's central database: its sessions, its groups, and who waits for a person."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from ..artifacts.database import File, Steps
from ..artifacts.rows import Row as AnyRow
from ..artifacts.tables import Needs, Tables, within
from ..core.tuples import NamedTuple
from ..system.clock import Clock
from . import kinds

# An approval that was given, or not, or can be no more.
_SETTLED = frozenset({"approved", "rejected", "expired"})
_NEXT = "name the folder of a NanoClaw (--home DIR); nothing of it is touched before this database can be read"
_V1 = ("session_id", "group_folder")
_V2 = ("id", "agent_group_id", "status", "container_status", "last_active")
_GROUP, _APPROVAL, _QUESTION = ("id", "folder"), ("session_id", "status"), ("session_id",)
_NEEDS = {
    kinds.V1: Needs("NanoClaw's", _NEXT, {"sessions": frozenset(_V1)}),
    kinds.V2: Needs(
        "NanoClaw's",
        _NEXT,
        {"sessions": frozenset(_V2), "agent_groups": frozenset(_GROUP)},
        {"pending_approvals": frozenset(_APPROVAL), "pending_questions": frozenset(_QUESTION)},
    ),
}


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

    @property
    def why(self) -> str:
        """Why it alone keeps what its session has, "" where it does not."""
        if self.status != "closed":
            return "active"
        return "container" if self.container != "stopped" else ""


class Central(Tables):
    """What the database says; `look` reads it again where anybody has changed it."""

    def __init__(self, root: str, layout: kinds.Layout, clock: Clock) -> None:
        file = File(os.path.join(root, layout.database), Steps(_NEXT, _NEXT), clock)
        super().__init__(file, _NEEDS[layout], lambda: within(root, layout.database))
        self._columns_read = _V2 if layout is kinds.V2 else _V1
        self._read_at = -1
        self.sessions: Mapping[Any, Row] = {}
        self.groups: Mapping[Any, Any] = {}
        self.asked: frozenset[Any] = frozenset()

    def look(self) -> None:
        """Read it; CloserError where it cannot be read."""
        version = self.version()
        if version == self._read_at:
            return
        self.at_once(self._read)
        self._read_at = version

    def _read(self) -> None:
        self.sessions = {row[0]: Row(*row) for row in self.read("sessions", self._columns_read)}
        self.groups = {str(name): folder for name, folder in self.read("agent_groups", _GROUP)}
        approvals, questions = self.read("pending_approvals", _APPROVAL), self.read("pending_questions", _QUESTION)
        asked = {session for session, status in approvals if status not in _SETTLED}
        self.asked = frozenset(asked.union(session for (session,) in questions))

    def belongings(self, session_id: str) -> Iterator[AnyRow]:
        """Give each row of a session, its own first, as they are at one moment; CloserError."""
        return self.of_session(self._columns_read[0], session_id)
