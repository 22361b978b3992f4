"""All runs of a place as a list shows them: what each has put away, and what has become of that since."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

from ..core.shown import ReceiptRow
from ..core.status import PUT_AWAY
from ..core.tuples import NamedTuple
from . import history, stores
from .codec import decode
from .record import Damaged, RunRecord, SessionRecord, StoreRecord
from .source import restores
from .stores import Opened, Stores

# As many as tell one run from another.
_MOST_NAMES = 10
_MOVED = frozenset({"restored", *PUT_AWAY})
# What was put away: its agent, its key or path, and its session id, or, of what is no session, its archive: there may
# be several of one path, each of another run.
_Thing = tuple[str, str, str | None]


class Listed(NamedTuple):
    """A run as a list shows it, and its record, None where that cannot be read: but for the newest, without sessions.

    `stores`: those of the newest, where all that they say would be too much at once.
    """

    row: ReceiptRow
    record: RunRecord | None
    stores: Stores | None = None


class _Later:
    """What later runs have done to what earlier ones have put away: brought it back, or deleted its archive."""

    def __init__(self) -> None:
        self.back: set[_Thing] = set()
        self._gone: set[tuple[str, str]] = set()

    def heed(self, counted: _Counted) -> None:
        """Note what a run has done, each after the runs that came later."""
        if counted.restores:
            self.back |= counted.moved
        else:
            self.back -= counted.moved
        self._gone |= counted.removed

    def is_gone(self, store: StoreRecord, names: Sequence[str | None]) -> bool:
        """Tell whether one of these archives of a store has been deleted since."""
        return any((store.agent, name) in self._gone for name in names)


class _Counted:
    """What a list says of the stores of a run, in numbers: one store after the other, as all of them may be large."""

    def __init__(self, run: str, later: _Later, *, restores: bool) -> None:
        self._run, self._later, self.restores = run, later, restores
        self.moved: set[_Thing] = set()
        self.removed: set[tuple[str, str]] = set()
        self.names: list[str] = []
        self.agents: dict[str, None] = {}
        self.parts = self.away = self.restored = self.expired = self.freed = 0
        self.artifacts = self.deleted = 0

    def add(self, store: StoreRecord) -> None:
        """Count what a store's part of the record is about."""
        self.agents[store.agent] = None
        self.freed += len(store.removes)
        self.removed.update((store.agent, name) for name in store.removes)
        self.artifacts += len(store.artifacts)
        self.deleted += sum(one.status == "deleted" for one in store.artifacts)
        for thing, status in _parts(store, self._run):
            self.parts += 1
            if len(self.names) < _MOST_NAMES:
                self.names.append(thing[1])
            # Of what a run has put away nobody asks but where it has been brought back since.
            if status in _MOVED and (self.restores or thing in self._later.back):
                self.moved.add(thing)
            self.restored += self.restores and status == "restored"
        # A record has of files without a session those alone that were moved.
        for move in store.orphans:
            self.parts += 1
            self.restored += self.restores
            if self.restores or (store.agent, move.source, move.target) in self._later.back:
                self.moved.add((store.agent, move.source, move.target))
        if not self.restores:
            self._put_away(store)

    def _put_away(self, store: StoreRecord) -> None:
        for thing, archives in _put_away(store, self._run):
            self.away += 1
            if thing in self._later.back:
                self.restored += 1
            else:
                self.expired += self._later.is_gone(store, archives)

    @property
    def verb(self) -> str:
        """What the run has done to what it was about, and what it has deleted."""
        if self.restores:
            return "restored"
        if self.deleted:
            return f"put away, {self.deleted} deleted"
        return "put away" if self.artifacts else "closed"


def listed(state: str) -> list[ReceiptRow]:
    """Return every receipt, newest first, those of runs that have not ended among them."""
    return [one.row for one in records(state)]


def records(state: str) -> list[Listed]:
    """Return each receipt with what it says, None where that cannot be read; newest first."""
    found: dict[str, Listed] = {}
    later = _Later()
    # Newest first: what a restore has brought back was closed before it, and may have been closed again since.
    for run, path in history.named_paths(state):
        # All receipts together may be larger than the memory; the newest is mostly the one that is meant.
        large = _of_stores(state, path, later, keeps=not found)
        if large is not None:
            found[run] = large
            continue
        # A run that ends meanwhile is found twice, at last as a receipt.
        for _, _, raw in history.record(run, path):
            try:
                record = decode(raw)
            except Damaged:
                found[run] = Listed(ReceiptRow(run, "", "damaged", "", None, (), 0, 0, 0, path), None)
                continue
            counted = _Counted(record.id, later, restores=restores(record.stores))
            for store in record.stores:
                counted.add(store)
            whole = record if not found else record.but(stores=tuple(map(bare, record.stores)))
            found[run] = Listed(row_of(state, record, path, counted), whole)
            later.heed(counted)
    by_path = {one.row.path: one.row.restored for one in found.values()}
    # One that has begun in this moment is the newest.
    place = {begun.run: number for number, begun in enumerate(history.beginnings(state))}
    newest_first = sorted(found, key=lambda run: (place.get(run, len(place)), run), reverse=True)
    return [one._replace(row=_with_later(one, by_path)) for one in map(found.__getitem__, newest_first)]


