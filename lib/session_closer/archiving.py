"""Rename the files of closed sessions to their archive names, and back where a session came back."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from . import locks, names, planning
from .document import Document
from .files import Disk
from .history import now
from .home import Home
from .measuring import Measure, holds
from .model import Move, PlannedRow, Route, Session, Snapshot, Status
from .record import SessionRecord, StoreRecord
from .stores.files import FileStore, parse, read_index
from .work import FileWork

# An aborted run needs about 10 ms to end after its session was deleted; measured on 2026.5.7.
ABORT_SECONDS = 5.0
_PAUSE = 0.02


def archive(disk: Disk, work: FileWork, rows: Sequence[PlannedRow]) -> None:
    """Rename the files of closed sessions to their archive names; nothing is overwritten (I5)."""
    folder = work.store.folder
    moved: dict[str, str] = {}
    shelf = functools.cache(lambda: names.shelf(os.listdir(folder)))
    for row in rows:
        names_of_row = work.archives.setdefault(row.key, [])
        told = {names.archived_from(name) for name in names_of_row}
        for move in row.moves:
            target = moved.get(move.source) or _rename(disk, work, folder, move)
            if target is None and move.source not in told:
                # Its answer was lost, or it was somebody else's call.
                target = put_away_since(move, shelf().get(move.source))
            if target is not None:
                moved[move.source] = target
                names_of_row.append(target)
    if moved:
        disk.sync_folder(folder)


def put_away_since(move: Move, name: str | None) -> str | None:
    """Return the name of an archive that was made after the plan, which is where the file is, else None."""
    return name if name is not None and names.is_made_since(name, names.archived_at(move.target)) else None


def _rename(disk: Disk, work: FileWork, folder: str, move: Move) -> str | None:
    """Rename one file to its archive name; return that name, None where the gateway has archived it already."""
    while True:
        try:
            disk.rename_new(f"{folder}/{move.source}", f"{folder}/{move.target}")
        except FileNotFoundError:
            return None
        except FileExistsError:
            move = _other_name(work, folder, move)
        else:
            return move.target


def _other_name(work: FileWork, folder: str, move: Move) -> Move:
    """Return the move with an archive name that is free, noted in the journal before it is used."""
    stamp = names.free_stamp(now(), os.listdir(folder))
    other = move._replace(target=names.archive_name(move.source, stamp))
    sessions = tuple(
        session._replace(
            moves=tuple(m._replace(target=other.target) if m.source == move.source else m for m in session.moves)
        )
        for session in work.record.sessions
    )
    work.record = replace(work.record, sessions=sessions)
    work.note(work.record)
    return other


def archive_late_files(disk: Disk, work: FileWork, rows: Sequence[PlannedRow]) -> None:
    """Archive what an aborted run still wrote after `sessions.delete` had answered.

    The run's last write comes before its transcript lock goes (docs/measurements.md).
    """
    if not rows:
        return
    store = work.store
    deadline = time.monotonic() + ABORT_SECONDS
    # The lock outlives the name of its transcript, which is archived already.
    sessions_of_rows = [row.session for row in rows if row.session is not None]
    while _any_locked(sessions_of_rows, store.read()):
        if time.monotonic() >= deadline:
            break
        time.sleep(_PAUSE)
    snapshot = store.read()
    claims = (planning.Claims.of(snapshot.sessions.values()), *work.lent)
    stamp = names.free_stamp(now(), snapshot.taken)
    late, measure = [], Measure()
    for row in rows:
        own = [name for name in _own_files(row, snapshot) if name in snapshot.files]
        left = [name for name in own if not any(each.cover(name) for each in claims)]
        moves = tuple(measure.live(store.folder, Move(name, names.archive_name(name, stamp))) for name in left)
        late.append(row._replace(moves=moves))
    found = {row.key: row.moves for row in late}
    sessions = tuple(
        session._replace(moves=(*session.moves, *found.get(session.key, ()))) for session in work.record.sessions
    )
    if any(found.values()):
        work.record = replace(work.record, sessions=sessions)
        work.note(work.record)
        archive(disk, work, late)


def _any_locked(sessions: Sequence[Session], snapshot: Snapshot) -> bool:
    return any(planning.is_locked(session, snapshot) for session in sessions)


def _own_files(row: PlannedRow, snapshot: Snapshot) -> list[str]:
    assert row.session is not None
    return planning.transcripts(row.session, snapshot)


def look_again(disk: Disk, work: FileWork) -> None:
    """Report an entry that was written back after it was taken out; files that it claims go back to it (I6)."""
    store = work.store
    if work.live is not None and not _back(work, work.live) and holds(store.index, work.live.raw):
        return
    current = parse(read_index(store.index)[0], store.index, store.agent)
    claims = planning.Claims.of(member.row for member in current.members.values())
    for row in _back(work, current):
        work.outcome[row.key] = Status.CAME_BACK
        work.error[row.key] = "it was written back after it had been taken out: close it again"
        for name in work.archives.get(row.key, []):
            live = names.archived_from(name)
            if live and claims.cover(live) and not os.path.lexists(os.path.join(store.folder, live)):
                disk.rename_new(os.path.join(store.folder, name), os.path.join(store.folder, live))
                work.archives[row.key] = [other for other in work.archives[row.key] if other != name]
        disk.sync_folder(store.folder)


def look_again_at(disk: Disk, home: Home, record: StoreRecord) -> StoreRecord:
    """Return the record of a file store with what its gateway has written back, or away, since; raise CloserError."""
    store = FileStore(home, record.agent)
    with locks.folder(store.place):
        now = store.read().sessions
        if record.restores:
            away = {session.key for session in record.sessions if session.status == "restored"} - now.keys()
            return replace(record, sessions=tuple(_ended(session, away, "failed") for session in record.sessions))
        # A key with another session id was taken into use after it had been closed.
        back = [
            session
            for session in record.sessions
            if session.route == Route.FILES
            and session.status == Status.CLOSED
            and session.key in now
            and now[session.key].session_id == session.session_id
        ]
        assert store.document is not None
        work = FileWork(
            store=store,
            rows=[PlannedRow(s.key, record.agent, s.key, Status.WOULD_CLOSE, route=Route.FILES) for s in back],
            record=record,
            note=lambda _: None,
            planned=store.document,
            outcome=dict.fromkeys((session.key for session in back), Status.CLOSED),
            archives={session.key: [move.target for move in session.moves] for session in back},
        )
        look_again(disk, work)
        came_back = {session.key for session in back}
        return replace(record, sessions=tuple(_ended(session, came_back, "came_back") for session in record.sessions))


def _ended(session: SessionRecord, keys: Collection[str], status: str) -> SessionRecord:
    return session._replace(status=status) if session.key in keys else session


def _back(work: FileWork, store: Document[Any]) -> list[PlannedRow]:
    """Return the rows whose entries were taken out of the file, and are in it."""
    return [
        row
        for row in work.rows
        if row.route is Route.FILES and work.outcome.get(row.key) is Status.CLOSED and row.key in store.members
    ]
