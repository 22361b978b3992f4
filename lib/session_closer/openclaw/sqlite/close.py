"""Ask the gateway of a SQLite store to archive and to delete; tell by the rows what became of each session."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Sequence

from ...artifacts import measuring
from ...core import escape, names
from ...core.durable import Move
from ...core.model import PlannedRow
from ...core.status import Status
from ...journal.record import Kept, SessionRecord, StoreRecord
from ...ports.share import FINISHES, Share
from ..gateway import client as sessions
from ..gateway.connection import Gateway
from ..gateway.link import CallRefused, LinkLost, LinkRefused
from .store import Row, SqliteStore, archives_of

# So that a run which frees for some minutes does not first read what thousands of sessions have.
_KEPT_AT_ONCE = 100
# Keeps what goes with sessions (key, session id); None where nothing does.
Keep = Callable[[Sequence[tuple[str, str | None]]], Kept | None]
_IN_USE = "in use again: it was used while it was being closed"


def archive(share: Share, store: SqliteStore, gateway: Gateway, watch: Callable[[int, int], None]) -> list[PlannedRow]:
    """Archive the sessions, at once for every list; return the rows that are archived now and unused since planned.

    `watch` hears how many were asked for, of how many. Raises LinkLost or LinkRefused.
    """
    pending = [row for row in share.rows if row.session is not None and not row.session.archived]
    asked = 0
    for some in sessions.rounds(gateway, [(row.key, _session_id(row)) for row in pending]):
        watch(asked, len(pending))
        asked += len(some)
        try:
            refused = sessions.archive(gateway, some)
        except CallRefused as problem:
            refused = {key: problem for key, _ in some}
        for key, why in refused.items():
            share.results.doubted([key], f"the gateway refused: {why}")
    watch(asked, len(pending))
    return _still_idle(share, store, gateway)


def _still_idle(share: Share, store: SqliteStore, gateway: Gateway) -> list[PlannedRow]:
    now = store.rows([row.key for row in share.rows])
    planned = {session.key: session for session in share.record.sessions}
    idle, back = [], []
    for row in share.rows:
        found, before = now.get(row.key), planned[row.key]
        if found is None or found.session_id != before.session_id or found.archived_at is None:
            continue
        if before.archived_before and row.session is not None and found.archived_at != row.session.archived_at:
            continue  # restored and archived by somebody else since
        if not row.was_running and _was_used(row, found, before):
            back.append(row)
        else:
            idle.append(row)
    for row in back:
        share.results.came_back(row.key, _IN_USE)
    # What is noted here tells the next run, if this one ends, whose archive it is and which of them to take back.
    share.record = share.record.but(
        sessions=tuple(
            session.but(
                archived_at=now[session.key].archived_at if session.key in now else None,
                status=str(share.results.became(session.key) or session.status),
            )
            for session in share.record.sessions
        ),
    )
    share.note(share.record)
    _take_back(share, store, gateway, [row for row in back if row.session is not None and not row.session.archived])
    return idle


def _was_used(row: PlannedRow, now: Row, before: SessionRecord) -> bool:
    """Tell whether somebody spoke in a session since it was planned, or a run of it was ended by archiving it."""
    assert row.session is not None
    return now.events != before.events or (now.status == "killed" and row.session.status != "killed")


def _take_back(share: Share, store: SqliteStore, gateway: Gateway, rows: Sequence[PlannedRow]) -> None:
    if not rows:
        return
    for pinned in (False, True):
        again_shown = [row for row in rows if row.session is not None and row.session.pinned is pinned]
        for some in sessions.rounds(gateway, [(row.key, _session_id(row)) for row in again_shown]):
            with contextlib.suppress(CallRefused):  # the rows tell
                sessions.show(gateway, some, pinned=pinned)
    now = store.rows([row.key for row in rows])
    for key, row in now.items():
        if row.archived_at is not None:
            hidden = "the gateway does not take it out of the archive again: it is hidden"
            share.results.came_back(key, f"{_IN_USE}; {hidden}")
            share.warnings.append(f"{escape.plain(key)}: {hidden}")


def delete(
    share: Share,
    gateway: Gateway,
    rows: Sequence[PlannedRow],
    progress: Callable[[int, int], None],
    *,
    keep: Keep,
    until: float = math.inf,
) -> None:
    """Delete archived sessions, one by one; OpenClaw serves no two at once. Raises LinkLost or LinkRefused.

    `keep`: what goes with some sessions, kept ahead of them. `until`, in seconds of the monotonic clock: what is not
    reached by then stays archived.
    """
    for at, row in enumerate(rows):
        if at % _KEPT_AT_ONCE == 0 and share.clock.monotonic() < until:
            _keep(share, keep, [(one.key, _session_id(one)) for one in rows[at : at + _KEPT_AT_ONCE]])
        if share.clock.monotonic() >= until:
            share.results.put_off.update(later.key for later in rows[at:])
            break
        progress(at, len(rows))
        try:
            paths = deleted(gateway, row.key, _session_id(row))
        except CallRefused as problem:
            if not problem.changed:
                share.results.doubted([row.key], f"the gateway refused: {problem}")
        except (LinkLost, LinkRefused) as problem:
            share.results.doubted((later.key for later in rows[at:]), f"the gateway gave no answer: {problem}")
            raise
        else:
            share.note_archives(row.key, paths)
    progress(len(rows), len(rows))


def _keep(share: Share, keep: Keep, sessions: Sequence[tuple[str, str | None]]) -> None:
    kept = keep(sessions)
    if kept is not None:
        share.record = share.record.but(kept=(*share.record.kept, kept))
        share.note(share.record)


def deleted(gateway: Gateway, key: str, session_id: str) -> list[str]:
    return sessions.delete(gateway, key, delete_transcript=True, session_id=session_id, archived_only=True)


def _session_id(row: PlannedRow) -> str:
    assert row.session is not None
    return row.session.session_id or ""


def judge(share: Share, store: SqliteStore, before: frozenset[str], *, pending: bool = False) -> None:
    """Decide by the rows what became of each session: an answer proves nothing; `before`: archives from before it.

    `pending`: the run ends here, and the next one finishes what this one has archived.
    """
    now = store.rows([row.key for row in share.rows])
    silent = [_session_id(row) for row in share.rows if row.key not in now and not share.results.archives.get(row.key)]
    archives = archives_of(store, silent, lambda name: name not in before)
    planned = {session.key: session for session in share.record.sessions}
    for row in share.rows:
        found = now.get(row.key)
        if found is None:
            share.results.closed(row.key)
            known = share.results.archives
            known[row.key] = known.get(row.key) or archives[_session_id(row)]
            if not known[row.key]:
                what = "it never had one, or another session uses it too"
                share.warnings.append(f"{escape.plain(row.key)} left no archive of a transcript: {what}")
        elif found.session_id != _session_id(row):
            share.results.came_back(row.key, "in use again: the gateway wrote it anew")
        elif share.results.became(row.key) is Status.CAME_BACK:
            continue
        elif pending and found.archived_at is not None and planned[row.key].archived_at is None:
            planned[row.key] = _noted(share, row, found, planned[row.key])
        else:
            _still_there(share, row, found, pending=pending)
    share.record = share.record.but(sessions=tuple(planned[session.key] for session in share.record.sessions))


def _still_there(share: Share, row: PlannedRow, found: Row, *, pending: bool) -> None:
    """Say of a session whether it is hidden, and whether it is going to be deleted."""
    assert row.session is not None
    results = share.results
    why = results.why(row.key) or "not reached"
    if found.archived_at is not None and (not row.frees or row.key in results.put_off):
        results.archived(row.key)
    elif found.archived_at is None or row.session.archived:
        results.failed(row.key, f"not {'deleted' if row.session.archived else 'closed'}: {why}")
    else:
        rest = f"its deletion is pending: {FINISHES}" if pending else f"but not deleted: {why}"
        results.archived(row.key, f"hidden, {rest}", pending=pending)


def _noted(share: Share, row: PlannedRow, found: Row, before: SessionRecord) -> SessionRecord:
    """Return the record of what the last call of a run has archived: the next run deletes it, unless it was used."""
    assert row.session is not None
    if not row.was_running and not row.session.archived and _was_used(row, found, before):
        share.results.came_back(row.key, f"{_IN_USE}; it is hidden yet: {FINISHES}")
        return before
    _still_there(share, row, found, pending=True)
    return before.but(archived_at=found.archived_at)


def check_lists(share: Share, gateway: Gateway) -> None:
    """Look whether the gateway still lists what is gone. Raises LinkLost or LinkRefused."""
    gone = [row for row in share.rows if share.results.became(row.key) in (Status.CLOSED, Status.ARCHIVED)]
    if not gone:
        return
    try:
        listed = sessions.listed(gateway, share.store.agent)
    except CallRefused as problem:
        share.warnings.append(f"the gateway does not list its sessions ({problem}): only the database was looked at")
        return
    for row in gone:
        if row.key in listed and listed[row.key] == _session_id(row):
            share.results.failed(row.key, "gone from the database, but the gateway lists it still")
        elif row.key in listed:
            share.results.came_back(row.key, "closed, and in use again already")


def settled(share: Share) -> StoreRecord:
    """Return the record with what became of each session, its archives and what else the close has changed."""
    archived = share.results.those(Status.ARCHIVED)
    rows = (row for row in share.rows if row.key in archived)
    effects = {row.key: row.effects(share.store.traits, archived=True) for row in rows}
    with measuring.Folder(share.store.folder, share.hashes) as folder:
        sessions = [
            session.but(
                status=str(share.results.became(session.key) or Status.FAILED),
                moves=moves(folder, share.results.archives.get(session.key, ()), session.moves),
                effects=effects.get(session.key, session.effects),
            )
            for session in share.record.sessions
        ]
    return share.record.but(sessions=tuple(sessions))


def moves(folder: measuring.Folder, archives: Iterable[str], measured: Sequence[Move]) -> tuple[Move, ...]:
    # What was measured when its store was done is not read again at the end of the run.
    known, moves = {move.target: move for move in measured}, []
    for name in archives:
        live = names.archived_from(name)
        if live is not None and names.owners(live):
            moves.append(folder.archived(known.get(name, Move(live, name))))
    return tuple(moves)