def _of_stores(state: str, path: str, later: _Later, *, keeps: bool) -> Listed | None:
    """Return a large receipt, read store by store, None where it is to be read whole; `keeps`: with its stores."""
    counted: list[_Counted] = []

    def count(run: str, store: StoreRecord) -> None:
        if not counted:
            counted.append(_Counted(run, later, restores=store.restores))
        counted[0].add(store)

    found = by_stores(path, count)
    if found is None:
        return None
    record, large = found
    if any(store.restores is not counted[0].restores for store in record.stores):
        return None
    later.heed(counted[0])
    return Listed(row_of(state, record, path, counted[0]), record, large if keeps else None)


def by_stores(path: str, heed: Callable[[str, StoreRecord], None] = lambda _run, _store: None) -> Opened | None:
    """Return a large receipt without sessions, and what reads those, None where it is to be read whole.

    `heed` hears the run's id and each store as it is checked like hostile input; what it has heard of a receipt that is
    to be read whole after all does not count.
    """
    opened = stores.opened(path)
    if opened is None:
        return None
    found = []
    try:
        for store in opened.stores.checked():
            heed(opened.head.id, store)
            found.append(bare(store))
    except (Damaged, OSError):
        # What is wrong with it is said by whoever reads it whole.
        return None
    return opened._replace(head=opened.head.but(stores=tuple(found)))


def bare(store: StoreRecord) -> StoreRecord:
    """Return what a record says of a store without all that it may have many of."""
    return store.but(sessions=(), orphans=(), artifacts=(), removes=())


def age(row: ReceiptRow, now: datetime) -> float | None:
    """Return the seconds from a run's beginning to `now`, by its record, else by its id; None where neither says."""
    began = history.moment(row.started_at) or _moment_of(row.id)
    return None if began is None else max(0.0, (now - began).total_seconds())


def _moment_of(run: str) -> datetime | None:
    try:
        return datetime.strptime(run.partition("Z")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def _parts(store: StoreRecord, run: str) -> Iterator[tuple[_Thing, str]]:
    """Give what a run was about in a store, with its status, but for files without a session."""
    for session in store.sessions:
        yield (store.agent, session.key, session.session_id), session.status
    for artifact in store.artifacts:
        yield (store.agent, artifact.path, store.archive or run), artifact.status


def _with_later(one: Listed, restored: Mapping[str, int]) -> ReceiptRow:
    """Return the row with what is back of the caller's own session, which a run of its own has closed."""
    results = one.record.results if one.record is not None else ()
    back = sum(restored.get(str(result.receipt), 0) for result in results)
    return one.row._replace(restored=one.row.restored + back)


def row_of(state: str, record: RunRecord, path: str, counted: _Counted) -> ReceiptRow:
    """Return what a list shows of a receipt."""
    # The caller's own session was closed by a run of its own, for this one.
    own = [result for result in record.results if result.late]
    return ReceiptRow(
        record.id,
        record.operation,
        "done" if record.state == "done" else "interrupted" if history.is_left(state, record.id) else "open",
        record.started_at,
        record.reason,
        tuple(dict.fromkeys((*counted.agents, *(result.agent for result in own)))),
        counted.parts + len(own),
        0 if counted.restores else counted.away + sum(result.status in PUT_AWAY for result in own),
        counted.restored,
        path,
        counted.verb,
        counted.expired,
        counted.freed,
        names=tuple(islice(chain(counted.names, (result.key for result in own)), _MOST_NAMES)),
    )


def _put_away(store: StoreRecord, run: str) -> Iterator[tuple[_Thing, Sequence[str | None]]]:
    """Give what a run has put away, and the archives that it comes back from."""
    for session in store.sessions:
        if session.status in PUT_AWAY:
            yield (store.agent, session.key, session.session_id), _archives(store, session)
    for move in store.orphans:
        yield (store.agent, move.source, move.target), (move.target,)
    for artifact in store.artifacts:
        if artifact.status in PUT_AWAY:
            yield (store.agent, artifact.path, store.archive or run), (store.archive or run,)


def _archives(store: StoreRecord, session: SessionRecord) -> tuple[str | None, ...]:
    needed = store.backup if session.entry is None else None
    return (*(move.target for move in session.moves), needed)
