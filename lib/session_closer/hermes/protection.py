"""Which sessions of a Hermes home are in use, and by what: nothing that belongs to one of them goes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain

from ..system.clock import Clock
from . import indexes, names, reasons
from .database import Activity, Database, Figures
from .places import forms, meet
from .reasons import DAY, Holders, Reason, Terms, ancestors, texts, waiting
from .tables import Delegation, Session

# How long the last message of an open session must be ago for it to have been forgotten.
FORGOTTEN = 90 * DAY
_WORKING = frozenset({"running", "finalizing"})
_USUAL = Terms()


class Protection:
    """What was found in use at one moment; it holds the database open, and is to be closed.

    `sessions` are the rows of all sessions, or of those that hold something, `ids` the ids of all, `known` those that
    are known from anywhere; `reasons` has the sessions in use, `delegations` a word for each delegation, "" where it is
    over. `unreadable` says why everything is taken to be in use, "" where that is not so.
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
        self.ids, self.sessions, holders = database.at_once(self._read)
        self.unreadable = holders.unreadable
        self.delegations = holders.delegations
        self._by_reason = reasons.each_of(self.sessions, holders, terms)
        self.reasons = reasons.first(self.sessions, self._by_reason)
        more = {*self.reasons, *holders.waiting} - self.ids
        self.known = self.ids | more if more else self.ids

    def _read(self) -> tuple[frozenset[str], list[Session], Holders]:
        """Return the ids of all sessions, rows of them, and who holds them."""
        found = self._database.sessions() if self._terms.every else self._database.marked()
        ids = frozenset(row.id for row in found) if self._terms.every else self._database.ids()
        return ids, found, self._holders()

    def _holders(self) -> Holders:
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
            Reason.LOCKED: texts(self._database.locked(now)),
            Reason.LEASED: texts(self._database.leased(now)),
            Reason.DELEGATED: texts(each for one in rows if words[one.id] for each in waiting(one)),
        }
        delegations = {name: word for name, word in words.items() if isinstance(name, str)}
        return Holders(named, delegations, texts(chain.from_iterable(map(waiting, rows))), unreadable)

    def _indexes(self) -> indexes.Indexes:
        stamps = _stamps(self._home)
        if self._indexed is None or self._indexed[0] != stamps:
            self._indexed = stamps, indexes.look(self._home)
        return self._indexed[1]

    def _holds(self, one: Delegation, now: float) -> str:
        """Return how a delegation is in use, "" where it is not."""
        from ..system import processes  # psutil, only where work was handed on

        if one.state in _WORKING and isinstance(one.pid, int) and processes.is_same(one.pid, one.started):
            return "running"
        times = [at for at in one.times if isinstance(at, int | float)]
        # A process that died leaves its results pending for ever.
        pending = one.delivery == "pending" and (not times or now - max(times) < self._terms.pending)
        return "pending" if pending else ""

    def owner(self, name: str) -> str | None:
        """Return whose a name of a file is, None where no known session has it; of several the one that is in use."""
        if name in self._in_use:
            return self._in_use[name]
        return name if name in self.known else self._odd.get(name)

    @cached_property
    def _in_use(self) -> Mapping[str, str]:
        """Whose each name of a file is, for the sessions in use."""
        return names.owners(self.reasons)

    @cached_property
    def _odd(self) -> Mapping[str, str]:
        """The same for all known sessions of which files have other names than their ids."""
        return names.owners(each for each in self.known if not names.is_safe(each))

    @cached_property
    def activities(self) -> Mapping[str, Activity]:
        """What each session with messages has said."""
        return self._database.at_once(self._database.activities)

    def why(self, name: str) -> str:
        """Return why what has this name, or id, was in use, "" where it was not."""
        return Reason.INDEX if self.unreadable else self._held.get(name, "")

    @cached_property
    def _held(self) -> Mapping[str, str]:
        """Why each name, or id, of a session in use is that."""
        return {name: self.reasons[owner] for name, owner in self._in_use.items()} | self.reasons

    def why_now(self, *asked: str) -> str:
        """Return why what has one of these names, or ids, is in use by now, "" where it is not.

        Only where anything has changed is it looked for, and for these alone; CloserError where that cannot be told.
        """
        for name in asked:
            if before := self.why(name):
                return before
        if not self.changed():
            return ""
        session_ids = {*asked, *filter(None, map(self.owner, asked))}
        rows, holders = self._database.at_once(lambda: (self._database.line(session_ids), self._holders()))
        if holders.unreadable:
            return Reason.INDEX
        found = reasons.first(rows, reasons.each_of(rows, holders, self._terms))
        owners = names.owners(found)
        return next((found[owners[name]] for name in (*asked, *session_ids) if name in owners), "")

    def messages(self, session_id: str) -> int | None:
        """Return how many messages the row of a session has, None where there is no such row."""
        found = self.activities.get(session_id)
        if found is not None:
            return found.messages
        return 0 if session_id in self.ids else None

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
        over = old - held - ancestors(self.sessions, held)
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
        # Asked ahead of each file that goes.
        return self._database.version() != self._version or _stamps(self._home) != self._stamps

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


def look(home: str, clock: Clock, terms: Terms = _USUAL) -> Protection:
    """Return what is in use in a home; CloserError where that cannot be told."""
    database = Database(home, clock)
    try:
        return Protection(home, database, clock, terms)
    except BaseException:
        database.close()
        raise


def _stamps(home: str) -> object:
    try:
        return indexes.stamps(home)
    except indexes.Unreadable as problem:
        return str(problem)
