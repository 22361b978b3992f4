"""What a file store can take back of sessions that were put away, as it is now. Nothing writes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ...artifacts import measuring
from ...core import names
from ...core.claims import Claims
from ...core.durable import Move
from ...core.errors import CloserError
from ...core.model import Session, Status
from ...journal.source import Chosen, ChosenFile, ChosenSession, Origin
from ...ports.undo import Item, recorded_item
from ...system import files
from ..from_bundle import is_held
from ..home import Home
from ..shelf import Shelf
from ..undo import entry_of, seconds_kept, shelf_of, until_of, with_files, with_way_out
from . import document
from .index import live_or_empty
from .members import Document
from .store import FileStore


class Look(NamedTuple):
    """A store as it is now, what its sessions use, what was put away of it, and for how many seconds that is kept.

    `names` were in its folder; `held` keeps the backup open that entries are read from.
    """

    store: FileStore
    live: Document[Session]
    claims: Claims
    shelf: Callable[[], Shelf]
    kept: float | None
    names: frozenset[str]
    held: files.Pieces

    def has(self, name: str) -> bool:
        """Tell whether a name is there: one look at the folder, and not one at each file."""
        return files.exists(name) if "/" in name else name in self.names


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


def look(home: Home, store: FileStore, chosen: Sequence[Chosen], before: Before | None = None) -> Found:
    """Return the store as it is now, and what would become of each session and file; raise Refused.

    `before`: what the last look has come to, which holds for whatever is still the same.
    """
    live = live_or_empty(store.index, store.agent, anew=begins(chosen))
    there = frozenset(files.listed(store.folder))
    # Ahead of all that is read of them.
    stamps = {path: measuring.stamp(path) for path in {*filter(None, map(_backup_of, chosen))}}
    named = hashlib.sha256("\0".join(sorted(there)).encode("utf-8", "surrogateescape")).hexdigest()
    known = before.items if before is not None and before[:2] == (named, stamps) else {}
    with files.Pieces() as held:
        claims = Claims.of(member.row for member in live.members.values())
        shelf, kept = shelf_of(home, store.agent, chosen), seconds_kept(home, in_files=True)
        seen = Look(store, live, claims, shelf, kept, there, held)
        again = (_as_before(seen, one, _known(seen, one, known)) or _back(seen, one) for one in chosen)
        items = with_way_out(chosen, list(again))
    return Found(live, items, Before(named, stamps, _bare(chosen, items)))


def _known(seen: Look, one: Chosen, known: Mapping[tuple[int, str], Item] | None) -> Item | None:
    if known is not None:
        return known.get((one.at, one.name))
    return recorded_item(one, seen.store.agent) if isinstance(one, ChosenSession) else None


def _bare(chosen: Sequence[Chosen], items: Sequence[Item]) -> Mapping[tuple[int, str], Item] | None:
    if chosen[0].source.bare and all(item.as_recorded for item in items):
        return None
    return {
        (one.at, one.name): item._replace(entry="") if item.entry else item
        for one, item in zip(chosen, items, strict=True)
    }


def _backup_of(one: Chosen) -> str | None:
    """Return the path of the backup that has an entry, None where it is held, or there is none."""
    if isinstance(one, ChosenFile) or one.session.entry is not None or one.store.backup is None:
        return None
    return f"{one.store.path.rpartition('/')[0]}/{one.store.backup}"


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
    return item if item.span is not None else item._replace(entry=one.session.entry or "")


def _back(seen: Look, one: Chosen) -> Item:
    return _file_back(seen, one) if isinstance(one, ChosenFile) else _session_back(seen, one)


def begins(chosen: Sequence[Chosen]) -> bool:
    """Tell whether an index that holds no sessions any more may be begun anew: this may be all that is left of it."""
    return chosen[0].source.origin is not Origin.RECEIPT


def _session_back(seen: Look, one: ChosenSession) -> Item:
    if (usual := _usual(seen, one)) is not None:
        return usual
    recorded, session, live = one.store, one.session, seen.live
    item = recorded_item(one, seen.store.agent)._replace(moves=(), as_recorded=False)
    member = live.members.get(session.key)
    there = member is not None and member.row.session_id == session.session_id
    if member is not None and not there:
        return item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
    if recorded.era != FileStore.era:
        if there:
            return item._replace(status=Status.ALREADY_RESTORED)
        return item._replace(status=Status.FAILED, error="it was closed in a database, and the agent has files now")
    try:
        entry = live.member_bytes(session.key).decode("utf-8") if there else entry_of(recorded, session, seen.held)
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    moves = tuple([_as_it_is_now(seen, move) for move in session.moves])
    moves += tuple(_left_for_another(seen, entry, {move.source for move in session.moves}))
    held = is_held(one, seen.store.folder)
    entered = item if item.span is not None and not there else item._replace(entry=entry, span=None)
    found = with_files(
        seen.store.folder, entered, moves, has=seen.has, kept=seen.kept, claims=seen.claims, is_kept=held
    )
    # Where it was written back by hand, or by a gateway, its files may still be put away.
    if there and not (found.is_wanted and found.moves):
        return item._replace(status=Status.ALREADY_RESTORED)
    is_so = found.is_wanted and not there and found.moves == session.moves
    return found._replace(as_recorded=True) if is_so else found


def _usual(seen: Look, one: ChosenSession) -> Item | None:
    """Return a session that nothing stands in the way of, None where it has to be told what does: hardly ever."""
    session, item = one.session, recorded_item(one, seen.store.agent)
    # Only files have a backup, in which an entry is.
    if item.span is None or session.key in seen.live.members:
        return None
    for move in session.moves:
        if "/" in move.source or move.source in seen.names or measuring.change(seen.store.folder, move) is not None:
            return None
    try:
        entry = entry_of(one.store, session, seen.held)
    except CloserError:
        return None
    if next(_left_for_another(seen, entry, {move.source for move in session.moves}), None) is not None:
        return None
    until = until_of(session.moves, seen.kept)
    return item if until is None else item._replace(until=until)


def _as_it_is_now(seen: Look, move: Move) -> Move:
    """Return a rename with the archive's present name: a session that shared it may have been back in between."""
    folder = seen.store.folder
    if seen.has(move.target):
        return move
    later = move.but(target=seen.shelf().latest.get(move.source, move.target))
    return move if measuring.change(folder, later) else later


