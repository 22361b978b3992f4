"""A file store's share of a run: its backup, its record, what was installed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from ...artifacts import measuring
from ...artifacts.measuring import Hash, Stamp, beside
from ...core import names
from ...core.budget import HashBudget
from ...core.claims import Claims
from ...core.durable import SESSIONS, Move
from ...core.errors import CloserError
from ...core.model import PlannedRow, Session
from ...core.status import Route, Status
from ...journal.record import SessionRecord, StoreRecord
from ...ports.context import silent
from ...ports.share import Share
from ...system import files
from ...system.clock import REAL, Clock
from ...system.disk import Disk
from . import commit
from .lock import StoreLock
from .members import Document
from .store import FileStore, Seen, parse, read_index

_NOTHING: Document[Session] = Document(b"", 0, 0, {})


class FileShare(Share):
    """A file store's share of a run: `planned` is the text that was backed up, `live` what was installed last.

    `cut`: there is nothing in `live` but what the plan has left there; `checked` is the stamp that the index had when
    it was found to be `live`, `seen` what it held else. `lent` says what other agents use of this one's files now,
    `watch` hears how many of its sessions have their files put away.
    """

    store: FileStore

    def __init__(
        self,
        *,
        store: FileStore,
        rows: list[PlannedRow],
        record: StoreRecord,
        note: Callable[[StoreRecord], None],
        hashes: HashBudget,
        whole: Callable[[StoreRecord], StoreRecord] = lambda record: record,
        clock: Clock = REAL,
        planned: Document[Session],
        lent: Callable[[], Mapping[str, Claims]] = dict,
        watch: Callable[[int, int], None] = silent,
    ) -> None:
        super().__init__(store=store, rows=rows, record=record, note=note, hashes=hashes, whole=whole, clock=clock)
        self.planned, self.lent, self.watch = planned, lent, watch
        self.live: Document[Any] | None = None
        self.cut = False
        self.checked: Stamp | None = None
        self.seen: Seen | None = None

    def forget(self) -> None:
        """Let go of the texts, which nobody needs once the store is changed: there may be many stores."""
        self.planned, self.live = _NOTHING, None
        self.store.forget()

    def gone(self) -> list[str]:
        """Return which of the sessions are out of the store, as far as it can be read."""
        try:
            now = parse(read_index(self.store.index)[0], self.store.index, self.store.agent)
        except (CloserError, OSError):
            return []
        return [row.key for row in self.rows if row.key not in now.members]


def install(disk: Disk, share: FileShare, live: Document[Any], new: Document[Any], lock: StoreLock) -> list[str]:
    """Install a store, and note whatever that displaces; return the keys that both sides changed."""

    def displaced(name: str) -> None:
        if name not in share.record.displaced:
            share.record = share.record.but(displaced=(*share.record.displaced, name))
            share.note(share.record)

    def merged() -> None:
        if share.record.merged != len(share.record.displaced):
            share.record = share.record.but(merged=len(share.record.displaced))
            share.note(share.record)

    assert share.record.backup is not None
    place = commit.Place(share.store.index, share.record.backup, displaced, merged, share.warnings.append)
    done = commit.install(disk, place, live, new, lock)
    share.live = done.live
    share.cut = live is share.planned and done.live is new
    return done.contested


def prepare(
    disk: Disk, store: FileStore, rows: Sequence[PlannedRow], stamp: str, *, made: Hash | None, hashes: HashBudget
) -> StoreRecord:
    """Back up the store and return the record of what is going to happen to it; nothing else is changed.

    `made`: the hash of what was read, if it is still that.
    """
    assert store.document is not None
    raw, name = store.document.raw, names.backup_name(os.path.basename(store.index), stamp)
    whole = made if made is not None and made.raw is raw else Hash(raw)
    # The disk is busy with the backup while the processor hashes what is in it; a small one is hashed at once.
    entries = (beside if len(raw) > measuring.PIECE else measuring.done)(lambda: _session_records(store, rows, hashes))
    backup = commit.publish_backup(disk, store.index, raw, name)
    try:
        sessions = entries()
    except BaseException:
        files.remove(disk, [os.path.join(store.place, backup)])
        raise
    return StoreRecord(
        agent=store.agent,
        era=store.era,
        path=store.index,
        roots={SESSIONS: store.folder},
        backup=backup,
        size=len(raw),
        sha256=whole.hexdigest(),
        sessions=sessions,
    )


def _session_records(store: FileStore, rows: Sequence[PlannedRow], hashes: HashBudget) -> tuple[SessionRecord, ...]:
    assert store.document is not None
    members, raw = store.document.members, memoryview(store.document.raw)
    made, routes = [], {route: str(route) for route in Route}
    with measuring.Folder(store.folder, hashes) as folder:
        for row in rows:
            member = members[row.key]
            start, end = member.start, member.end
            record = SessionRecord(
                row.key,
                member.row.session_id,
                start,
                end - start,
                hashlib.sha256(raw[start:end]).hexdigest(),
                routes[row.route],
                moves=tuple([folder.live(move) for move in row.moves]) if row.moves else (),
                effects=row.effects(store.traits) if row.attached else (),
            )
            made.append(record)
    return tuple(made)


def settled(share: FileShare) -> StoreRecord:
    """Return the record with what became of each session and the archive names that are really there."""
    if share.all_alike():
        return _all_closed(share)
    planned, became = set(share.planned_keys()), share.results.became
    made = []
    with measuring.Folder(share.store.folder, share.hashes) as folder:
        for session in share.record.sessions:
            status = became(session.key) or Status.FAILED if session.key in planned else session.status
            moves = session.moves and _settled(share, folder, session, is_closed=status is Status.CLOSED)
            made.append(session.but(status=str(status), moves=moves))
    return share.record.but(sessions=tuple(made))


def _all_closed(share: FileShare) -> StoreRecord:
    """Return the record of a store whose sessions were all closed as they were planned."""
    closed = str(Status.CLOSED)
    with measuring.Folder(share.store.folder, share.hashes) as folder:
        made = [
            replace(
                session,
                status=closed,
                moves=tuple([folder.archived(move) for move in session.moves]) if session.moves else (),
            )
            for session in share.record.sessions
        ]
    return share.record.but(sessions=tuple(made))


def _settled(
    share: FileShare, folder: measuring.Folder, session: SessionRecord, *, is_closed: bool
) -> tuple[Move, ...]:
    there = share.archives_of(session.key)
    moves: Sequence[Move] = session.moves
    if not is_closed or list(there) != [move.target for move in moves]:
        named = {names.archived_from(name): name for name in there}
        moves = [move.but(target=named.get(move.source, move.target)) for move in moves]
    return tuple(map(folder.archived, moves)) if is_closed else tuple(moves)
