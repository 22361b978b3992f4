"""Do what was decided: one store at a time under its lock, one journal for the run, one restart at the end."""

from __future__ import annotations

import time
from dataclasses import replace

from ..core import names
from ..core.errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded, Interrupted, PartlyDone, Refused
from ..core.model import Plan, PlannedRow, Route, Status
from ..core.report import Report, RestartResult
from ..journal import history
from ..journal.record import RestartRecord, with_store
from ..journal.stopped import once_more, storage
from ..ports.store import Store
from ..system import clock
from ..system.files import listed
from . import handoff, summary
from .decide import decide_again, nothing_to_restart
from .hold import locked
from .restart import not_begun, restart_once, with_what_it_lists
from .run import Run


def change(run: Run, plan: Plan) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    rows: list[PlannedRow] = [row for row in plan.rows if row.status not in (Status.WOULD_CLOSE, Status.WOULD_DEFER)]
    result = nothing_to_restart(run)
    if run.options.free_for is not None:
        run.free_by = time.monotonic() + run.options.free_for
    try:
        going = [(row.agent, row.key) for row in plan.closing]
        for agent in sorted({row.agent for row in plan.closing}):
            seen = {(row.agent, row.key) for row in rows}
            rows += [row for row in _change_store(run, agent, plan) if (row.agent, row.key) not in seen]
            # What is there now stays, so what it uses stays, too.
            going = [pair for pair in going if pair[0] != agent]
            run.runtime.going(going)
        if run.chores:
            from . import cleanup  # only a cleanup touches files without a session

            for agent, chores in sorted(run.chores.items()):
                cleanup.tidy(run, agent, chores)
        deferred = [row._replace(status=Status.DEFERRED) for row in plan.deferred]
        if deferred:
            run.transaction.begin()
        for work in run.transaction.shares:
            run.stores[work.store.agent].follow_up(work)
        _look_again(run)
        result = restart_once(run)
        _look_again(run)
        result = with_what_it_lists(run, result)
        return _end(run, replace(plan, rows=(*rows, *deferred)), result)
    except (Busy, ChangedUnderneath, GatewayNeeded, Refused) as problem:
        # Exit 3 promises that nothing was changed.
        error: CloserError = PartlyDone(problem) if isinstance(problem, Refused) and run.transaction.shares else problem
    except OSError as problem:
        error = storage(problem, run.runtime.root)
    except KeyboardInterrupt:
        error = Interrupted("interrupted", once_more(run.runtime.root))
    # The journal stays open: the next changing command finishes the run.
    for work in run.transaction.shares:
        work.give_up()
    reached = {(row.agent, row.key) for work in run.transaction.shares for row in work.rows}
    left = [row for row in (*plan.closing, *plan.deferred) if (row.agent, row.key) not in reached]
    rows += [row._replace(status=Status.FAILED, hint="not reached") for row in left]
    return summary.of(run, replace(plan, rows=tuple(rows)), result, error, unfinished=True)


def _change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    with locked(run.runtime, store):
        stamp = names.free_stamp(history.now(), [*listed(store.place), *listed(store.folder)])
        store.clean()
        plan, stamp = _decided(run, store, stamp, first)
        run.warn(*plan.warnings)
        gone: set[str] = set()
        if plan.closing:
            gone.update(store.take_out(plan.closing, run.transaction, stamp=stamp, until=run.free_by))
        known = {row for row in first.rows if row.status is not Status.WOULD_CLOSE}
        changed = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in known]
        return [*changed, *(row._replace(status=Status.ALREADY_CLOSED) for row in plan.closing if row.key in gone)]


def _decided(run: Run, store: Store, stamp: str, first: Plan) -> tuple[Plan, str]:
    """Return the plan that is carried out, and its stamp: the first one where all it was made of is still the same."""
    agent = store.agent
    if Route.FILES not in store.traits.writers:
        # A run may have begun since the first look, and archiving would end it.
        run.view = run.gateway.view(run.wish.agents(), by_command=True)
    snapshot = store.read()
    # Where the gateway is asked anew, and of an absent name a receipt may say something new, nothing is the same.
    may_hold = all(Route.FILES in each.traits.writers for each in run.stores.values()) and not any(
        row.status in (Status.NOT_FOUND, Status.ALREADY_CLOSED) for row in first.rows
    )
    if may_hold and snapshot == run.snapshots[agent] and run.runtime.is_lent_as_before(agent):
        return replace(first, rows=tuple(row for row in first.closing if row.agent == agent)), run.stamp
    return decide_again(run, agent, snapshot, stamp, first), stamp


def _look_again(run: Run) -> None:
    """Bring back what a session has taken into use since its store was changed (I6, I9): it may be another store's."""
    for work in run.transaction.shares:
        store = run.stores[work.store.agent]
        if store.is_lent(work):
            with locked(run.runtime, store):
                store.look_again(work)
        if work.record.orphans:
            from . import cleanup

            cleanup.look_again(run, work)


def _locked_out(run: Run) -> CloserError | None:
    """Return the error of a run that could do nothing: the gateway let it in, but refused the first deletion."""
    closed = any(status is Status.CLOSED for work in run.transaction.shares for status in work.outcome.values())
    why = run.gateway.refuses
    if run.options.via != "gateway" or not why or closed or not run.transaction.shares:
        return None
    return GatewayNeeded(why, "leave out --via gateway")


def _end(run: Run, plan: Plan, result: RestartResult) -> Report:
    """Turn the journal into the receipt, or hand both to the process that restarts the gateway."""
    report = summary.of(run, plan, result, _locked_out(run))
    if run.transaction.record is None or run.transaction.journal is None:
        return report
    last = run.transaction.record
    for work in run.transaction.shares:
        last = with_store(last, run.stores[work.store.agent].settled(work))
    recorded = {(store.agent, session.key) for store in last.stores for session in store.sessions}
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(summary.ended(row, missing_ok=run.options.missing_ok) for row in others)
    last = last.but(results=rows)
    if result.result == "handed-off" or any(row.status is Status.DEFERRED for row in plan.rows):
        run.transaction.journal.write(last.but(restart=RestartRecord(result.needed, bool(result.ok), result.result)))
        why = handoff.start(run.runtime, run.transaction.journal, last.id, run.options)
        return report if not why else _end(run, *_left_undone(run, plan, result, why))
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    run.transaction.journal.finish(last.but(restart=owed, state="done", finished_at=clock.iso_now()))
    return report


def _left_undone(run: Run, plan: Plan, result: RestartResult, why: str) -> tuple[Plan, RestartResult]:
    """Return how what was to be done after this command has ended: not at all."""
    hint = f"{why}: close it later"
    rows = tuple(
        row._replace(status=Status.FAILED, hint=hint) if row.status is Status.DEFERRED else row for row in plan.rows
    )
    return replace(plan, rows=rows), not_begun(run.gateway, why) if result.result == "handed-off" else result
