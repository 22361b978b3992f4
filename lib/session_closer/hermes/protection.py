"""Which sessions of a Hermes home are in use, and by what: nothing that belongs to one of them goes."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from ..system import processes
from ..system.clock import Clock
from . import indexes, names
from .database import Activity, Database, Figures, opened
from .places import forms, meet
from .tables import Delegation, Session

DAY = 86400.0
# How long a result that nobody has fetched holds the sessions that wait for it.
PENDING = 30 * DAY
# How long the last message of an open session must be ago for it to have been forgotten.
FORGOTTEN = 90 * DAY
# A chat goes on in the session that one of these has ended: the gateway opens it again.
_REOPENABLE = frozenset({"agent_close", "ws_orphan_reap", "superseded_by_resume", "startup_orphan_reap"})
_HANDED_OVER = frozenset({"pending", "running"})
_WORKING = frozenset({"running", "finalizing"})
_CONTINUED = "compression"


class Reason(StrEnum):
    """Why a session is in use; of several the first counts."""

    INDEX = "index"
    RUNNING = "running"
    OPEN = "open"
    ROUTED = "routed"
    HANDOFF = "handoff"
    LOCKED = "locked"
    LEASED = "leased"
    DELEGATED = "delegated"
    REOPENABLE = "reopenable"
    PINNED = "pinned"
    ARCHIVED = "archived"
    ANCESTOR = "ancestor"


class Terms(NamedTuple):
    """What counts as in use.

    `pending`: for how many seconds a result that nobody has fetched holds sessions; `archived`: whether those do that
    somebody has archived.
    """

    pending: float = PENDING
    archived: bool = True


_USUAL = Terms()


class _Holders(NamedTuple):
    """What says of sessions that they are in use, besides their own rows; `unreadable`: why that is not known."""

    named: Mapping[Reason, frozenset[str]]
    delegations: Mapping[str, str]
    waiting: frozenset[str]
    unreadable: str


class Protection:
    """What was found in use at one moment; it holds the database open, and is to be closed.

    `reasons` has the sessions in use, `known` all that are known from anywhere, `delegations` a word for each
    delegation, "" where it is over. `unreadable` says why everything is taken to be in use, "" where that is not so.
    """

    def __init__(self, home: str, database: Database, clock: Clock, terms: Terms) -> None:
        self._home = home
        self._database = database
        self._clock = clock
        self._terms = terms
        # Ahead of all that is read: what changes meanwhile has changed since.
        self._stamps = _stamps(home)
        self._version = database.version()
        self._indexed: tuple[object, indexes.Indexes] | None = None
        self.sessions: Sequence[Session]
        self.sessions, holders = database.at_once(lambda: (database.sessions(), self._holders()))
        self.unreadable = holders.unreadable
        self.delegations = holders.delegations
        self._by_reason = _by_reason(self.sessions, holders, terms)
        self.reasons = _reasons(self.sessions, self._by_reason)
        self.known = frozenset(chain((row.id for row in self.sessions), self.reasons, holders.waiting))

    def _holders(self) -> _Holders:
        now = self._clock.seconds()
        unreadable, routed, running = "", set[str](), frozenset[str]()
        try:
            found = self._indexes()
            running = found.running
            routed.update(found.routed, *map(indexes.routed_by, self._database.routes()))
        except indexes.Unreadable as problem:
            unreadable = str(problem)
        rows = self._database.delegations()
        words = {one.id: self._holds(one, now) for one in rows}
        named = {
            Reason.RUNNING: running,
            Reason.ROUTED: frozenset(routed),
            Reason.LOCKED: _texts(self._database.locked(now)),
            Reason.LEASED: _texts(self._database.leased(now)),
            Reason.DELEGATED: _texts(each for one in rows if words[one.id] for each in _waiting(one)),
        }
        delegations = {name: word for name, word in words.items() if isinstance(name, str)}
        return _Holders(named, delegations, _texts(chain.from_iterable(map(_waiting, rows))), unreadable)

    def _indexes(self) -> indexes.Indexes:
        stamps = _stamps(self._home)
        if self._indexed is None or self._indexed[0] != stamps:
            self._indexed = stamps, indexes.look(self._home)
        return self._indexed[1]

    def _holds(self, one: Delegation, now: float) -> str:
        """Return how a delegation is in use, "" where it is not."""
        if one.state in _WORKING and isinstance(one.pid, int) and processes.is_same(one.pid, one.started):
            return "running"
        times = [at for at in one.times if isinstance(at, int | float)]
        # A process that died leaves its results pending for ever.
        pending = one.delivery == "pending" and (not times or now - max(times) < self._terms.pending)
        return "pending" if pending else ""

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Whose each name of a file is, for all sessions that are known; of several the one that is in use."""
        return names.owners(self.reasons, self.known)

    @cached_property
    def activities(self) -> Mapping[str, Activity]:
        """What each session with messages has said."""
        return self._database.at_once(self._database.activities)

    def why(self, name: str) -> str:
        """Return why what has this name, or id, was in use, "" where it was not."""
        if self.unreadable:
            return Reason.INDEX
        return self.reasons.get(name, "") or self.reasons.get(self.owners.get(name, ""), "")

    def why_now(self, *asked: str) -> str:
        """Return why what has one of these names, or ids, is in use by now, "" where it is not.

        Only where anything has changed is it looked for, and for these alone; CloserError where that cannot be told.
        """
        for name in asked:
            if before := self.why(name):
                return before
        if not self.changed():
            return ""
        session_ids = {*asked, *(self.owners[name] for name in asked if name in self.owners)}
        rows, holders = self._database.at_once(lambda: (self._database.line(session_ids), self._holders()))
        if holders.unreadable:
            return Reason.INDEX
        found = _reasons(rows, _by_reason(rows, holders, self._terms))
        owners = names.owners(found, ())
        return next((found[owners[name]] for name in (*asked, *session_ids) if name in owners), "")

    def messages(self, session_id: str) -> int | None:
        """Return how many messages the row of a session has, None where there is no such row."""
        found = self.activities.get(session_id)
        if found is not None:
            return found.messages
        return 0 if session_id in self.rows else None

    @cached_property
    def rows(self) -> Mapping[str, Session]:
        """The rows of sessions, by id."""
        return {row.id: row for row in self.sessions}

    def last(self, row: Session) -> float | None:
        """Return when a session was last at work, in seconds since 1970, None where nothing says so."""
        found = self.activities.get(row.id)
        times = (found and found.last, row.last_activity, row.started_at)
        return max((float(at) for at in times if isinstance(at, int | float)), default=None)

    def forgotten(self, seconds: float = FORGOTTEN) -> list[Session]:
        """Return the open sessions whose last message is longer ago, and that nothing else holds."""
        since = self._clock.seconds() - seconds
        old = {row.id for row in self.sessions if row.ended_at is None and (self.last(row) or since) < since}
        held = set(chain.from_iterable(self._by_reason.values())) - old
        for reason, session_ids in self._by_reason.items():
            if reason is not Reason.OPEN:
                held.update(session_ids)
        over = old - held - _ancestors(self.sessions, held)
        return [row for row in self.sessions if row.id in over]

    def holds_folder(self, folder: str, seconds: float) -> bool:
        """Tell whether an open session whose last message is younger works in a folder, above it or below it."""
        if self.unreadable:
            return True
        since = self._clock.seconds() - seconds
        here = forms(folder)
        places = chain.from_iterable(folders for at, folders in self._workplaces if at >= since)
        return any(meet(one, other) for one in places for other in here)

    @cached_property
    def _workplaces(self) -> list[tuple[float, frozenset[str]]]:
        """When each open session was last at work, and where."""
        found = []
        for row in self.sessions:
            named = {place for place in (row.cwd, row.root) if isinstance(place, str) and os.path.isabs(place)}
            if row.ended_at is None and named:
                at = self.last(row)
                found.append((float("inf") if at is None else at, frozenset(chain.from_iterable(map(forms, named)))))
        return found

    def figures(self) -> Figures:
        """Return what the database takes on disk."""
        return self._database.figures()

    def changed(self) -> bool:
        """Tell whether anything that this was read from may be another now; CloserError where it cannot be told."""
        return self._database.version() != self._version or _stamps(self._home) != self._stamps

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def look(home: str, clock: Clock, terms: Terms = _USUAL) -> Protection:
    """Return what is in use in a home; CloserError where that cannot be told."""
    database = opened(home, clock)
    try:
        return Protection(home, database, clock, terms)
    except BaseException:
        database.close()
        raise


