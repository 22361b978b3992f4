"""Hermes' state.db, opened to read only: whether we know it, and its rows of sessions and of what holds them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from ..artifacts.database import File, Steps
from ..artifacts.rows import Row
from ..artifacts.tables import Needs, Tables, taken
from ..core.tuples import NamedTuple
from ..system.clock import Clock
from .tables import DELEGATION, SESSION, Delegation, Session

NAME = "state.db"
RECLAIM = "hermes sessions optimize"
_NEEDS = Needs(
    "Hermes' sessions",
    "name the home of a Hermes (--home DIR), or update session-closer",
    {"sessions": frozenset({"id", "ended_at", "parent_session_id"}), "messages": frozenset({"session_id"})},
)
# By these columns a session that is over holds itself or another; a chat has one of two.
_MARKS = ("parent_session_id", "archived", "pinned", "handoff_state", "session_key", "chat_id")
_STEPS = Steps(
    "name the home of a Hermes: --home DIR; nothing is touched before its database is there",
    "look at it with: hermes doctor; nothing of this home is touched before it can be read",
    "free 64 KB, of its logs/ for instance, and run the same command again",
)


class Activity(NamedTuple):
    """How many messages a session has, and when the last of them was written."""

    messages: int
    last: float | None


class Figures(NamedTuple):
    """What a database takes on disk, `free` of it in pages that nothing is in, and what gives those back."""

    path: str
    size: int
    free: int
    command: str


class Database(Tables):
    """The database of one home, found to be one of Hermes' sessions; CloserError, in one line, where it is not."""

    def __init__(self, home: str, clock: Clock) -> None:
        super().__init__(File(os.path.join(home, NAME), _STEPS, clock), _NEEDS)

    def schema(self) -> int | None:
        """Return the version of its schema in Hermes' own count, None where it says none."""
        if not self.has("schema_version", "version"):
            return None
        found = self._one("select max(version) from schema_version")
        return found if isinstance(found, int) else None

    def sessions(self) -> list[Session]:
        """Return all rows of sessions."""
        return self._rows_where("1")

    def marked(self) -> list[Session]:
        """Return the rows of those sessions that are open, or have anything that could hold them, or another one."""
        marks = [name for name in _MARKS if self.has("sessions", name)]
        return self._rows_where(" or ".join(f"coalesce({name}, 0) is not 0" for name in marks) + " or ended_at is null")

    def _rows_where(self, condition: str) -> list[Session]:
        # One pass for all that is asked: behind a long system prompt each column costs a walk over its pages.
        found = self.read("sessions", SESSION, f"where typeof(id) = 'text' and ({condition})")
        return list(map(Session._make, found))

    def line(self, session_ids: Iterable[str]) -> list[Session]:
        """Return the rows of these sessions, and of all that they come from, or that come from them."""
        asked = json.dumps(list(session_ids))
        query = f"""
            with recursive
            asked(id) as (select value from json_each(?)),
            above(id) as (
                select id from asked union
                select one.parent_session_id from sessions as one join above on one.id = above.id),
            below(id) as (
                select id from asked union
                select one.id from sessions as one join below on one.parent_session_id = below.id)
            select {self.picked("sessions", SESSION)} from sessions
            where id in (select id from above union select id from below) and typeof(id) = 'text'
            """  # noqa: S608
        return list(map(Session._make, self._connection.execute(query, (asked,))))

    def activities(self) -> dict[str, Activity]:
        """Return what each session has said."""
        last = "max(timestamp)" if self.has("messages", "timestamp") else "null"
        query = f"select session_id, count(*), {last} from messages group by session_id"  # noqa: S608
        return {name: Activity(count, _number(at)) for name, count, at in self._connection.execute(query)}

    def routes(self) -> list[Any]:
        """Return the JSON of each chat that the gateway leads to a session."""
        if not self.has("gateway_routing", "entry_json"):
            return []
        return [text for (text,) in self.read("gateway_routing", ("entry_json",))]

    def locked(self, now: float) -> list[Any]:
        """Return the sessions that somebody compresses."""
        return self._until(now, "compression_locks", "session_id")

    def leased(self, now: float) -> list[Any]:
        """Return the sessions in which somebody takes a turn."""
        return self._until(now, "session_turn_leases", "conversation_id")

    def delegations(self) -> list[Delegation]:
        """Return all rows of delegations."""
        if not self.has("async_delegations", "delegation_id"):
            return []
        return [Delegation._make((*row[:8], row[8:])) for row in self.read("async_delegations", DELEGATION)]

    def ids(self) -> frozenset[str]:
        """Return the ids of all sessions."""
        return frozenset(chain.from_iterable(self.read("sessions", ("id",), "where typeof(id) = 'text'")))

    def delegates(self) -> dict[str, str]:
        """Return who delegated to each session that was made for that: Hermes deletes these with that one."""
        if not self.has("sessions", "model_config"):
            return {}
        by = "case when json_valid(model_config) then json_extract(model_config, '$._delegate_from') end"
        query = f"select id, {by} as above from sessions where above is not null"  # noqa: S608
        return {name: above for name, above in self._connection.execute(query) if isinstance(above, str)}

    def belongings(self, session_id: str) -> Iterator[Row]:
        """Give each row of a session, its own first, as they are at one moment; CloserError."""
        return self.of_session("id", session_id)

    def figures(self) -> Figures:
        """Return what it takes on disk, with what waits beside it to be written into it."""
        free = self._one("pragma freelist_count") * self._one("pragma page_size")
        return Figures(self.path, taken(self.path), free, RECLAIM)

    def _one(self, query: str) -> Any:
        return self._connection.execute(query).fetchone()[0]

    def _until(self, now: float, table: str, column: str) -> list[Any]:
        if not self.has(table, column, "expires_at"):
            return []
        # A text is more than any number: what is no time does not expire.
        rest = "where expires_at is null or expires_at > ?"
        return [value for (value,) in self.read(table, (column,), rest, (now,))]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
