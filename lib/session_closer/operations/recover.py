"""Finish runs that were interrupted: roll forward what was committed, drop what was not."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence

from ..core.errors import CloserError
from ..core.model import PUT_AWAY, Status
from ..journal import history, journal, record  # fmt: skip
from ..journal.codec import decode
from ..journal.history import damaged, folders, named_records, open_runs, receipt_path
from ..journal.journal import Journal
from ..journal.record import Damaged, Ended, RestartRecord, RunRecord, StoreRecord
from ..openclaw.attached import attachments, bindings, jobs, kept, modes
from ..openclaw.files import recover as finishing
from ..openclaw.home import Home
from ..openclaw.installation import Installation
from ..openclaw.owner import check_folders
from ..openclaw.runtime import OpenClawRuntime
from ..openclaw.sqlite import close, importer, leftovers
from ..openclaw.sqlite.store import SqliteStore
from ..ports.runtime import Runtime
from ..system import files, flock
from ..system.clock import iso_now
from ..system.disk import Disk
from .restart import owed_restart

_YOUNG_SECONDS = 60.0
_ENDED = "the process that was to close it was ended"


def recover(runtime: Runtime, agents: list[str]) -> list[str]:
    """Finish every interrupted run, through the gateway of the current one; return a line for each.

    A run that cannot be finished is an error where it concerns these agents, else a warning. Where its record cannot
    be read, it may concern anybody.
    """
    assert isinstance(runtime, OpenClawRuntime)
    current = runtime.here
    home, disk = current.home, current.disk
    said = []
    journal.bury_unborn(disk, home.state)
    # A run that left its caller's session to a process waits for what that one has begun.
    for run in sorted(open_runs(home.state), key=lambda run: _left_something(home, run)):
        begun = Journal(disk, home.state, run)
        place = os.path.join(folders(home.state)[1], run)
        concerned = True
        try:
            if begun.take():
                concerned = _concerns(begun, agents)
                said += _finish(current, begun, run)
        except Damaged as problem:
            if concerned and _meant(problem, agents) and not isinstance(problem, finishing.StoreGone):
                raise damaged(home.state, run, problem) from None
            said.append(f"the record of run {run} is damaged ({problem}): left as it is in {place}")
        except (CloserError, OSError) as problem:
            if concerned:
                raise
            said.append(f"run {run} was interrupted and cannot be finished now: {problem}")
        finally:
            begun.release()
    return said


def _left_something(home: Home, run: str) -> bool:
    try:
        found = Journal(Disk(), home.state, run).read()
    except Damaged:
        return False
    return found is not None and any(row.status == Status.DEFERRED for row in found.results)


def pending(runtime: Runtime, agent: str) -> set[str]:
    """Return the interrupted runs that concern this agent and that nobody is finishing, those that are damaged too."""
    found = set()
    for run in open_runs(runtime.root):
        begun = Journal(Disk(), runtime.root, run)
        try:
            if begun.take() and _concerns(begun, [agent]):
                found.add(run)
        except Damaged as problem:
            if _meant(problem, [agent]):
                found.add(run)
        finally:
            begun.release()
    return found


def _meant(problem: Damaged, agents: Sequence[str]) -> bool:
    """Tell whether a damaged record speaks of one of these agents, as far as that can be told."""
    return bool(agents) and (problem.agents is None or not problem.agents.isdisjoint(agents))


def _concerns(begun: Journal, agents: list[str]) -> bool:
    found = begun.read()
    return found is None or any(store.agent in agents for store in found.stores)


def _finish(current: Installation, begun: Journal, run: str) -> list[str]:
    home, found = current.home, begun.read()
    if found is None or files.exists(receipt_path(home.state, run)):
        begun.drop()
        return []
    if found.state == "done":
        begun.finish(found)
        return []
    for store in found.stores:
        _check_place(home, store)
    found = _settle(current, begun, found)
    for store in found.stores:
        back = [session.key for session in store.sessions if session.status == "restored"]
        if store.era == "files" and store.restores and store.kept and back:
            bindings.finish(current, store.kept, back)
    owed = _restarted(current, found)
    for store in found.stores:
        current.warn(*jobs.finish(current, store))
        modes.finish(current, store)
    results = tuple(_not_deferred_any_more(home, run, row) for row in found.results)
    last: RunRecord = found.but(results=results, restart=owed, state="done", finished_at=iso_now())
    begun.finish(last)
    return [f"run {run} was interrupted and is finished now: {_counts(last)}"]


def _settle(current: Installation, begun: Journal, found: RunRecord) -> RunRecord:
    """Return the record with what became of each session and file, once its stores are in line with it."""
    for store in found.stores:
        found = record.with_store(found, _finisher(store)(current, store, begun, found))
    for store in found.stores:
        if store.sessions and store.orphans:
            found = record.with_store(found, finishing.settle_files(current, store, begun, found))
    # A row, of any of the stores, may use what was put away: it may have come, or come back, after that.
    for store in found.stores:
        found = record.with_store(found, jobs.settled(finishing.look_again(current, store)))
    return found


def _restarted(current: Installation, found: RunRecord) -> RestartRecord:
    """Restart, or start, the gateway where the run still owes it that."""
    owed = found.restart
    edited = any(
        session.route == "files" and session.status in ("closed", "restored")
        for store in found.stores
        for session in store.sessions
    )
    if owed.done or not (owed.needed or edited):
        return owed
    return importer.owed_start(current) if owed.result == importer.STOPPED else owed_restart(OpenClawRuntime(current))


def _counts(last: RunRecord) -> str:
    """Return how many sessions and files ended how."""
    status = Counter(session.status for store in last.stores for session in store.sessions)
    closed = sum(status[put_away] for put_away in PUT_AWAY)
    restores = any(store.restores for store in last.stores)
    done = f"{status['restored']} restored" if restores else f"{closed} closed"
    files_of_none = sum(len(store.orphans) for store in last.stores)
    more = f", {files_of_none} files" if files_of_none else ""
    lost = sum(row.error == _ENDED for row in last.results)
    own = f", {lost} that waited for the end of a turn not closed" if lost else ""
    return f"{done}{more}, {status['dropped']} left as they were{own}"


def _finisher(store: StoreRecord) -> Callable[[Installation, StoreRecord, Journal, RunRecord], StoreRecord]:
    if not store.sessions:
        return finishing.settle_files
    if store.era == "sqlite":
        return _ask
    return finishing.put_back if store.restores else finishing.roll_forward


def _not_deferred_any_more(home: Home, run: str, row: Ended) -> Ended:
    """Return how the session ended that was left to a process: closed if a later run has a receipt of it."""
    if row.status != Status.DEFERRED:
        return row
    order = [begun.run for begun in history.beginnings(home.state)]
    begun_later = order[order.index(run) + 1 :]
    for later, _, raw in named_records(home.state):
        with contextlib.suppress(Damaged):
            for store in decode(raw).stores if later in begun_later else ():
                for session in store.sessions:
                    same = (store.agent, session.key, session.session_id)
                    wanted = (row.agent, row.key, row.session_id)
                    if same == wanted and session.status in PUT_AWAY:
                        path = receipt_path(home.state, later)
                        return row.but(ok=True, status=session.status, error=None, late=True, receipt=path)
    return row.but(ok=False, status=str(Status.FAILED), error=_ENDED)


def _is_young(begun: Journal) -> bool:
    """Tell whether a run was alive a moment ago: it writes its record ahead of each call."""
    return time.time() - begun.written_at() < _YOUNG_SECONDS


def _check_place(home: Home, store: StoreRecord) -> None:
    """A record may only speak of stores that this state directory has (I8)."""
    paths = {"files": home.index(store.agent), "sqlite": home.database(store.agent)}
    if store.path != paths[store.era] or store.transcripts != home.folder(store.agent):
        raise Damaged(f"points to {store.path}")
    check_folders(home, [store.agent])


def _ask(current: Installation, store: StoreRecord, begun: Journal, run: RunRecord) -> StoreRecord:
    finishing.check_there(store)
    with flock.folder(os.path.dirname(store.path)):
        rows = SqliteStore(current.home, store.agent)
        if store.restores:
            ended = importer.finish(current.disk, current.home.index(store.agent), rows, store)
            back = [session.key for session in ended.sessions if session.status == "restored"]
            if store.size and back:
                leftovers.put_away(current, rows, ended, back, run.started_at)
            return ended
        began = history.moment(run.started_at)
        # A cleanup frees for some minutes, and there may be ten thousands: the next ones go on with it.
        frees = run.operation != "cleanup-sessions"

        def keep(sessions: Sequence[tuple[str, str | None]]) -> record.Kept | None:
            return kept.keep(current.disk, current.home, run.id, store.agent, attachments.words(sessions))

        return close.finish(rows, store, current.gateway, keep, began=began, young=_is_young(begun), frees=frees)
