"""What a file store can take back of sessions that were put away, as it is now. Nothing writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from ...artifacts import measuring
from ...core import names
from ...core.claims import Claims
from ...core.durable import Move
from ...core.errors import CloserError
from ...core.model import Session, Status
from ...journal.source import Chosen, ChosenFile, ChosenSession, Origin
from ...ports.undo import Item
from ...system import files
from ..from_bundle import is_held
from ..home import Home
from ..shelf import Shelf
from ..undo import entry_of, seconds_kept, shelf_of, with_files, with_way_out
from . import document
from .index import live_or_empty
from .members import Document
from .store import FileStore


class Look(NamedTuple):
    """A store as it is now, what its sessions use, what was put away of it, and for how many seconds that is kept.

    `has` tells whether a name was in its folder.
    """

    store: FileStore
    live: Document[Session]
    claims: Claims
    shelf: Callable[[], Shelf]
    kept: float | None
    has: Callable[[str], bool]


def look(home: Home, store: FileStore, chosen: Sequence[Chosen]) -> tuple[Document[Session], list[Item]]:
    """Return the store as it is now, and what would become of each session and file; raise Refused."""
    live = live_or_empty(store.index, store.agent, anew=begins(chosen))
    claims = Claims.of(member.row for member in live.members.values())
    shelf, kept = shelf_of(home, store.agent, chosen), seconds_kept(home, in_files=True)
    seen = Look(store, live, claims, shelf, kept, _there(store.folder))
    items = [_file_back(seen, one) if isinstance(one, ChosenFile) else _session_back(seen, one) for one in chosen]
    return live, with_way_out(chosen, items)


def begins(chosen: Sequence[Chosen]) -> bool:
    """Tell whether an index that holds no sessions any more may be begun anew: this may be all that is left of it."""
    return chosen[0].source.origin is not Origin.RECEIPT


def _there(folder: str) -> Callable[[str], bool]:
    """Return what tells whether a name is in a folder: one look at it, and not one at each file."""
    there = frozenset(files.listed(folder))
    return lambda name: files.exists(name) if "/" in name else name in there


def _session_back(seen: Look, one: ChosenSession) -> Item:
    recorded, session, live = one.store, one.session, seen.live
    item = Item(
        one.given, seen.store.agent, session.key, session.session_id, Status.WOULD_RESTORE,
        effects=session.effects, jobs=session.jobs,
    )  # fmt: skip
    member = live.members.get(session.key)
    there = member is not None and member.row.session_id == session.session_id
    if member is not None and not there:
        return item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
    if recorded.era != FileStore.era:
        if there:
            return item._replace(status=Status.ALREADY_RESTORED)
        return item._replace(status=Status.FAILED, error="it was closed in a database, and the agent has files now")
    try:
        entry = live.member_bytes(session.key).decode("utf-8") if there else entry_of(recorded, session)
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    moves = [_as_it_is_now(seen, move) for move in session.moves]
    moves += _left_for_another(seen, entry, {move.source for move in session.moves})
    held = is_held(one, seen.store.folder)
    entered = item._replace(entry=entry)
    found = with_files(
        seen.store.folder, entered, moves, has=seen.has, kept=seen.kept, claims=seen.claims, is_kept=held
    )
    # Where it was written back by hand, or by a gateway, its files may still be put away.
    if there and not (found.is_wanted and found.moves):
        return item._replace(status=Status.ALREADY_RESTORED)
    return found


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
    transcripts = {name for name in (f"{value.own}.jsonl", named) if names.is_transcript(name) and lacks(name)}
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
