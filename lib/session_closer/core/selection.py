"""Which sessions a list shows and in which order, and the list that is made of them (pure)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import NamedTuple

from . import durations
from .errors import CloserError, ExitCode
from .kinds import kind
from .model import Session
from .protection import protection
from .report import GatewayResult, StoreResult
from .words import Kind

LIMIT = 100
# The number of its store, a session, and its kind where that was asked for already.
_Match = tuple[int, Session, Kind | None]


class Wanted(NamedTuple):
    """What a list is to show: no `kinds` is any kind; ages in seconds, of the last update; no `limit` is all.

    `store`: the path of the only one that is shown.
    """

    agent: str | None = None
    store: str | None = None
    kinds: frozenset[Kind] = frozenset()
    active: float | None = None
    older_than: float | None = None
    limit: int | None = LIMIT


class Chosen(NamedTuple):
    """A session that is shown, `place` the number of the store that it is in, `age` in seconds."""

    place: int
    session: Session
    kind: Kind
    age: float | None


class Row(NamedTuple):
    """A session as it is shown; `agent` is None for a bare key of a store for all agents, `size` in bytes."""

    agent: str | None
    session: Session
    kind: Kind
    age: float | None
    size: int | None
    running: bool

    @property
    def protected(self) -> str | None:
        """Why no policy may remove it."""
        return protection(self.kind, self.session, running=self.running)


class Listing(NamedTuple):
    """What a list says; `total` counts the sessions that match, `error` is set where there is no list."""

    stores: tuple[StoreResult, ...] = ()
    rows: tuple[Row, ...] = ()
    total: int = 0
    limit: int | None = None
    gateway: GatewayResult | None = None
    warnings: tuple[str, ...] = ()
    error: CloserError | None = None

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: an empty list is a list, too."""
        return ExitCode.OK if self.error is None else self.error.code


def select(found: Iterable[tuple[int, Session]], wanted: Wanted, now: int) -> tuple[list[Chosen], int]:
    """Return the sessions to show, newest first, and how many match; `found` are places and sessions, `now` in ms."""
    matching: list[_Match] = [(place, session, None) for place, session in found if _is_of_age(session, wanted, now)]
    if wanted.kinds:
        matching = [
            (place, session, what)
            for place, session, _ in matching
            if (what := kind(session.key, session.chat_type, orphaned=session.orphaned)) in wanted.kinds
        ]
    limit = len(matching) if wanted.limit is None else wanted.limit
    shown = heapq.nsmallest(limit, matching, key=lambda one: _order(one, now))
    return [
        Chosen(
            place,
            session,
            what or kind(session.key, session.chat_type, orphaned=session.orphaned),
            durations.since(session.updated_at, now / 1000),
        )
        for place, session, what in shown
    ], len(matching)


def _is_of_age(session: Session, wanted: Wanted, now: int) -> bool:
    if wanted.active is None and wanted.older_than is None:
        return True
    age = durations.since(session.updated_at, now / 1000)
    if age is None or (wanted.active is not None and age > wanted.active):
        return False
    return wanted.older_than is None or age > wanted.older_than


def _order(one: _Match, now: int) -> tuple[bool, int, str, int]:
    place, session, _ = one
    known = durations.since(session.updated_at, now / 1000) is not None
    return not known, -(session.updated_at or 0) if known else 0, session.key, place
