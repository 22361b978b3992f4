"""What a file store can take back of sessions that were put away, as it is now. Nothing writes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ...artifacts import measuring
from ...core.claims import Claims
from ...core.errors import CloserError
from ...core.model import Session
from ...core.status import Status
from ...core.tuples import NamedTuple
from ...journal.record import StoreRecord
from ...journal.source import Chosen, ChosenFile, ChosenSession, Origin
from ...ports.undo import Item, recorded_item
from ...system import files, pieces
from ..from_bundle import is_held
from ..home import Home
from ..undo import backup_of, entry_of, seconds_kept, shelf_of, until_of, with_files, with_way_out
from . import entries, values
from .index import live_or_empty
from .look import Look, as_it_is_now, closed_again, has_all, left_for_another, with_elsewhere
from .members import Document
from .store import FileStore

# A larger backup is hashed by a thread of its own.
LARGE = files.PIECE


class Before(NamedTuple):
    """What a look has come to: the hash of the names in the folder, stamps of backups, and each item.

    An item has no entry, and is found by its store's place among the source's, and its name. Of a large source `items`
    is None where each is what its record says.
    """

    names: str
    stamps: Mapping[str, measuring.Stamp | None]
    items: Mapping[tuple[int, str], Item] | None


class Found(NamedTuple):
    """A store as it is now, what would become of each session and file, and the same for the next look."""

    live: Document[Session]
    items: list[Item]
    before: Before


def look(
    home: Home, store: FileStore, chosen: Sequence[Chosen], before: Before | None = None, *, is_last: bool = True
) -> Found:
    """Return the store as it is now, and what would become of each session and file; raise Refused.

    `before`: what the last look has come to, which holds for whatever is still the same. `is_last`: there is no other
    one, which would look at each archive.
    """
    live = live_or_empty(store.index, store.agent, anew=begins(chosen))
    there = frozenset(files.listed(store.folder))
    # Ahead of all that is read of them.
    backups = _backups(chosen)
    stamps = {each.path: measuring.stamp(each.path) for each in backups.values()}
    named = hashlib.sha256("\0".join(sorted(there)).encode("utf-8", "surrogateescape")).hexdigest()
    same = before if before is not None and before[:2] == (named, stamps) else None
    known, sums = (same.items, {}) if same is not None else ({}, _begun(backups))
    with pieces.Pieces() as held:
        claims = Claims.of(member.row for member in live.members.values())
        shelf, kept = shelf_of(home, store.agent, chosen), seconds_kept(home, chosen, in_files=True)
        seen = Look(store, live, claims, shelf, kept, there, held, sums.keys(), is_last, {})
        items = _items(seen, chosen, known)
        if any(made() != backups[at].sha256 for at, made in sums.items()):
            # Which entries are not what they were is told of each.
            items = _items(seen._replace(sound=()), chosen, known)
        items = with_way_out(chosen, items)
    return Found(live, items, Before(named, stamps, _bare(chosen, items)))


class _Backup(NamedTuple):
    """A backup from which entries are wanted: its bytes and their sha256 when it was made, and how many are wanted."""

    path: str
    size: int
    sha256: str
    wanted: int


def _backups(chosen: Sequence[Chosen]) -> Mapping[int, _Backup]:
    """Return by the places of their stores the backups that have entries which no record holds."""
    stores: dict[int, StoreRecord] = {}
    wanted: Counter[int] = Counter()
    for one in chosen:
        if isinstance(one, ChosenSession) and one.session.entry is None and one.store.backup is not None:
            stores[one.at] = one.store
            wanted[one.at] += one.session.length
    return {at: _Backup(backup_of(each), each.size, each.sha256, wanted[at]) for at, each in stores.items()}


def _begun(backups: Mapping[int, _Backup]) -> Mapping[int, Callable[[], str]]:
    """Begin to hash those of which most is wanted; return what waits for each hash, "" where there is none."""
    return {
        at: measuring.beside(partial(_sum, each))
        for at, each in backups.items()
        if each.size > LARGE and each.wanted * 2 > each.size
    }


def _sum(backup: _Backup) -> str:
    try:
        return measuring.sum_of(backup.path, backup.size)
    except OSError:
        return ""


def _items(seen: Look, chosen: Sequence[Chosen], known: Mapping[tuple[int, str], Item] | None) -> list[Item]:
    return [_as_before(seen, one, _known(seen, one, known)) or _back(seen, one) for one in chosen]


def _known(seen: Look, one: Chosen, known: Mapping[tuple[int, str], Item] | None) -> Item | None:
    if known is not None:
        return known.get((one.at, one.name))
    return recorded_item(one, seen.store.agent) if isinstance(one, ChosenSession) else None


def _bare(chosen: Sequence[Chosen], items: Sequence[Item]) -> Mapping[tuple[int, str], Item] | None:
    if chosen[0].source.bare and all(item.as_recorded for item in items):
        return None
    return {
        (one.at, one.name): item.but(entry="") if item.entry else item for one, item in zip(chosen, items, strict=True)
    }


def _as_before(seen: Look, one: Chosen, item: Item | None) -> Item | None:
    """Return what was decided before, where folder, archives and backup are what they were, and its key is free."""
    if item is None or isinstance(one, ChosenFile) or not item.is_wanted:
        return None
    moves = one.session.moves
    # What other stores of ours or a shelf had a say in is decided anew.
    if item.moves != moves or item.key in seen.live.members:
        return None
    for move in moves:
        if "/" in move.source or measuring.change(seen.store.folder, move) is not None:
            return None
    # What a stamp does not show is found when the bytes are taken that are installed.
    return item if item.span is not None else item.but(entry=one.session.entry or "")


def _back(seen: Look, one: Chosen) -> Item:
    return _file_back(seen, one) if isinstance(one, ChosenFile) else _session_back(seen, one)


def begins(chosen: Sequence[Chosen]) -> bool:
    """Tell whether an index that holds no sessions any more may be begun anew: this may be all that is left of it."""
    return chosen[0].source.origin is not Origin.RECEIPT


def _session_back(seen: Look, one: ChosenSession) -> Item:
    if (usual := _usual(seen, one)) is not None:
        return usual
    recorded, session, live = one.store, one.session, seen.live
    item = recorded_item(one, seen.store.agent).but(moves=(), as_recorded=False)
    member = live.members.get(session.key)
    there = member is not None and member.row.session_id == session.session_id
    if member is not None and not there:
        return item.but(status=Status.CONFLICT, error="the key is in use again, by another session")
    if recorded.era != FileStore.era:
        if there:
            return item.but(status=Status.ALREADY_RESTORED)
        return item.but(status=Status.FAILED, error="it was closed in a database, and the agent has files now")
    try:
        entry = live.member_bytes(session.key).decode("utf-8") if there else entry_of(recorded, session, seen.held)
    except CloserError as problem:
        return item.but(status=Status.FAILED, error=problem.message)
    moves = tuple([as_it_is_now(seen, move) for move in session.moves])
    value = entries.named(values.member(entry)[1])
    moves += left_for_another(seen, session, value)
    held = is_held(one, seen.store.folder)
    entered = item if item.span is not None and not there else item.but(entry=entry, span=None)
    found = with_files(
        seen.store.folder, entered, moves, has=seen.has, kept=seen.kept, claims=seen.claims, is_kept=held
    )
    found = closed_again(seen, session, with_elsewhere(seen, found, value))
    # Where it was written back by hand, or by a gateway, its files may still be put away.
    if there and not (found.is_wanted and found.moves):
        return item.but(status=Status.ALREADY_RESTORED)
    is_so = found.is_wanted and not there and found.moves == session.moves
    return found.but(as_recorded=True) if is_so else found


def _usual(seen: Look, one: ChosenSession) -> Item | None:
    """Return a session that nothing stands in the way of, None where it has to be told what does: hardly ever."""
    session = one.session
    # Only files have a backup, in which an entry is.
    if session.entry is not None or one.store.backup is None or session.key in seen.live.members:
        return None
    for move in session.moves:
        if "/" in move.source or move.source in seen.names or move.target not in seen.names:
            return None
        if seen.is_last and measuring.change(seen.store.folder, move) is not None:
            return None
    value = _value_in_backup(seen, one)
    if value is None or not has_all(seen, session, value):
        return None
    return recorded_item(one, seen.store.agent, until_of(session.moves, seen.kept))


def _value_in_backup(seen: Look, one: ChosenSession) -> memoryview | None:
    """Return the value that a backup has of a session, None where that has to be looked into."""
    session = one.session
    try:
        raw = seen.held.shown(backup_of(one.store), session.offset, session.length)
    except OSError:
        return None
    if one.at not in seen.sound and hashlib.sha256(raw).hexdigest() != session.sha256:
        return None
    return values.value_in(raw, session.key)


def _file_back(seen: Look, one: ChosenFile) -> Item:
    item = Item(one.given, seen.store.agent, one.move.source, None, Status.WOULD_RESTORE, lone=True)
    found = with_files(seen.store.folder, item, [one.move], has=seen.has, kept=seen.kept, claims=seen.claims)
    return found.but(status=Status.ALREADY_RESTORED) if found.is_wanted and not found.moves else found
