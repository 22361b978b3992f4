"""Close the planned sessions of one store: backup, journal, entry, transcripts, in this order."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from . import commit, document, locks, names
from .document import Document
from .files import Disk
from .gateway.link import CallRefused, LinkLost, LinkRefused
from .gateway.sessions import Gateway, delete
from .model import Life, Move, Outcome, PlannedRow, Route, Session, Status
from .record import SessionRecord, StoreRecord
from .stores.files import FileStore, parse, read_index

ATTEMPTS = 20
# A gateway without locks that read the store before the swap writes its stale image back within this time.
SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class Work:
    """One store's share of a run, as it goes on."""

    store: FileStore
    rows: list[PlannedRow]
    record: StoreRecord
    note: Callable[[StoreRecord], None]
    edited: bool = False
    outcome: dict[str, Status] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    archives: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def outcomes(self) -> list[Outcome]:
        """Return a result for each planned row."""
        return [
            Outcome(
                row.given,
                row.agent,
                row.key,
                self.outcome.get(row.key, Status.FAILED),
                session_id=row.session.session_id if row.session else None,
                route=row.route,
                archives=tuple(os.path.join(self.store.folder, name) for name in self.archives.get(row.key, ())),
                error=self.error.get(row.key, None if row.key in self.outcome else "not finished"),
            )
            for row in self.rows
        ]


def prepare(disk: Disk, store: FileStore, rows: Sequence[PlannedRow], stamp: str) -> StoreRecord:
    """Back up the store and return the record of what is going to happen to it; nothing else is changed."""
    assert store.document is not None
    raw = store.document.raw
    backup = commit.publish_backup(disk, store.place, raw, names.backup_name(stamp))
    sessions = tuple(_session_record(store, row) for row in rows)
    return StoreRecord(
        agent=store.agent,
        era=store.era,
        path=store.index,
        transcripts=store.folder,
        backup=backup,
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        sessions=sessions,
    )


def _session_record(store: FileStore, row: PlannedRow) -> SessionRecord:
    assert store.document is not None
    member = store.document.members[row.key]
    entry = store.document.member_bytes(row.key)
    return SessionRecord(
        key=row.key,
        session_id=row.session.session_id if row.session else None,
        offset=member.start,
        length=len(entry),
        sha256=hashlib.sha256(entry).hexdigest(),
        route=str(row.route),
        moves=tuple(_measured(store.folder, move) for move in row.moves),
    )


def _measured(folder: str, move: Move) -> Move:
    try:
        found = os.lstat(os.path.join(folder, move.source))
    except FileNotFoundError:
        return move
    return replace(move, size=found.st_size, mtime_ns=found.st_mtime_ns)


def through_gateway(
    disk: Disk, work: Work, gateway: Gateway, progress: Callable[[int, int], None], *, fall_back: bool
) -> None:
    """Have the gateway delete the rows of its route; rows it cannot take go to the files route if that is allowed."""
    pending = [row for row in work.rows if row.route is Route.GATEWAY]
    for at, row in enumerate(pending):
        progress(at, len(pending))
        try:
            archived = delete(gateway, row.key, delete_transcript=row.delete_transcript)
        except CallRefused as problem:
            work.error[row.key] = f"the gateway refused: {problem}"
        except LinkLost as problem:
            work.error[row.key] = f"the gateway gave no answer: {problem}"
        except LinkRefused as problem:
            _give_up(work, pending[at:], str(problem), fall_back=fall_back)
            pending = pending[:at]
            break
        else:
            work.archives[row.key] = _names_in(work.store.folder, archived)
    if not pending:
        return
    progress(len(pending), len(pending))
    _look_again(work, pending)
    archive(disk, work, [row for row in pending if work.outcome.get(row.key) is Status.CLOSED])


def _give_up(work: Work, rows: Sequence[PlannedRow], reason: str, *, fall_back: bool) -> None:
    if fall_back:
        work.warnings.append(f"the gateway does not let us delete sessions, so the file was edited: {reason}")
        gone = {row.key for row in rows}
        work.rows = [replace(row, route=Route.FILES) if row.key in gone else row for row in work.rows]
        return
    for row in rows:
        work.error[row.key] = f"the gateway does not let us delete sessions: {reason}"


def _names_in(folder: str, paths: Iterable[str]) -> list[str]:
    real = os.path.realpath(folder)
    return [os.path.basename(path) for path in paths if os.path.realpath(os.path.dirname(path)) == real]


def _look_again(work: Work, rows: Sequence[PlannedRow]) -> None:
    """Decide by the store itself what became of each key: `ok: true` proves nothing."""
    store = work.store
    before = store.document
    assert before is not None
    now = parse(read_index(store.index)[0], store.index, store.agent)
    for row in rows:
        left = now.value_bytes(row.key)
        if left is None:
            work.outcome[row.key] = Status.CLOSED
            work.error.pop(row.key, None)
        elif document.same_value(left, before.value_bytes(row.key)):
            work.error.setdefault(row.key, "the gateway said ok, but the entry is still there")
        elif row.key not in work.error:
            work.outcome[row.key] = Status.CAME_BACK
            work.error[row.key] = "in use again: the gateway wrote it anew"


def through_files(disk: Disk, work: Work, life: Life) -> None:
    """Take the rows of the files route out of `sessions.json`, then archive their files."""
    rows = [row for row in work.rows if row.route is Route.FILES]
    if not rows:
        return
    store = work.store
    with locks.store(disk, store.place) as lock:
        raw, _ = read_index(store.index)
        assert store.document is not None
        planned = store.document
        if raw != planned.raw:
            store.document = parse(raw, store.index, store.agent)
        _commit(disk, work, rows, planned, lock)
        work.edited = True
        _verify(disk, work, rows, planned, lock, settle=SETTLE_SECONDS if life is not Life.DOWN else 0.0)
        archive(disk, work, [row for row in rows if work.outcome.get(row.key) is Status.CLOSED])