def _left_for_another(seen: Look, entry: str, known: set[str]) -> Iterator[Move]:
    """Give the renames of files that stayed as another session used them, which a later run has closed."""

    def lacks(name: str) -> bool:
        return name not in known and not seen.has(name)

    value = _named(entry)
    if not names.is_session_id(value.own):
        return
    named = names.parted(value.path)[1] if isinstance(value.path, str) else ""
    transcripts = {name for name in (f"{value.own}.jsonl", named) if lacks(name) and names.is_transcript(name)}
    if transcripts:
        shelf = seen.shelf()
        theirs = {name for one in transcripts for name in shelf.owned.get(one.removesuffix(".jsonl"), ())}
        yield from (Move(name, shelf.latest[name]) for name in sorted(theirs) if lacks(name))


class _Named(msgspec.Struct, gc=False):
    """What an entry calls its transcript, and its session."""

    path: Any = msgspec.field(name="sessionFile", default=None)
    own: Any = msgspec.field(name="sessionId", default=None)


_NAMED = msgspec.json.Decoder(_Named)


def _named(entry: str) -> _Named:
    """Return what a member names, nothing where its value is no object."""
    text = document.member(entry)[1]
    try:
        # An entry may have a megabyte, and this decodes no more of it than is asked for.
        return _NAMED.decode(text)
    except (ValueError, RecursionError):
        # What msgspec does not take may be an entry all the same: half a surrogate pair, a number like 1e400.
        value = _value(text)
    return _Named(value.get("sessionFile"), value.get("sessionId")) if isinstance(value, dict) else _Named()


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _file_back(seen: Look, one: ChosenFile) -> Item:
    item = Item(one.given, seen.store.agent, one.move.source, None, Status.WOULD_RESTORE, lone=True)
    found = with_files(seen.store.folder, item, [one.move], has=seen.has, kept=seen.kept, claims=seen.claims)
    return found._replace(status=Status.ALREADY_RESTORED) if found.is_wanted and not found.moves else found
