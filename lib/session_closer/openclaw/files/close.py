"""Take the planned entries out of one store, by gateway or by file, then archive their transcripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ...artifacts.measuring import holds
from ...core.model import PlannedRow, Session
from ...core.status import Life, Route, Status
from ...system.disk import Disk
from .. import lockfile
from ..gateway.client import delete
from ..gateway.connection import Gateway
from ..gateway.link import CallRefused, LinkLost, LinkRefused
from . import document
from .archive import archive, archive_late_files, look_again
from .lock import StoreLock, store_lock
from .members import Document
from .share import FileShare, install
from .store import parse, read_index

ATTEMPTS = 20
# A gateway without locks that read the store before the swap writes its stale image back within this time.
SETTLE_SECONDS = 1.0


def through_gateway(
    disk: Disk, share: FileShare, gateway: Gateway, progress: Callable[[int, int], None], *, fall_back: bool
) -> str:
    """Have the gateway delete the rows of its route; rows it cannot take go to the files route if that is allowed.

    Return why it stopped answering in the middle, else "".
    """
    lost = ""
    pending = [row for row in share.rows if row.route is Route.GATEWAY]
    for at, row in enumerate(pending):
        progress(at, len(pending))
        if not row.was_running and _began_meanwhile(share, row):
            share.results.refused(row.key, "a run began in this moment: wait and repeat")
            continue
        try:
            archived = delete(gateway, row.key, delete_transcript=row.delete_transcript)
        except CallRefused as problem:
            share.results.doubted([row.key], f"the gateway refused: {problem}")
        except LinkLost as problem:
            # A gateway that is silent would take its time for each of the others, too.
            lost = str(problem)
            share.results.doubted((later.key for later in pending[at:]), f"the gateway gave no answer: {lost}")
            break
        except LinkRefused as problem:
            _give_up(share, pending[at:], str(problem), fall_back=fall_back)
            pending = pending[:at]
            break
        else:
            share.note_archives(row.key, archived)
    if not pending:
        return lost
    progress(len(pending), len(pending))
    _look_again(share, pending)
    closed = [row for row in pending if share.results.became(row.key) is Status.CLOSED]
    archive(disk, share, closed)
    archive_late_files(disk, share, [row for row in closed if row.was_running])
    look_again(disk, share)
    return lost


def to_files(share: FileShare) -> None:
    """Leave to the files route what a gateway that has gone did not close."""
    left = {row.key for row in share.rows if row.route is Route.GATEWAY and share.results.became(row.key) is None}
    share.results.trusted(left)
    _reroute(share, left)


def _reroute(share: FileShare, keys: set[str]) -> None:
    """Take the files route for these, noted first: who edits a store below a gateway owes it a restart."""
    share.rows = [row.but(route=Route.FILES) if row.key in keys else row for row in share.rows]
    rerouted = {row.key: row.effects(share.store.traits) for row in share.rows if row.attached}
    sessions = (
        session.but(route=str(Route.FILES), effects=rerouted.get(session.key, ())) if session.key in keys else session
        for session in share.record.sessions
    )
    share.record = share.record.but(sessions=tuple(sessions))
    share.note(share.record)


def _began_meanwhile(share: FileShare, row: PlannedRow) -> bool:
    assert row.session is not None
    live = [move.source for move in row.moves] or [f"{row.session.session_id}.jsonl"]
    return any(lockfile.run_in_flight(os.path.join(share.store.folder, name + ".lock")) for name in live)


def _give_up(share: FileShare, rows: Sequence[PlannedRow], reason: str, *, fall_back: bool) -> None:
    if fall_back:
        share.warnings.append(f"the gateway does not let us delete sessions, so the file was edited: {reason}")
        _reroute(share, {row.key for row in rows})
        return
    share.results.doubted((row.key for row in rows), f"the gateway does not let us delete sessions: {reason}")


def _look_again(share: FileShare, rows: Sequence[PlannedRow]) -> None:
    """Decide by the store itself what became of each key: `ok: true` proves nothing."""
    store = share.store
    now = parse(read_index(store.index)[0], store.index, store.agent)
    for row in rows:
        left = now.value_bytes(row.key)
        if share.results.became(row.key) is Status.REFUSED:
            continue
        if left is None:
            share.results.closed(row.key)
        elif document.same_value(left, share.planned.value_bytes(row.key)):
            why = share.results.why(row.key) or "the gateway said ok, but the entry is still there"
            share.results.doubted([row.key], why)
        elif share.results.why(row.key) is None:
            share.results.came_back(row.key, "in use again: the gateway wrote it anew")


def through_files(disk: Disk, share: FileShare, life: Life) -> None:
    """Take the rows of the files route out of `sessions.json`, then archive their files."""
    rows = [row for row in share.rows if row.route is Route.FILES]
    if not rows:
        return
    store = share.store
    with store_lock(disk, store.index, clock=share.clock, there=store.locks) as lock:
        current = share.planned
        if not holds(store.index, current.raw):
            current = parse(read_index(store.index)[0], store.index, store.agent)
        _commit(disk, share, rows, current, lock)
        share.edited = True
        _verify(disk, share, rows, lock, settle=SETTLE_SECONDS if life is not Life.DOWN else 0.0)
        gone = share.results.those(Status.CLOSED)
        archive(disk, share, [row for row in rows if row.key in gone])
        look_again(disk, share)


def _commit(
    disk: Disk, share: FileShare, rows: Sequence[PlannedRow], current: Document[Session], lock: StoreLock
) -> None:
    """Take the rows' entries out, unless somebody has changed them since they were planned."""
    planned = share.planned
    there = [row.key for row in rows if row.key in current.members]
    if len(there) < len(rows):
        share.results.closed(*(row.key for row in rows if row.key not in current.members))
    going = there if current is planned else [key for key in there if _is_as_planned(share, current, key)]
    if going:
        contested = _install(disk, share, current, going, lock)
        share.results.closed(*going)
        for key in contested:
            if share.results.became(key) is not None:
                _came_back(share, key)


