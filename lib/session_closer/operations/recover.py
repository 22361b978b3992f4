"""Finish runs that were interrupted: roll forward what was committed, drop what was not."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..core.errors import CloserError
from ..core.status import PUT_AWAY, Life, Status
from ..journal import history
from ..journal.codec import scan
from ..journal.history import damaged, folders, named_records, open_runs, receipt_path
from ..journal.journal import Journal, bury_unborn
from ..journal.record import STOPPED, Damaged, Ended, RestartRecord, RunRecord, StoreRecord, with_store
from ..ports.store import Interrupted, StoreGone
from ..system import files, processes
from ..system.disk import Disk

if TYPE_CHECKING:
    from ..core.report import RestartResult
    from ..ports.gateway import Gateway
    from ..ports.runtime import Runtime
    from ..system.clock import Clock

_YOUNG_SECONDS = 60.0
_ENDED = "the process that was to close it was ended"


def recover(runtime: Runtime, agents: Sequence[str]) -> list[str]:
    """Finish every interrupted run, through the gateway of the current one; return a line for each.

    A run that cannot be finished is an error where it concerns these agents, else a warning. Where its record cannot
    be read, it may concern anybody.
    """
    said = []
    bury_unborn(runtime.context.disk, runtime.root)
    # A run that left its caller's session to a process waits for what that one has begun.
    for run_id in sorted(open_runs(runtime.root), key=partial(_left_something, runtime.root)):
        said += _recovered(runtime, run_id, agents)
    return said


def _left_something(root: str, run_id: str) -> bool:
    try:
        found = Journal(Disk(), root, run_id).read()
    except Damaged:
        return False
    return found is not None and any(row.status == Status.DEFERRED for row in found.results)


def _recovered(runtime: Runtime, run_id: str, agents: Sequence[str]) -> list[str]:
    """Finish one run unless somebody is at it; return what is to be said of it."""
    journal = Journal(runtime.context.disk, runtime.root, run_id)
    concerned = True
    try:
        if not journal.take():
            return []
        concerned = _concerns(journal, agents)
        return _finish(runtime, journal, run_id)
    except Damaged as problem:
        if concerned and _meant(problem, agents) and not isinstance(problem, StoreGone):
            raise damaged(runtime.root, run_id, problem) from None
        place = os.path.join(folders(runtime.root)[1], run_id)
        return [f"the record of run {run_id} is damaged ({problem}): left as it is in {place}"]
    except (CloserError, OSError) as problem:
        if concerned:
            raise
        return [f"run {run_id} was interrupted and cannot be finished now: {problem}"]
    finally:
        journal.release()


def pending(runtime: Runtime, agent: str) -> set[str]:
    """Return the interrupted runs that concern this agent and that nobody is finishing, those that are damaged too."""
    found = set()
    for run_id in open_runs(runtime.root):
        journal = Journal(Disk(), runtime.root, run_id)
        try:
            if journal.take() and _concerns(journal, [agent]):
                found.add(run_id)
        except Damaged as problem:
            if _meant(problem, [agent]):
                found.add(run_id)
        finally:
            journal.release()
    return found


def _meant(problem: Damaged, agents: Sequence[str]) -> bool:
    """Tell whether a damaged record speaks of one of these agents, as far as that can be told."""
    return bool(agents) and (problem.agents is None or not problem.agents.isdisjoint(agents))


def _concerns(journal: Journal, agents: Sequence[str]) -> bool:
    found = journal.read()
    return found is None or any(store.agent in agents for store in found.stores)


def _finish(runtime: Runtime, journal: Journal, run_id: str) -> list[str]:
    """Turn the record into the receipt, once the stores and what goes with them are in line with it."""
    found = journal.read()
    if found is None or files.exists(receipt_path(runtime.root, run_id)):
        journal.drop()
        return []
    if found.state == "done":
        journal.finish(found)
        return []
    for store in found.stores:
        runtime.check(store)
    found = _settled(runtime, journal, found)
    for store in found.stores:
        runtime.rebind(store)
    found = found.but(restart=_restarted(runtime, found))
    for store in found.stores:
        runtime.reattach(store)
    results = tuple(_not_deferred_any_more(runtime.root, run_id, row) for row in found.results)
    found = found.but(results=results, state="done", finished_at=runtime.context.clock.iso_now())
    journal.finish(found)
    return [f"run {run_id} was interrupted and is finished now: {_counts(found)}"]


def _settled(runtime: Runtime, journal: Journal, found: RunRecord) -> RunRecord:
    """Return the record with what became of each session and file, once its stores are in line with it."""
    run = Interrupted(
        id=found.id,
        started_at=found.started_at,
        young=_is_young(journal, runtime.context.clock),
        # A cleanup frees for some minutes, and there may be ten thousands: the next ones go on with it.
        frees=found.operation != "cleanup-sessions",
        note=lambda store: journal.write(with_store(found, store)),
    )
    for store in found.stores:
        found = with_store(found, runtime.recorded(store).finish(store, run))
    # A row, of any of the stores, may use what was put away: it may have come, or come back, after that.
    for store in found.stores:
        found = with_store(found, runtime.recorded(store).spare(store))
    return found


def _is_young(journal: Journal, clock: Clock) -> bool:
    """Tell whether a run was alive a moment ago: it writes its record ahead of each call."""
    return clock.seconds() - journal.written_at() < _YOUNG_SECONDS


def _restarted(runtime: Runtime, found: RunRecord) -> RestartRecord:
    """Restart, or start, the gateway where the run still owes it that."""
    owed = found.restart
    if owed.done or not (owed.needed or any(map(_edited, found.stores))):
        return owed
    return _started(runtime.gateway) if owed.result == STOPPED else _restarted_now(runtime)


def _edited(store: StoreRecord) -> bool:
    """Tell whether the store was changed below its gateway."""
    return any(one.route == "files" and one.status in ("closed", "restored") for one in store.sessions)


def _started(gateway: Gateway) -> RestartRecord:
    """Start the gateway that an interrupted restore has stopped."""
    if gateway.life is Life.UP:
        return RestartRecord(needed=True, done=True, result="started", detail="it runs again")
    return _as_recorded(gateway.start())


def _restarted_now(runtime: Runtime) -> RestartRecord:
    """Restart the gateway for an interrupted run that edited a store below it."""
    gateway, context = runtime.gateway, runtime.context
    warn = context.console.warn
    if gateway.life is not Life.UP:
        return RestartRecord(needed=gateway.life is not Life.DOWN, result="nothing-to-restart")
    if context.options.restart == "never":
        warn(f"an interrupted run owes the gateway a restart (--restart never); by hand: {gateway.by_hand}")
        return RestartRecord(needed=True, result="left-out")
    if processes.is_below(gateway.pid):
        warn(f"an interrupted run owes the gateway a restart, which would end this command; later: {gateway.by_hand}")
        return RestartRecord(needed=True, result="left-out")
    result = gateway.restart()
    gateway.leave()
    if result.ok:
        gateway.meet_again()
    else:
        warn(f"the gateway was not restarted: {result.detail}")
    return _as_recorded(result)


def _as_recorded(result: RestartResult) -> RestartRecord:
    return RestartRecord(True, bool(result.ok), result.result, result.detail)


def _counts(last: RunRecord) -> str:
    """Return how many sessions and files ended how."""
    status = Counter(session.status for store in last.stores for session in store.sessions)
    closed = sum(status[put_away] for put_away in PUT_AWAY)
    restores = any(store.restores for store in last.stores)
    done = f"{status['restored']} restored" if restores else f"{closed} closed"
    files_of_none = sum(len(store.orphans) for store in last.stores)
    more = f", {files_of_none} files" if files_of_none else ""
    again = f", {status['came_back']} in use again" if status["came_back"] else ""
    lost = sum(row.error == _ENDED for row in last.results)
    own = f", {lost} that waited for the end of a turn not closed" if lost else ""
    return f"{done}{more}, {status['dropped']} left as they were{again}{own}"


def _not_deferred_any_more(root: str, run_id: str, row: Ended) -> Ended:
    """Return how the session ended that was left to a process: closed if a later run has a receipt of it."""
    if row.status != Status.DEFERRED:
        return row
    order = [begun.run for begun in history.beginnings(root)]
    begun_later = order[order.index(run_id) + 1 :]
    for later, _, raw in named_records(root):
        status = _put_away_by(raw, row) if later in begun_later else None
        if status is not None:
            path = receipt_path(root, later)
            return row.but(ok=True, status=status, error=None, late=True, receipt=path)
    return row.but(ok=False, status=str(Status.FAILED), error=_ENDED)


def _put_away_by(raw: bytes, row: Ended) -> str | None:
    """Return how the record of a run says that it put a session away, None where it does not."""
    wanted = (row.agent, row.key, row.session_id)
    with contextlib.suppress(Damaged):
        for store in scan(raw)[1]:
            for session in store.sessions:
                if (store.agent, session.key, session.session_id) == wanted and session.status in PUT_AWAY:
                    return session.status
    return None
