"""One store's share of a run: what is planned, what has become of it, and its record."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .. import __version__
from ..artifacts.measuring import Hash, Measure, Stamp, beside
from ..core import names
from ..core.claims import Claims
from ..core.errors import CloserError
from ..core.model import PUT_AWAY, Move, PlannedRow, Reason, Session, Status
from ..core.planning import effects_of
from ..core.report import Outcome
from ..journal import clocks, history, journal
from ..journal.record import PLANNED, Damaged, RunRecord, SessionRecord, StoreRecord, ended, with_store
from ..openclaw.files import commit
from ..openclaw.files.document import Document, Member
from ..openclaw.files.store import FileStore, Seen, parse, read_index
from ..openclaw.stores import Store
from ..system import files, locks
from ..system.files import Disk
from .run import Run

FINISHES = "the same command again finishes it"


@dataclass(slots=True, kw_only=True)
class Work:
    """One store's share of a run, as it goes on; `archives` are names in the store's folder.

    `tidied` are the results of files that belong to no session, `pending` the keys that the next run finishes,
    `put_off` those that a later cleanup frees, `left_on` what is to be said of cron jobs that were not switched off.
    """

    store: Store
    rows: list[PlannedRow]
    record: StoreRecord
    note: Callable[[StoreRecord], None]
    edited: bool = False
    finished: bool = False
    outcome: dict[str, Status] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    archives: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    tidied: list[Outcome] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    put_off: set[str] = field(default_factory=set)
    left_on: dict[str, str] = field(default_factory=dict)

    def give_up(self) -> None:
        """Call nothing closed of what was under way when an error ended the run; say what is out of the store."""
        if self.finished:
            return
        self.outcome = {key: status for key, status in self.outcome.items() if status is not Status.CLOSED}
        for key in self.gone():
            self.error[key] = f"out of the store already, but not finished: {FINISHES}"
            self.pending.add(key)

    def gone(self) -> list[str]:
        """Return which of the sessions are out of the store, as far as it can be read."""
        return []

    def note_archives(self, key: str, paths: Iterable[str]) -> None:
        """Note the archives that a gateway names which are there: it may have another name for the folder."""
        beside = self.store.beside
        # A gateway in a container calls both folders by other names.
        there = [
            name
            for path in map(os.path.basename, paths)
            for name in (path, *([os.path.join(beside, path)] if beside else []))
            if os.path.isfile(os.path.join(self.store.folder, name))
        ]
        self.archives[key] = [name for name in there if names.archived_from(name) is not None]

    def outcomes(self) -> list[Outcome]:
        """Return a result for each planned row."""
        return [*map(self._outcome, self.rows), *self.tidied]

    def _outcome(self, row: PlannedRow) -> Outcome:
        became = self.outcome.get(row.key)
        archives = [os.path.join(self.store.folder, name) for name in self.archives.get(row.key, ())]
        if self.store.era == "sqlite":
            # OpenClaw names an archive before it has written it.
            archives = [path for path in archives if os.path.isfile(path)]
        return Outcome(
            row.given,
            row.agent,
            row.key,
            Status.FAILED if became is None else became,
            Reason.RUNNING if became is Status.REFUSED else Reason.PENDING if row.key in self.pending else None,
            row.session.session_id if row.session else None,
            row.route,
            tuple(archives),
            self.error.get(row.key, "not finished" if became is None else self.left_on.get(row.key)),
            key_free={Status.CLOSED: True, Status.ARCHIVED: False}.get(became) if became is not None else None,
            effects=effects_of(row, self.store.era, archived=became is Status.ARCHIVED) if became in PUT_AWAY else (),
            left=row.left if became is Status.CLOSED else (),
        )


@dataclass(slots=True, kw_only=True)
class FileWork(Work):
    """A file store's share of a run: `planned` is the text that was backed up, `live` what was installed last.

    `cut`: there is nothing in `live` but what the plan has left there; `checked` is the stamp that the index had when
    it was found to be `live`, `seen` what it held else. `lent` says what other agents use of this one's files now.
    """

    store: FileStore
    planned: Document[Session]
    live: Document[Any] | None = None
    lent: Callable[[], Mapping[str, Claims]] = dict
    cut: bool = False
    checked: Stamp | None = None
    seen: Seen | None = None

    def gone(self) -> list[str]:
        """Return which of the sessions are out of the store, as far as it can be read."""
        try:
            now = parse(read_index(self.store.index)[0], self.store.index, self.store.agent)
        except (CloserError, OSError):
            return []
        return [row.key for row in self.rows if row.key not in now.members]


def install(disk: Disk, work: FileWork, live: Document[Any], new: Document[Any], lock: locks.StoreLock) -> list[str]:
    """Install a store, and note whatever that displaces; return the keys that both sides changed."""

    def displaced(name: str) -> None:
        if name not in work.record.displaced:
            work.record = replace(work.record, displaced=(*work.record.displaced, name))
            work.note(work.record)

    def merged() -> None:
        if work.record.merged != len(work.record.displaced):
            work.record = replace(work.record, merged=len(work.record.displaced))
            work.note(work.record)

    assert work.record.backup is not None
    place = commit.Place(work.store.index, work.record.backup, displaced, merged, work.warnings.append)
    done = commit.install(disk, place, live, new, lock)
    work.live = done.live
    work.cut = live is work.planned and done.live is new
    return done.contested


def begin(run: Run, *stores: StoreRecord) -> None:
    """Begin the journal, unless it has been begun."""
    if run.record is not None and run.journal is not None:
        return
    boot, up = clocks.uptime()
    record = RunRecord(
        id=journal.new_id(history.now()),
        sequence=history.next_sequence(run.home.state),
        boot=boot,
        uptime=up,
        operation=run.wish.operation,
        tool=__version__,
        started_at=locks.iso_now(),
        state_dir=run.home.state,
        by={"uid": os.getuid(), "pid": os.getpid(), "host": os.uname().nodename},
        reason=run.options.reason,
        stores=stores,
    )
    begun = journal.Journal(run.disk, run.home.state, record.id)
    begun.check(record)
    run.record, run.journal = record, begun
    try:
        begun.begin(record)
    except BaseException:
        if begun.withdraw():
            run.record = run.journal = None
        raise


def note_first(run: Run, store: StoreRecord) -> None:
    """Write the journal before the first change of a store; where that fails, its backup is no use to anybody."""
    try:
        note(run, store)
    except BaseException:
        if store.backup is not None and not _names_backup(run, store):
            files.remove(run.disk, [os.path.join(os.path.dirname(store.path), store.backup)])
        raise


def _names_backup(run: Run, store: StoreRecord) -> bool:
    """Tell whether the record of the run names a store's backup, or may do so."""
    try:
        known = run.journal.read() if run.journal is not None else None
    except (OSError, Damaged):
        return True
    if known is None:
        return run.journal is not None
    return any((each.path, each.backup) == (store.path, store.backup) for each in known.stores)


