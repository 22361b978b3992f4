"""One file store of an interrupted run: what was committed is rolled forward, the rest put back as it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ...artifacts import engine
from ...artifacts.engine import Became, Names
from ...core import fileplan, names
from ...core.claims import Claims, user_of
from ...core.durable import Move
from ...core.model import Session
from ...journal.record import Damaged, SessionRecord, StoreRecord
from ...ports.store import Interrupted
from ...system import files, flock
from ..attached import jobs
from ..installation import Installation
from ..recorded import check_there
from . import document, replay
from .archive import with_other_name
from .lock import store_lock
from .members import Document
from .store import parse, read_index

_ARCHIVED = (Became.AWAY, Became.ALREADY, Became.TAKEN)


def finish(here: Installation, record: StoreRecord, run: Interrupted) -> StoreRecord:
    """Return the record with what became of each session and file, once what a run began in this store is finished."""
    if record.sessions:
        record = (_put_back if record.restores else _roll_forward)(here, record, run)
    return jobs.settled(settle_files(here, record))


def settle_files(here: Installation, store: StoreRecord) -> StoreRecord:
    """Finish with the files of a run that were no session's: what was archived stays so for now."""
    if not store.orphans:
        return store
    check_there(store)
    going = Names.LIVE if store.restores else Names.ARCHIVE
    with (
        flock.folder(os.path.dirname(store.path), clock=here.context.clock),
        engine.Root(here.disk, store.transcripts) as root,
    ):
        settled = [root.settle(move, going) for move in store.orphans]
    if store.restores:
        return store
    return store.but(orphans=tuple(move for became, move in settled if became in _ARCHIVED))


def look_again(here: Installation, store: StoreRecord) -> StoreRecord:
    """Bring back what a session has taken into use since this store was settled, and leave it out of the record."""
    if not (store.orphans or any(session.moves for session in store.sessions)):
        return store
    with flock.folder(os.path.dirname(store.path), clock=here.context.clock):
        shelf = _Shelf(here, store)
        with shelf.root:
            return _spared(shelf, store)


def _spared(shelf: _Shelf, store: StoreRecord) -> StoreRecord:
    if store.restores:
        for session in store.sessions:
            for move in session.moves if session.status == "dropped" else ():
                shelf.spare(move)
        return store
    sessions = (
        session.but(moves=_there(map(shelf.spare, session.moves))) if session.status == "closed" else session
        for session in store.sessions
    )
    return store.but(sessions=tuple(sessions), orphans=_there(map(shelf.spare, store.orphans)))


def _there(moves: Iterable[Move | None]) -> tuple[Move, ...]:
    return tuple(move for move in moves if move is not None)


def _put_back(here: Installation, store: StoreRecord, run: Interrupted) -> StoreRecord:
    """Finish an interrupted restore of a file store: files without an entry are put away again."""
    disk = here.disk
    check_there(store)
    with (
        flock.folder(os.path.dirname(store.path), clock=here.context.clock),
        store_lock(disk, store.path, clock=here.context.clock) as lock,
    ):
        store = replay.finish(disk, store, replay.backup(store), lock, run.note)
        live = parse(read_index(store.path)[0], store.path, store.agent)
        users = here.neighbours.users(store.agent)
        sessions = []
        with engine.Root(disk, store.transcripts, is_used=partial(_is_used, users)) as root:
            for session in store.sessions:
                member = live.members.get(session.key)
                back = member is not None and member.row.session_id == session.session_id
                for move in session.moves:
                    root.settle(move, Names.LIVE if back else Names.ARCHIVE, begin=not back)
                sessions.append(session.but(status="restored" if back else "dropped"))
        return store.but(sessions=tuple(sessions))


def _roll_forward(here: Installation, store: StoreRecord, run: Interrupted) -> StoreRecord:
    """Finish an interrupted close of a file store: files of what is out of it are put away, the rest stays."""
    disk, folder = here.disk, os.path.dirname(store.path)
    check_there(store)
    with flock.folder(folder, clock=here.context.clock), store_lock(disk, store.path, clock=here.context.clock) as lock:
        before = replay.backup(store)
        store = replay.finish(disk, store, before, lock, run.note)
        live = parse(read_index(store.path)[0], store.path, store.agent)
        shelf = _Shelf(here, store, run.note)
        with shelf.root:
            sessions = tuple(_settled(shelf, before, live, session) for session in store.sessions)
        return store.but(sessions=sessions)


def _settled(
    shelf: _Shelf, before: Document[Session], live: Document[Session], session: SessionRecord
) -> SessionRecord:
    """Decide from the store what became of one session, and bring its files in line with it."""
    was, now = before.value_bytes(session.key), live.value_bytes(session.key)
    if was is None:
        raise Damaged(f"its backup has no {session.key!r}")
    if now is None:
        return session.but(status="closed", moves=_there(map(shelf.put_away, session.moves)))
    for move in session.moves:
        shelf.root.settle(move, Names.LIVE)
    return session.but(status="dropped" if document.same_value(now, was) else "came_back")


class _Shelf:
    """One store's transcripts as an interrupted run left them, live or archived, and who uses which of them now.

    `note` writes the record: without it no file gets a name that is not on record.
    """

    def __init__(
        self, here: Installation, store: StoreRecord, note: Callable[[StoreRecord], None] | None = None
    ) -> None:
        self._here, self._store, self._note = here, store, note
        self._beside = here.home.beside(store.agent)
        self._users = here.neighbours.users(store.agent)
        self.root = engine.Root(
            here.disk,
            store.transcripts,
            is_used=partial(_is_used, self._users),
            other_name=None if note is None else self._other_name,
            # The gateway chooses its own stamps.
            latest=engine.latest(self._listed),
        )

    def _listed(self) -> list[str]:
        return [*files.listed(self._store.transcripts), *files.listed_whole(self._beside)]

    def _other_name(self, move: Move) -> Move:
        assert self._note is not None
        stamp = names.free_stamp(self._here.context.clock.now(), self._listed())
        self._store, other = with_other_name(self._store, move, stamp)
        # Killed in between, the next run finds the file by that name: what has the planned one is not ours.
        self._note(self._store)
        return other

    def put_away(self, move: Move) -> Move | None:
        """Archive a closed session's file; return how it is named, None where a session uses it by now."""
        return self._left(self.root.settle(move, Names.ARCHIVE, begin=True))

    def spare(self, move: Move) -> Move | None:
        """Return the move of a file; None where a session uses it by now: then it has its live name (I6, I9)."""
        # Nothing is asked of the disk for the others: a step after the last look is a moment to take a file in.
        return self._left(self.root.settle(move, Names.LIVE)) if _is_used(self._users, move.source) else move

    def _left(self, result: engine.Result) -> Move | None:
        """Return the move that is left on record, None where the file stays, and say so."""
        became, move = result
        if became is Became.LIVE and (why := self.root.stuck.get(move.source)) is not None:
            self._here.warn(fileplan.stuck(move.source, why))
            return None
        user = user_of(move.source, self._users)
        if user is None or became is Became.GONE:
            return move
        if became is Became.LIVE:
            self._here.warn(fileplan.kept_for(move.source, None if user == self._store.agent else user))
            return None
        self._here.warn(fileplan.begun_anew(move.source, move.target))
        return move


def _is_used(users: Mapping[str, Claims], name: str) -> bool:
    return user_of(name, users) is not None