def _by_reason(rows: Sequence[Session], holders: _Holders, terms: Terms) -> Mapping[Reason, Collection[str]]:
    """Return what each reason but that of the ancestors protects, the first reason first."""
    found: dict[Reason, Collection[str]] = {
        **holders.named,
        Reason.OPEN: {row.id for row in rows if row.ended_at is None},
        Reason.HANDOFF: {row.id for row in rows if row.handoff in _HANDED_OVER},
        Reason.REOPENABLE: {row.id for row in rows if row.end_reason in _REOPENABLE and _has_chat(row)},
        Reason.PINNED: _pinned(rows),
        Reason.ARCHIVED: {row.id for row in rows if terms.archived and row.archived},
    }
    return {reason: found[reason] for reason in Reason if reason in found}


def _reasons(rows: Sequence[Session], by_reason: Mapping[Reason, Collection[str]]) -> dict[str, Reason]:
    """Return the first reason for each session in use."""
    found: dict[str, Reason] = {}
    for reason, session_ids in by_reason.items():
        for each in session_ids:
            found.setdefault(each, reason)
    return found | dict.fromkeys(_ancestors(rows, found), Reason.ANCESTOR)


def _pinned(rows: Sequence[Session]) -> set[str]:
    """Return the pinned sessions, and those in which they go on."""
    found = {row.id for row in rows if row.pinned}
    ended = {row.id for row in rows if row.end_reason == _CONTINUED} if found else set()
    further = found
    while further:
        further = {row.id for row in rows if row.parent in further and row.parent in ended} - found
        found = found | further
    return found


def _ancestors(rows: Sequence[Session], used: Collection[str]) -> set[str]:
    """Return the sessions that those in use come from, but for those in use themselves."""
    parents = {row.id: row.parent for row in rows if row.parent is not None}
    found: set[str] = set()
    for each in used:
        above = parents.get(each)
        while isinstance(above, str) and above not in used and above not in found:
            found.add(above)
            above = parents.get(above)
    return found


def _waiting(one: Delegation) -> Iterator[object]:
    """Give the sessions that wait for what was delegated."""
    yield from (one.parent, one.origin, one.origin_ui)


def _texts(values: Iterable[object]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)


def _has_chat(row: Session) -> bool:
    return bool(row.session_key or row.chat_id)


def _stamps(home: str) -> object:
    try:
        return indexes.stamps(home)
    except indexes.Unreadable as problem:
        return str(problem)
