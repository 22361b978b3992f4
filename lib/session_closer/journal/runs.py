"""All runs of a place as a list shows them: what each has put away, and what has become of that since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain, islice

from ..core.model import PUT_AWAY
from ..core.shown import ReceiptRow
from . import history
from .codec import decode
from .record import Damaged, RunRecord, SessionRecord, StoreRecord
from .source import restores

Listed = tuple[ReceiptRow, RunRecord | None]
# As many as tell one run from another.
_MOST_NAMES = 10
_MOVED = frozenset({"restored", *PUT_AWAY})


class _Later:
    """What later runs have done to what earlier ones have put away: brought it back, or deleted its archive."""

    def __init__(self) -> None:
        self._back: set[tuple[str, str, str | None]] = set()
        self._gone: set[tuple[str, str]] = set()

    def heed(self, record: RunRecord) -> None:
        """Note what a run has done, each after the runs that came later."""
        changed = {(agent, name, session) for agent, name, session, status in parts(record) if status in _MOVED}
        if restores(record.stores):
            self._back |= changed
        else:
            self._back -= changed
        self._gone.update((store.agent, name) for store in record.stores for name in store.removes)

    def is_back(self, store: StoreRecord, name: str, session: str | None) -> bool:
        """Tell whether a session or an artifact has been brought back since, and not been put away again."""
        return (store.agent, name, session) in self._back

    def is_gone(self, store: StoreRecord, names: Sequence[str | None]) -> bool:
        """Tell whether one of these archives of a store has been deleted since."""
        return any((store.agent, name) in self._gone for name in names)


def listed(state: str) -> list[ReceiptRow]:
    """Return every receipt, newest first, those of runs that have not ended among them."""
    return [row for row, _ in records(state)]


def records(state: str) -> list[Listed]:
    """Return each receipt with what it says, None where that cannot be read; newest first."""
    found: dict[str, Listed] = {}
    later = _Later()
    # Newest first: what a restore has brought back was closed before it, and may have been closed again since.
    for run, path, raw in history.named_records(state):
        # A run that ends meanwhile is found twice, at last as a receipt.
        try:
            record = decode(raw)
        except Damaged:
            found[run] = ReceiptRow(run, "", "damaged", "", None, (), 0, 0, 0, path), None
            continue
        # All receipts together may be larger than the memory; the newest is mostly the one that is meant.
        bare = tuple(store.but(sessions=(), orphans=(), artifacts=(), removes=()) for store in record.stores)
        found[run] = row_of(state, record, path, later), record.but(stores=bare) if found else record
        later.heed(record)
    by_path = {row.path: row.restored for row, _ in found.values()}
    # One that has begun in this moment is the newest.
    place = {begun.run: number for number, begun in enumerate(history.beginnings(state))}
    newest_first = sorted(found, key=lambda run: (place.get(run, len(place)), run), reverse=True)
    return [(_with_later(row, record, by_path), record) for row, record in map(found.__getitem__, newest_first)]


def age(row: ReceiptRow, now: datetime) -> float | None:
    """Return the seconds from a run's beginning to `now`, by its record, else by its id; None where neither says."""
    began = history.moment(row.started_at) or _moment_of(row.id)
    return None if began is None else max(0.0, (now - began).total_seconds())


def _moment_of(run: str) -> datetime | None:
    try:
        return datetime.strptime(run.partition("Z")[0], "%Y%m%dT%H%M%S.%f").replace(tzinfo=UTC)
    except ValueError:
        return None


def parts(record: RunRecord) -> Iterator[tuple[str, str, str | None, str]]:
    """Give what a run was about: its agent, key or path, session id and status."""
    for store in record.stores:
        for session in store.sessions:
            yield store.agent, session.key, session.session_id, session.status
        for artifact in store.artifacts:
            yield store.agent, artifact.path, artifact.session_id, artifact.status


def _with_later(row: ReceiptRow, record: RunRecord | None, restored: Mapping[str, int]) -> ReceiptRow:
    """Return the row with what is back of the caller's own session, which a run of its own has closed."""
    results = record.results if record is not None else ()
    return row._replace(restored=row.restored + sum(restored.get(str(result.receipt), 0) for result in results))


def row_of(state: str, record: RunRecord, path: str, later: _Later | None = None) -> ReceiptRow:
    """Return what a list shows of a receipt; `later`: what the runs after it have done."""
    since = later or _Later()
    every = list(parts(record))
    lone = sum(len(store.orphans) for store in record.stores)
    restore = restores(record.stores)
    away = [] if restore else list(_put_away(record))
    back = [one for one in away if since.is_back(one[0], one[1], one[2])]
    # The caller's own session was closed by a run of its own, for this one.
    own = [result for result in record.results if result.late]
    agents = (*(store.agent for store in record.stores), *(result.agent for result in own))
    return ReceiptRow(
        record.id,
        record.operation,
        "done" if record.state == "done" else "interrupted" if history.is_left(state, record.id) else "open",
        record.started_at,
        record.reason,
        tuple(dict.fromkeys(agents)),
        len(every) + len(own) + lone,
        0 if restore else len(away) + sum(result.status in PUT_AWAY for result in own) + lone,
        sum(status == "restored" for *_, status in every) if restore else len(back),
        path,
        _verb(record),
        sum(one not in back and since.is_gone(one[0], one[3]) for one in away),
        sum(len(store.removes) for store in record.stores),
        names=_names(record),
    )


def _names(record: RunRecord) -> tuple[str, ...]:
    """Return the keys or paths of the first that a run was about."""
    own = (result.key for result in record.results if result.late)
    return tuple(islice(chain((name for _, name, _, _ in parts(record)), own), _MOST_NAMES))


def _put_away(record: RunRecord) -> Iterator[tuple[StoreRecord, str, str | None, Sequence[str | None]]]:
    """Give what a run has put away: its store, key or path, session id, and the archives that it comes back from."""
    for store in record.stores:
        for session in store.sessions:
            if session.status in PUT_AWAY:
                yield store, session.key, session.session_id, _archives(store, session)
        for artifact in store.artifacts:
            if artifact.status in PUT_AWAY:
                yield store, artifact.path, artifact.session_id, (store.archive or record.id,)


def _archives(store: StoreRecord, session: SessionRecord) -> tuple[str | None, ...]:
    needed = store.backup if session.entry is None else None
    return (*(move.target for move in session.moves), needed)


def _verb(record: RunRecord) -> str:
    """Return what a run has done to what it was about, and what it has deleted."""
    if restores(record.stores):
        return "restored"
    artifacts = [one for store in record.stores for one in store.artifacts]
    deleted = sum(one.status == "deleted" for one in artifacts)
    if deleted:
        return f"put away, {deleted} deleted"
    return "put away" if artifacts else "closed"