def _commit(
    disk: Disk, work: Work, rows: Sequence[PlannedRow], planned: Document[Session], lock: locks.StoreLock
) -> None:
    """Take the rows' entries out, unless somebody has changed them since they were planned."""
    store = work.store
    current = store.document
    assert current is not None
    going = []
    for row in rows:
        left = current.value_bytes(row.key)
        if left is not None and not document.same_value(left, planned.value_bytes(row.key)):
            _came_back(work, row.key)
        else:
            work.outcome[row.key] = Status.CLOSED
            if left is not None:
                going.append(row.key)
    if going:
        for key in _install(disk, work, current, going, lock):
            if key in work.outcome:
                _came_back(work, key)


def _came_back(work: Work, key: str) -> None:
    work.outcome[key] = Status.CAME_BACK
    work.error[key] = "in use again: it was written anew while it was being closed"


def _install(disk: Disk, work: Work, live: Document[Session], going: Sequence[str], lock: locks.StoreLock) -> list[str]:
    """Install the store without these keys; return those that somebody changed in the same moment."""

    def displaced(name: str) -> None:
        work.record = replace(work.record, displaced=(*work.record.displaced, name))
        work.note(work.record)

    place = commit.Place(work.store.index, work.store.agent, work.record.backup, displaced, work.warnings.append)
    return commit.install(disk, place, live, document.edit(live, remove=set(going)), lock)


def _verify(
    disk: Disk,
    work: Work,
    rows: Sequence[PlannedRow],
    planned: Document[Session],
    lock: locks.StoreLock,
    *,
    settle: float,
) -> None:
    """Look whether a stale image was written back, and take it out again; a changed entry is in use and stays."""
    store = work.store
    for _ in range(ATTEMPTS):
        if settle:
            time.sleep(settle)
        raw, _ = read_index(store.index)
        now = parse(raw, store.index, store.agent)
        stale = []
        for row in rows:
            left = now.value_bytes(row.key)
            if left is None or work.outcome.get(row.key) is not Status.CLOSED:
                continue
            if document.same_value(left, planned.value_bytes(row.key)):
                stale.append(row.key)
            else:
                _came_back(work, row.key)
        if not stale:
            return
        for key in _install(disk, work, now, stale, lock):
            if key in work.outcome:
                _came_back(work, key)
    for row in rows:
        if row.key in stale:
            work.outcome[row.key] = Status.CAME_BACK
            work.error[row.key] = "the running gateway writes it back each time it is taken out: use --via gateway"


def archive(disk: Disk, work: Work, rows: Sequence[PlannedRow]) -> None:
    """Rename the files of closed sessions to their archive names; nothing is overwritten (I5)."""
    folder = work.store.folder
    moved: dict[str, str] = {}
    for row in rows:
        names_of_row = work.archives.setdefault(row.key, [])
        for move in row.moves:
            target = moved.get(move.source) or _rename(disk, work, folder, move)
            if target is not None:
                moved[move.source] = target
                names_of_row.append(target)
    if moved:
        disk.sync_folder(folder)


def _rename(disk: Disk, work: Work, folder: str, move: Move) -> str | None:
    """Rename one file to its archive name; return that name, None where the gateway has archived it already."""
    while True:
        try:
            disk.rename_new(os.path.join(folder, move.source), os.path.join(folder, move.target))
        except FileNotFoundError:
            return None
        except FileExistsError:
            move = _other_name(work, folder, move)
        else:
            return move.target


def _other_name(work: Work, folder: str, move: Move) -> Move:
    """Return the move with an archive name that is free, noted in the journal before it is used."""
    from .journal import now

    stamp = names.free_stamp(now(), os.listdir(folder))
    other = replace(move, target=names.archive_name(move.source, stamp))
    sessions = tuple(
        replace(
            session,
            moves=tuple(replace(m, target=other.target) if m.source == move.source else m for m in session.moves),
        )
        for session in work.record.sessions
    )
    work.record = replace(work.record, sessions=sessions)
    work.note(work.record)
    return other


def settled(work: Work) -> StoreRecord:
    """Return the record with what became of each session and the archive names that are really there."""
    status = {row.key: work.outcome.get(row.key, Status.FAILED) for row in work.rows}
    sessions = []
    for session in work.record.sessions:
        named = {names.archived_from(name): name for name in work.archives.get(session.key, ())}
        moves = tuple(replace(move, target=named.get(move.source, move.target)) for move in session.moves)
        sessions.append(replace(session, status=str(status.get(session.key, session.status)), moves=moves))
    return replace(work.record, sessions=tuple(sessions))


def look_after_restart(disk: Disk, work: Work) -> None:
    """Report an entry that the gateway wrote back while it stopped; its files go back to it (I6)."""
    store = work.store
    now = parse(read_index(store.index)[0], store.index, store.agent)
    for row in work.rows:
        if row.route is Route.FILES and work.outcome.get(row.key) is Status.CLOSED and row.key in now.members:
            work.outcome[row.key] = Status.CAME_BACK
            work.error[row.key] = "the gateway wrote it back while it stopped: close it again"
            for name in work.archives.pop(row.key, []):
                live = names.archived_from(name)
                if live is not None and not os.path.lexists(os.path.join(store.folder, live)):
                    disk.rename_new(os.path.join(store.folder, name), os.path.join(store.folder, live))
            disk.sync_folder(store.folder)
