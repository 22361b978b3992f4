"""Do what was decided: one store at a time under its lock, one journal for the run, one restart at the end."""

from __future__ import annotations

import time
from dataclasses import replace

from ..core.errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded, Interrupted, PartlyDone, Refused
from ..core.model import Plan, PlannedRow, Status
from ..core.report import Report, RestartResult
from ..journal.record import RestartRecord, with_store
from ..openclaw.attached import jobs
from ..openclaw.files import archive
from ..openclaw.files import change as editing
from ..openclaw.sqlite import change as retiring
from ..openclaw.sqlite import close
from ..render.report import result as result_row
from ..system import locks
from . import handoff, summary
from .decide import nothing_to_restart, once_more, storage
from .hold import locked
from .restart import not_begun, restart_once, with_what_it_lists
from .run import Run
from .work import FileWork, begin, settled

CHANGERS = {"files": editing.change_store, "sqlite": retiring.change_store}


def change(run: Run, plan: Plan) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    rows: list[PlannedRow] = [row for row in plan.rows if row.status not in (Status.WOULD_CLOSE, Status.WOULD_DEFER)]
    result = nothing_to_restart(run)
    if run.options.free_for is not None:
        run.free_by = time.monotonic() + run.options.free_for
    try:
        for agent in sorted({row.agent for row in plan.closing}):
            seen = {(row.agent, row.key) for row in rows}
            change_store = CHANGERS[run.stores[agent].era]
            rows += [row for row in change_store(run, agent, plan) if (row.agent, row.key) not in seen]
            # What is there now stays, so what it uses stays, too.
            run.going = frozenset(pair for pair in run.going if pair[0] != agent)
        if run.chores:
            from . import cleanup  # only a cleanup touches files without a session

            for agent, chores in sorted(run.chores.items()):
                cleanup.tidy(run, agent, chores)
        deferred = [row._replace(status=Status.DEFERRED) for row in plan.deferred]
        if deferred:
            begin(run)
        for work in run.works:
            if isinstance(work, FileWork):
                jobs.switch_off(run, work, {key for key, status in work.outcome.items() if status is Status.CLOSED})
        _look_again(run)
        result = restart_once(run)
        _look_again(run)
        result = with_what_it_lists(run, result)
        return _end(run, replace(plan, rows=(*rows, *deferred)), result)
    except (Busy, ChangedUnderneath, GatewayNeeded, Refused) as problem:
        # Exit 3 promises that nothing was changed.
        error: CloserError = PartlyDone(problem) if isinstance(problem, Refused) and run.works else problem
    except OSError as problem:
        error = storage(problem, run.home)
    except KeyboardInterrupt:
        error = Interrupted("interrupted", once_more(run.home))
    # The journal stays open: the next changing command finishes the run.
    for work in run.works:
        work.give_up()
    reached = {(row.agent, row.key) for work in run.works for row in work.rows}
    left = [row for row in (*plan.closing, *plan.deferred) if (row.agent, row.key) not in reached]
    rows += [row._replace(status=Status.FAILED, hint="not reached") for row in left]
    return summary.of(run, replace(plan, rows=tuple(rows)), result, error, unfinished=True)


def _look_again(run: Run) -> None:
    """Bring back what a session has taken into use since its store was changed (I6, I9): it may be another store's."""
    for work in run.works:
        if isinstance(work, FileWork) and archive.borrowed(work):
            with locked(run, work.store.agent):
                archive.look_again(run.disk, work)
        if work.record.orphans:
            from . import cleanup

            cleanup.look_again(run, work)


def _locked_out(run: Run) -> CloserError | None:
    """Return the error of a run that could do nothing: the gateway let it in, but refused the first deletion."""
    closed = any(status is Status.CLOSED for work in run.works for status in work.outcome.values())
    if run.options.via != "gateway" or run.gateway.links or closed or not run.works:
        return None
    return GatewayNeeded(run.gateway.notes[-1], "leave out --via gateway")


def _end(run: Run, plan: Plan, result: RestartResult) -> Report:
    """Turn the journal into the receipt, or hand both to the process that restarts the gateway."""
    report = summary.of(run, plan, result, _locked_out(run))
    if run.record is None or run.journal is None:
        return report
    last = run.record
    for work in run.works:
        last = with_store(last, settled(work) if isinstance(work, FileWork) else close.settled(work))
    recorded = {(store.agent, session.key) for store in last.stores for session in store.sessions}
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(result_row(row, missing_ok=run.options.missing_ok) for row in others)
    last = replace(last, results=rows)
    if result.result == "handed-off" or any(row.status is Status.DEFERRED for row in plan.rows):
        run.journal.write(replace(last, restart=RestartRecord(result.needed, bool(result.ok), result.result)))
        why = handoff.start(run.home, run.journal, last.id, run.options)
        return report if not why else _end(run, *_left_undone(plan, result, why))
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    run.journal.finish(replace(last, restart=owed, state="done", finished_at=locks.iso_now()))
    return report


def _left_undone(plan: Plan, result: RestartResult, why: str) -> tuple[Plan, RestartResult]:
    """Return how what was to be done after this command has ended: not at all."""
    hint = f"{why}: close it later"
    rows = tuple(
        row._replace(status=Status.FAILED, hint=hint) if row.status is Status.DEFERRED else row for row in plan.rows
    )
    return replace(plan, rows=rows), not_begun(why) if result.result == "handed-off" else result