def _is_as_planned(share: FileShare, current: Document[Session], key: str) -> bool:
    """Tell whether an entry is what it was; one that has changed is in use."""
    if document.same_value(current.value_bytes(key), share.planned.value_bytes(key)):
        return True
    _came_back(share, key)
    return False


def _came_back(share: FileShare, key: str) -> None:
    share.results.came_back(key, "in use again: it was written anew while it was being closed")


def _install(disk: Disk, share: FileShare, live: Document[Any], going: Sequence[str], lock: StoreLock) -> list[str]:
    """Install the store without these keys; return those that somebody changed in the same moment."""
    return install(disk, share, live, document.without(live, set(going)), lock)


def _now(share: FileShare) -> Document[Any]:
    """Return the store as it is now; the bytes that were installed need no second scan."""
    if share.live is not None and holds(share.store.index, share.live.raw):
        return share.live
    return parse(read_index(share.store.index)[0], share.store.index, share.store.agent)


def _stale(share: FileShare, rows: Sequence[PlannedRow], now: Document[Any]) -> list[str]:
    """Return the keys that are there again as they were planned; one that has changed is in use."""
    stale = []
    for row in rows:
        if row.key not in now.members or share.results.became(row.key) is not Status.CLOSED:
            continue
        if document.same_value(now.value_bytes(row.key), share.planned.value_bytes(row.key)):
            stale.append(row.key)
        else:
            _came_back(share, row.key)
    return stale


def _verify(
    disk: Disk,
    share: FileShare,
    rows: Sequence[PlannedRow],
    lock: StoreLock,
    *,
    settle: float,
) -> None:
    """Look whether a stale image was written back, and take it out again; a changed entry is in use and stays."""
    for _ in range(ATTEMPTS):
        if settle:
            share.clock.sleep(settle)
        now = _now(share)
        stale = _stale(share, rows, now)
        if not stale:
            return
        for key in _install(disk, share, now, stale, lock):
            if share.results.became(key) is not None:
                _came_back(share, key)
    for row in rows:
        if row.key in stale:
            why = "the running gateway writes it back each time it is taken out: use --via gateway"
            share.results.came_back(row.key, why)