def note(run: Run, store: StoreRecord) -> None:
    """Write the journal: before the first change of a store, and whenever a name in it changes."""
    if run.record is None or run.journal is None:
        begin(run, store)
        return
    record = with_store(run.record, store)
    if not _holds(run.record, store):
        run.journal.check(record)
    run.record = record
    run.journal.write(record)


def _holds(record: RunRecord, store: StoreRecord) -> bool:
    return any((known.path, known.agent) == (store.path, store.agent) for known in record.stores)


def prepare(run: Run, store: FileStore, rows: Sequence[PlannedRow], stamp: str) -> StoreRecord:
    """Back up the store and return the record of what is going to happen to it; nothing else is changed."""
    assert store.document is not None
    raw, name = store.document.raw, names.backup_name(os.path.basename(store.index), stamp)
    made = run.hashes.get(store.agent)
    whole = made if made is not None and made.raw is raw else Hash(raw)
    # The disk is busy with the backup while the processor hashes what is in it.
    entries = beside(lambda: _session_records(store, rows))
    backup = commit.publish_backup(run.disk, store.index, raw, name)
    try:
        sessions = entries()
    except BaseException:
        files.remove(run.disk, [os.path.join(store.place, backup)])
        raise
    return StoreRecord(
        agent=store.agent,
        era=store.era,
        path=store.index,
        transcripts=store.folder,
        backup=backup,
        size=len(raw),
        sha256=whole.hexdigest(),
        sessions=sessions,
    )


def _session_records(store: FileStore, rows: Sequence[PlannedRow]) -> tuple[SessionRecord, ...]:
    assert store.document is not None
    members, view = store.document.members, memoryview(store.document.raw)
    measure = Measure()
    return tuple(_session_record(store, row, members[row.key], view, measure) for row in rows)


def _session_record(
    store: FileStore, row: PlannedRow, member: Member[Session], raw: memoryview, measure: Measure
) -> SessionRecord:
    return SessionRecord(
        row.key,
        row.session.session_id if row.session else None,
        member.start,
        member.end - member.start,
        hashlib.sha256(raw[member.start : member.end]).hexdigest(),
        str(row.route),
        moves=tuple([measure.live(store.folder, move) for move in row.moves]) if row.moves else (),
        effects=effects_of(row, store.era) if row.attached else (),
    )


def settled(work: Work) -> StoreRecord:
    """Return the record with what became of each session and the archive names that are really there."""
    planned = {row.key for row in work.rows}
    measure = Measure()
    became = [
        work.outcome.get(session.key, Status.FAILED) if session.key in planned else session.status
        for session in work.record.sessions
    ]
    moves = [
        session.moves and _settled(work, session, measure if status is Status.CLOSED else None)
        for session, status in zip(work.record.sessions, became, strict=True)
    ]
    # As a rule everything went as it was planned, and there may be many.
    as_planned = {(session.status, status) for session, status in zip(work.record.sessions, became, strict=True)}
    if as_planned == {(PLANNED, Status.CLOSED)} and moves == [session.moves for session in work.record.sessions]:
        return replace(work.record, ended=str(Status.CLOSED))
    sessions = (
        ended(session, str(status), moved)
        for session, status, moved in zip(work.record.sessions, became, moves, strict=True)
    )
    return replace(work.record, sessions=tuple(sessions))


def _settled(work: Work, session: SessionRecord, measure: Measure | None) -> tuple[Move, ...]:
    there = work.archives.get(session.key, ())
    if measure and tuple(there) == tuple(move.target for move in session.moves):
        return tuple(measure.archived(work.store.folder, move) for move in session.moves)
    named = {names.archived_from(name): name for name in there}
    moves = [
        Move(move.source, named.get(move.source, move.target), move.size, move.mtime_ns, move.sha256)
        for move in session.moves
    ]
    return tuple(measure.archived(work.store.folder, move) for move in moves) if measure else tuple(moves)
