"""Rename the files of closed sessions to their archive names, and back where a session came back."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from ...artifacts import engine, measuring
from ...artifacts.engine import Became
from ...artifacts.measuring import holds
from ...artifacts.measuring import stamp as stamp_of
from ...core import fileplan, names, transcripts
from ...core.budget import HashBudget
from ...core.claims import Claims, user_of
from ...core.durable import Move
from ...core.model import PlannedRow, Session, Snapshot
from ...core.status import Route, Status
from ...core.transcripts import is_locked
from ...core.tuples import NamedTuple
from ...journal.record import SessionRecord, StoreRecord
from ...ports.context import silent
from ...system import files, flock
from ...system.disk import Disk
from ..home import Home
from .share import FileShare
from .store import FileStore, see

# An aborted run needs about 10 ms to end after its session was deleted; measured on 2026.5.7.
ABORT_SECONDS = 5.0
_PAUSE = 0.02


def archive(disk: Disk, share: FileShare, rows: Sequence[PlannedRow]) -> None:
    """Rename the files of closed sessions to their archive names; nothing is overwritten (I5).

    What is in use by now keeps its name, so that whoever writes to it does not begin it anew.
    """
    in_use = {source for _, source, _, _ in borrowed(share)}
    root = engine.Root(
        disk,
        share.store.folder,
        is_used=in_use.__contains__,
        other_name=partial(_other_name, share),
        latest=engine.latest(share.store.listed),
    )
    # Ten thousand words to nobody are felt.
    is_watched = share.watch is not silent
    archives, back = share.results.archives, share.results.those(Status.CAME_BACK)
    with root:
        for at, row in enumerate(rows):
            # Of a month of cron runs hardly one has a file.
            if not row.moves or row.key in back:
                continue
            if is_watched:
                share.watch(at, len(rows))
            names_of_row = archives.setdefault(row.key, [])
            for move in row.moves:
                became, named = root.put_away(move)
                if became is Became.AWAY or (became is Became.ALREADY and not _is_told(move, names_of_row)):
                    names_of_row.append(named.target)
    share.watch(len(rows), len(rows))
    if root.stuck:
        _leave(share, root.stuck)


def _leave(share: FileShare, stuck: Mapping[str, str]) -> None:
    """Leave files where they are that nobody may rename, and out of the record: an undo has none of them."""
    share.warnings += [fileplan.stuck(name, why) for name, why in stuck.items()]
    sessions = share.record.sessions
    stay = {(session.key, move.source) for session in sessions for move in session.moves if move.source in stuck}
    share.record = share.record.but(sessions=tuple(without(session, stay) for session in sessions))
    paths: dict[str, list[str]] = defaultdict(list)
    for key, name in sorted(stay):
        paths[key].append(os.path.join(share.store.folder, name))
    share.rows = [row.but(left=(*row.left, *paths[row.key])) if row.key in paths else row for row in share.rows]


def _is_told(move: Move, archives: Sequence[str]) -> bool:
    """Tell whether a file's archive is known: else the answer was lost, or it was somebody else's call."""
    return move.source in map(names.archived_from, archives)


def _other_name(share: FileShare, move: Move) -> Move:
    stamp = names.free_stamp(share.clock.now(), share.store.listed())
    share.record, other = with_other_name(share.record, move, stamp)
    # Noted before it is used: what has the planned name is not ours.
    share.note(share.record)
    return other


def with_other_name(record: StoreRecord, move: Move, stamp: str) -> tuple[StoreRecord, Move]:
    """Return a record with another archive name for a file, and the move to it; no name may end with the stamp yet."""
    other = move.but(target=names.archive_name(move.source, stamp))
    sessions = tuple(
        session.but(moves=tuple(m.but(target=other.target) if m.source == move.source else m for m in session.moves))
        for session in record.sessions
    )
    return record.but(sessions=sessions), other


def archive_late_files(disk: Disk, share: FileShare, rows: Sequence[PlannedRow]) -> None:
    """Archive what an aborted run still wrote after `sessions.delete` had answered.

    The run's last write comes before its transcript lock goes (docs/measurements.md).
    """
    if not rows:
        return
    store = share.store
    # The lock outlives the name of its transcript, which is archived already.
    sessions_of_rows = [row.session for row in rows if row.session is not None]
    share.clock.until(lambda: not _any_locked(sessions_of_rows, store.read()), ABORT_SECONDS, _PAUSE)
    snapshot = store.read()
    claims = (Claims.of(snapshot.sessions.values()), *share.lent().values())
    stamp = names.free_stamp(share.clock.now(), snapshot.taken)
    late = []
    with measuring.Folder(store.folder, share.hashes) as folder:
        for row in rows:
            own = [name for name in _own_files(row, snapshot) if name in snapshot.files]
            left = [name for name in own if not any(each.cover(name) for each in claims)]
            planned = (Move(name, names.archive_name(name, stamp)) for name in left)
            late.append(row.but(moves=tuple(map(folder.live, planned))))
    found = {row.key: row.moves for row in late}
    sessions = tuple(
        session.but(moves=(*session.moves, *found.get(session.key, ()))) for session in share.record.sessions
    )
    if any(found.values()):
        share.record = share.record.but(sessions=sessions)
        share.note(share.record)
        archive(disk, share, late)


def _any_locked(sessions: Sequence[Session], snapshot: Snapshot) -> bool:
    return any(is_locked(session, snapshot) for session in sessions)


def _own_files(row: PlannedRow, snapshot: Snapshot) -> list[str]:
    assert row.session is not None
    return transcripts.of(row.session, snapshot)


class Borrowed(NamedTuple):
    """A file of a closed session that a session of an agent uses by now; `archive` is the name that it has, if any."""

    key: str
    source: str
    archive: str | None
    user: str


def borrowed(share: FileShare) -> list[Borrowed]:
    """Return the files of closed sessions that others use by now; nothing is read that has not changed."""
    claims = _claims(share) if share.has_sessions else {}
    if not claims:
        return []
    found = []
    for session in share.whole(share.record).sessions:
        there = {names.archived_from(name): name for name in share.archives_of(session.key)}
        became = share.results.became(session.key)
        # One that was not closed has all its files, but for those that were put away before it came back.
        planned = [move.source for move in session.moves] if became is Status.CLOSED else []
        if became in (Status.CLOSED, Status.CAME_BACK):
            found += [
                Borrowed(session.key, source, there.get(source), user)
                for source in dict.fromkeys((*planned, *filter(None, there)))
                if (user := user_of(source, claims)) is not None
            ]
    return found


def look_again(disk: Disk, share: FileShare) -> None:
    """Bring back what a session has taken into use (I6, I9), and leave it out of the record: an undo has none of it."""
    stay = set[tuple[str, str]]()
    with engine.Root(disk, share.store.folder) as root:
        for key, source, archive, user in borrowed(share):
            if archive is not None:
                conflict = root.bring_back([Move(source, archive)])
                if conflict is not None and conflict.became in (Became.TAKEN, Became.STUCK):
                    why = root.stuck.get(source)
                    said = fileplan.stuck(archive, why) if why else fileplan.begun_anew(source, archive)
                    share.warnings.append(said)
                    continue
                share.results.archives[key] = [name for name in share.archives_of(key) if name != archive]
            if files.exists(os.path.join(share.store.folder, source)):
                stay.add((key, source))
                if share.results.became(key) is Status.CLOSED:
                    share.warnings.append(fileplan.kept_for(source, None if user == share.store.agent else user))
    if stay:
        record = share.whole(share.record)
        share.record = record.but(sessions=tuple(without(one, stay) for one in record.sessions))


def look_again_at(disk: Disk, home: Home, record: StoreRecord) -> StoreRecord:
    """Return the record of a file store with what its gateway has written back, or away, since; raise CloserError."""
    store = FileStore(home, record.agent)
    with flock.folder(store.place):
        now = store.read().sessions
        if record.restores:
            away = {session.key for session in record.sessions if session.status == "restored"} - now.keys()
            return record.but(sessions=tuple(_ended(session, away, "failed") for session in record.sessions))
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
        share = FileShare(
            store=store,
            rows=[PlannedRow(s.key, record.agent, s.key, Status.WOULD_CLOSE, route=Route.FILES) for s in back],
            record=record,
            note=lambda _: None,
            hashes=HashBudget(),
            planned=store.document,
        )
        share.results.closed(*(session.key for session in back))
        share.results.archives.update({session.key: [move.target for move in session.moves] for session in back})
        look_again(disk, share)
        came_back = {session.key for session in back}
        return record.but(sessions=tuple(_ended(session, came_back, "came_back") for session in record.sessions))


def _ended(session: SessionRecord, keys: Collection[str], status: str) -> SessionRecord:
    return session.but(status=status) if session.key in keys else session


def without(session: SessionRecord, stay: set[tuple[str, str]]) -> SessionRecord:
    """Return what is recorded of a session without the renames of files that stay, named by key and live name."""
    moves = tuple(move for move in session.moves if (session.key, move.source) not in stay)
    return session if len(moves) == len(session.moves) else session.but(moves=moves)


def _claims(share: FileShare) -> dict[str, Claims]:
    """Return by agent what sessions claim in a store's folder now, as far as the plan has not seen to it.

    An entry that was written back after it was taken out is reported.
    """
    store = share.store
    has_files = share.has_rested or any(session.moves for session in share.record.sessions)
    found = {**share.lent()} if has_files or any(share.results.archives.values()) else {}
    stamp = stamp_of(store.index)
    if share.cut and stamp != share.checked and share.live is not None and holds(store.index, share.live.raw):
        share.checked = stamp
    if not share.cut or stamp != share.checked:
        share.seen = see(store.index, store.agent, share.seen)
        edited = [key for key in share.planned_keys(Route.FILES) if key in share.seen.sessions]
        for key in edited:
            if share.results.became(key) is Status.CLOSED:
                share.results.came_back(key, "it was written back after it had been taken out: close it again")
        found = {store.agent: Claims.of(share.seen.sessions.values()), **found}
    return {agent: claims for agent, claims in found.items() if claims.ids or claims.files}
