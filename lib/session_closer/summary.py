"""Put the report of a run together from its plan and from what became of each row."""

from __future__ import annotations

import os
from collections.abc import Callable

from .errors import CloserError
from .model import CHANGED, FINE, Outcome, Plan, PlannedRow, Report, RestartResult, Status, StoreResult
from .run import Run


def of(
    run: Run, plan: Plan, restart: RestartResult, error: CloserError | None = None, *, unfinished: bool = False
) -> Report:
    """Return the report: rows in the order of the command line, what was really done before what was planned.

    `unfinished`: the record stays where the next changing command finds it.
    """
    for work in run.works:
        run.warn(*work.warnings)
    run.warn(*plan.warnings)
    done: dict[tuple[str, str], Outcome] = {(row.agent, row.key): row for work in run.works for row in work.outcomes()}
    planned = [_outcome(run, row) for row in plan.rows if (row.agent, row.key) not in done]
    backups = {
        work.record.agent: os.path.join(work.store.place, work.record.backup)
        for work in run.works
        if work.record.backup is not None
    }
    return Report(
        operation=run.wish.operation,
        dry_run=run.options.dry_run,
        stores=tuple(
            StoreResult(agent, store.index, store.era, backups.get(agent)) for agent, store in run.stores.items()
        ),
        results=tuple(sorted([*planned, *done.values()], key=_place(run))),
        gateway=run.gateway.result(),
        restart=restart,
        receipt=run.journal.path if unfinished and run.journal is not None else run.receipt,
        undo=run.undo() if error is None else None,
        warnings=tuple(run.warnings),
        kept=plan.kept + sum(row.status not in CHANGED for row in done.values()),
        missing_ok=run.options.missing_ok,
        error=error,
    )


def _place(run: Run) -> Callable[[Outcome], int]:
    places = {target.given: number for number, target in enumerate(run.wish.targets)}
    return lambda row: places.get(row.given, len(places))


def _outcome(run: Run, row: PlannedRow) -> Outcome:
    folder = run.home.folder(row.agent)
    return Outcome(
        row.given,
        row.agent,
        row.key,
        Status.WOULD_ARCHIVE if run.options.archive and row.status is Status.WOULD_CLOSE else row.status,
        row.reason,
        session_id=row.session.session_id if row.session else None,
        route=row.route if row.status is Status.WOULD_CLOSE else None,
        archives=tuple(os.path.join(folder, move.target) for move in row.moves),
        error=None if row.status in FINE else row.hint or None,
    )
