"""What a session database can take back of sessions that were put away, as it is now. Nothing writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from ...core import names
from ...core.actions import How
from ...core.durable import Move
from ...core.effects import Lost
from ...core.errors import CloserError, CorruptStore
from ...core.status import Status
from ...core.tuples import NamedTuple
from ...journal import history
from ...journal.source import Chosen, ChosenFile, ChosenSession
from ...ports.undo import Item
from ...system import files
from ..files import values
from ..files.document import with_members
from ..from_bundle import is_held
from ..gateway.command import missing
from ..home import Home
from ..shelf import Shelf
from ..undo import entry_of, seconds_kept, shelf_of, with_files, with_way_out
from .store import Row, SqliteStore, archives_of


class Look(NamedTuple):
    """A database, its rows that are concerned, what was put away of it, and for how many seconds that is kept."""

    store: SqliteStore
    rows: Mapping[str, Row]
    shelf: Callable[[], Shelf]
    kept: float | None


def look(home: Home, store: SqliteStore, chosen: Sequence[Chosen]) -> list[Item]:
    """Return what would become of each session and file; raise Refused."""
    rows = store.rows([one.session.key for one in chosen if isinstance(one, ChosenSession)])
    seen = Look(store, rows, shelf_of(home, store.agent, chosen), seconds_kept(home, chosen, in_files=False))
    items = [_file_back(seen, one) if isinstance(one, ChosenFile) else _session_back(seen, one) for one in chosen]
    return with_way_out(chosen, items)


def coming_back(home: Home, store: SqliteStore, chosen: Sequence[Chosen]) -> list[Item]:
    """Return the same where it is to be done: what was deleted comes back where there is an importer alone."""
    items = look(home, store, chosen)
    if not (why := missing(home)):
        return items
    why = f"it was deleted, and comes back by OpenClaw's own importer: {why}"
    return [item.but(status=Status.FAILED, error=why) if _is_imported(item) else item for item in items]


def _is_imported(item: Item) -> bool:
    return item.is_wanted and item.put_away is How.DELETE


def _file_back(seen: Look, one: ChosenFile) -> Item:
    why = "it was archived in a folder of files, and the agent has a database now"
    return Item(one.given, seen.store.agent, one.name, None, Status.FAILED, lone=True, error=why)


def _session_back(seen: Look, one: ChosenSession) -> Item:
    session, row = one.session, seen.rows.get(one.session.key)
    item = Item(
        one.given, seen.store.agent, session.key, session.session_id, Status.WOULD_RESTORE, How.DELETE,
        effects=session.effects, modes=session.modes, jobs=session.jobs, left_out=_not_in_a_database(one),
    )  # fmt: skip
    if row is None:
        return _to_import(seen, item, one)
    if row.session_id != session.session_id:
        return item.but(status=Status.CONFLICT, error="the key is in use again, by another session")
    if row.archived_at is None or session.archived_before:
        return item.but(status=Status.ALREADY_RESTORED)
    return item.but(put_away=How.ARCHIVE)


def _not_in_a_database(one: ChosenSession) -> Mapping[str, str]:
    """Return what a file store could get back, and a database cannot."""
    has_files = one.store.era != SqliteStore.era
    moved = has_files and any(e.action == "removed" and e.undo == "exact" for e in one.session.effects)
    why = "it was kept in a file, and OpenClaw has a database now: bind the chat anew"
    return MappingProxyType({"binding": why} if moved else {})


def _to_import(seen: Look, item: Item, one: ChosenSession) -> Item:
    session, store = one.session, seen.store
    try:
        entry = session.entry if session.entry is not None else values.member(entry_of(one.store, session))[1]
    except CloserError as problem:
        return item.but(status=Status.FAILED, error=problem.message)
    try:
        # OpenClaw's importer takes nothing else.
        with_members(entry, {})
    except CorruptStore as problem:
        return item.but(status=Status.FAILED, error=f"its entry {problem.message}")
    transcripts = tuple(move for move in session.moves if move.source == f"{session.session_id}.jsonl")
    moves = session.moves
    if session.events >= 0 and not transcripts:
        transcripts = _archived_later(seen, one)
        if not transcripts and not store.uses(session.session_id or ""):
            why = "the archive of its transcript was not found when it was closed"
            return item.but(status=Status.FAILED, error=why)
        moves = (*moves, *transcripts)

    in_bundle = is_held(one, store.folder)

    def is_kept(archive: str) -> bool:
        return in_bundle(archive) or store.kept(archive).raw is not None

    has = partial(_is_in, store.folder)
    found = with_files(store.folder, item.but(entry=entry), moves, has=has, kept=seen.kept, is_kept=is_kept)
    return with_twice(found.but(moves=transcripts)) if found.is_wanted else found


def _is_in(folder: str, name: str) -> bool:
    return files.exists(os.path.join(folder, name))


def _archived_later(seen: Look, one: ChosenSession) -> tuple[Move, ...]:
    """Return the rename of a transcript that was archived after its close, or that its session had shared."""
    # A cron job and its latest run have one session id: their transcript goes with the last of them.
    own = one.session.session_id or ""
    began = history.moment(one.source.began)
    late = archives_of(seen.store, [own], lambda name: names.is_made_since(name, began))[own]
    archive = seen.shelf().latest.get(f"{own}.jsonl", late[0] if late else None)
    return (Move(f"{own}.jsonl", archive),) if archive is not None else ()


def with_twice(item: Item) -> Item:
    """Return a session that is to be imported with what memory search will find of it a second time."""
    if not any(one.kind == "memory" for one in item.effects):
        return item
    where = f"file:agents/{item.agent}/sessions/"
    why = "OpenClaw's archive {} stays, so memory search finds the session twice"
    return item.but(twice=tuple(Lost(where, 1, why.format(move.target)) for move in item.moves))
