"""Take the planned entries out of one store, by gateway or by file, then archive their transcripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ...artifacts.measuring import holds
from ...core.model import Life, PlannedRow, Route, Session, Status
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
    disk: Disk, work: FileShare, gateway: Gateway, progress: Callable[[int, int], None], *, fall_back: bool
) -> str:
    """Have the gateway delete the rows of its route; rows it cannot take go to the files route if that is allowed.

    Return why it stopped answering in the middle, else "".
    """
    lost = ""
    pending = [row for row in work.rows if row.route is Route.GATEWAY]
    for at, row in enumerate(pending):
        progress(at, len(pending))
        if not row.was_running and _began_meanwhile(work, row):
            work.outcome[row.key] = Status.REFUSED
            work.error[row.key] = "a run began in this moment: wait and repeat"
            continue
        try:
            archived = delete(gateway, row.key, delete_transcript=row.delete_transcript)
        except CallRefused as problem:
            work.error[row.key] = f"the gateway refused: {problem}"
        except LinkLost as problem:
            # A gateway that is silent would take its time for each of the others, too.
            lost = str(problem)
            work.error.update(dict.fromkeys((r.key for r in pending[at:]), f"the gateway gave no answer: {lost}"))
            break
        except LinkRefused as problem:
            _give_up(work, pending[at:], str(problem), fall_back=fall_back)
            pending = pending[:at]
            break
        else:
            work.note_archives(row.key, archived)
    if not pending:
        return lost
    progress(len(pending), len(pending))
    _look_again(work, pending)
    closed = [row for row in pending if work.outcome.get(row.key) is Status.CLOSED]
    archive(disk, work, closed)
    archive_late_files(disk, work, [row for row in closed if row.was_running])
    look_again(disk, work)
    return lost


def to_files(work: FileShare) -> None:
    """Leave to the files route what a gateway that has gone did not close."""
    left = {row.key for row in work.rows if row.route is Route.GATEWAY and work.outcome.get(row.key) is None}
    work.error = {key: why for key, why in work.error.items() if key not in left}
    _reroute(work, left)


def _reroute(work: FileShare, keys: set[str]) -> None:
    """Take the files route for these, noted first: who edits a store below a gateway owes it a restart."""
    work.rows = [row._replace(route=Route.FILES) if row.key in keys else row for row in work.rows]
    rerouted = {row.key: row.effects(work.store.traits) for row in work.rows if row.attached}
    sessions = (
        session.but(route=str(Route.FILES), effects=rerouted.get(session.key, ())) if session.key in keys else session
        for session in work.record.sessions
    )
    work.record = work.record.but(sessions=tuple(sessions))
    work.note(work.record)


def _began_meanwhile(work: FileShare, row: PlannedRow) -> bool:
    assert row.session is not None
    live = [move.source for move in row.moves] or [f"{row.session.session_id}.jsonl"]
    return any(lockfile.run_in_flight(os.path.join(work.store.folder, name + ".lock")) for name in live)


def _give_up(work: FileShare, rows: Sequence[PlannedRow], reason: str, *, fall_back: bool) -> None:
    if fall_back:
        work.warnings.append(f"the gateway does not let us delete sessions, so the file was edited: {reason}")
        _reroute(work, {row.key for row in rows})
        return
    for row in rows:
        work.error[row.key] = f"the gateway does not let us delete sessions: {reason}"


def _look_again(work: FileShare, rows: Sequence[PlannedRow]) -> None:
    """Decide by the store itself what became of each key: `ok: true` proves nothing."""
    store = work.store
    now = parse(read_index(store.index)[0], store.index, store.agent)
    for row in rows:
        left = now.value_bytes(row.key)
        if work.outcome.get(row.key) is Status.REFUSED:
            continue
        if left is None:
            work.outcome[row.key] = Status.CLOSED
            work.error.pop(row.key, None)
        elif document.same_value(left, work.planned.value_bytes(row.key)):
            work.error.setdefault(row.key, "the gateway said ok, but the entry is still there")
        elif row.key not in work.error:
            work.outcome[row.key] = Status.CAME_BACK
            work.error[row.key] = "in use again: the gateway wrote it anew"


def through_files(disk: Disk, work: FileShare, life: Life) -> None:
    """Take the rows of the files route out of `sessions.json`, then archive their files."""
    rows = [row for row in work.rows if row.route is Route.FILES]
    if not rows:
        return
    store = work.store
    with store_lock(disk, store.index, clock=work.clock) as lock:
        current = work.planned
        if not holds(store.index, current.raw):
            current = parse(read_index(store.index)[0], store.index, store.agent)
        _commit(disk, work, rows, current, lock)
        work.edited = True
        _verify(disk, work, rows, lock, settle=SETTLE_SECONDS if life is not Life.DOWN else 0.0)
        archive(disk, work, [row for row in rows if work.outcome.get(row.key) is Status.CLOSED])
        look_again(disk, work)


def _commit(
    disk: Disk, work: FileShare, rows: Sequence[PlannedRow], current: Document[Session], lock: StoreLock
) -> None:
    """Take the rows' entries out, unless somebody has changed them since they were planned."""
    going = []
    for row in rows:
        left = current.value_bytes(row.key)
        if left is None:
            work.outcome[row.key] = Status.CLOSED
        elif current is work.planned or document.same_value(left, work.planned.value_bytes(row.key)):
            going.append(row.key)
        else:
            _came_back(work, row.key)
    if going:
        contested = _install(disk, work, current, going, lock)
        work.outcome.update(dict.fromkeys(going, Status.CLOSED))
        for key in contested:
            if key in work.outcome:
                _came_back(work, key)


def _came_back(work: FileShare, key: str) -> None:
    work.outcome[key] = Status.CAME_BACK
    work.error[key] = "in use again: it was written anew while it was being closed"


def _install(disk: Disk, work: FileShare, live: Document[Any], going: Sequence[str], lock: StoreLock) -> list[str]:
    """Install the store without these keys; return those that somebody changed in the same moment."""
    return install(disk, work, live, document.without(live, set(going)), lock)


def _now(work: FileShare) -> Document[Any]:
    """Return the store as it is now; the bytes that were installed need no second scan."""
    if work.live is not None and holds(work.store.index, work.live.raw):
        return work.live
    return parse(read_index(work.store.index)[0], work.store.index, work.store.agent)


def _verify(
    disk: Disk,
    work: FileShare,
    rows: Sequence[PlannedRow],
    lock: StoreLock,
    *,
    settle: float,
) -> None:
    """Look whether a stale image was written back, and take it out again; a changed entry is in use and stays."""
    for _ in range(ATTEMPTS):
        if settle:
            work.clock.sleep(settle)
        now = _now(work)
        stale = []
        for row in rows:
            left = now.value_bytes(row.key)
            if left is None or work.outcome.get(row.key) is not Status.CLOSED:
                continue
            if document.same_value(left, work.planned.value_bytes(row.key)):
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
