"""Put the report of a run together from its plan and from what became of each row."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from ..core.ending import is_fine, shown_rows
from ..core.errors import CloserError
from ..core.model import CHANGED, FINE, GOING, Plan, PlannedRow, Status, Traits
from ..core.planning import effects_of
from ..core.report import Outcome, Report, RestartResult, StoreResult
from ..journal.record import Ended
from .run import Run

_DONE = frozenset({Status.CLOSED, Status.ARCHIVED, Status.EXPIRED})


def of(
    run: Run, plan: Plan, restart: RestartResult, error: CloserError | None = None, *, unfinished: bool = False
) -> Report:
    """Return the report: rows in the order of the command line, what was really done before what was planned.

    `unfinished`: the record stays where the next changing command finds it.
    """
    for work in run.transaction.shares:
        run.warn(*work.warnings)
    run.warn(*plan.warnings)
    ended = [row for work in run.transaction.shares for row in work.outcomes()]
    done: dict[tuple[str, str], Outcome] = {(row.agent, row.key or row.given): row for row in ended}
    planned = [_outcome(run, row) for row in plan.rows if (row.agent, row.key) not in done]
    rows = [*planned, *done.values(), *_files_planned(run), *_unread(run), *run.refused]
    counted: dict[str, dict[str, Any]] = {}
    if run.wish.rules is not None:
        counted = {agent: _counted(run, agent, [row for row in rows if row.agent == agent]) for agent in run.stores}
        shown = {id(row) for row in shown_rows(rows, run.options.most_rows)}
        # What is not shown needs no reason, and there may be many.
        rows = [_explained(run, row) if id(row) in shown else row for row in rows]
    else:
        rows.sort(key=_place(run))
    backups = {
        work.record.agent: os.path.join(work.store.place, work.record.backup)
        for work in run.transaction.shares
        if work.record.backup is not None
    }
    folder = os.path.dirname(run.receipt or "")
    kept_rows = {
        work.record.agent: tuple(os.path.join(folder, one.name) for one in work.record.kept)
        for work in run.transaction.shares
    }
    return Report(
        operation=run.wish.operation,
        dry_run=run.options.dry_run,
        stores=tuple(
            StoreResult(agent, store.index, store.era, backups.get(agent), counted.get(agent), kept_rows.get(agent, ()))
            for agent, store in run.stores.items()
        ),
        results=tuple(rows),
        gateway=run.gateway.result(),
        restart=restart,
        receipt=run.transaction.journal.path if unfinished and run.transaction.journal is not None else run.receipt,
        undo=run.undo() if error is None and not _is_final(rows) else None,
        free=run.options.free if error is None and any(row.key_free is False for row in rows) else None,
        warnings=tuple(run.runtime.context.console.warnings),
        kept=plan.kept + sum(row.status not in CHANGED for row in done.values()),
        missing_ok=run.options.missing_ok,
        most_rows=run.options.most_rows,
        error=error,
    )


def ended(row: Outcome, *, missing_ok: bool) -> Ended:
    """Return what the record keeps of a row for which no store's record speaks."""
    return Ended(
        row.given,
        row.agent,
        row.key,
        row.session_id,
        str(row.status),
        is_fine(row, missing_ok=missing_ok),
        str(row.reason) if row.reason else None,
        str(row.route) if row.route else None,
        row.error,
    )


def _explained(run: Run, row: Outcome) -> Outcome:
    from ..core import tally  # only a cleanup counts

    traits = run.stores[row.agent].traits if row.agent in run.stores else Traits()
    return tally.explained(row, run.findings.get(row.agent), run.sizes.get(row.agent, {}), traits)


def _unread(run: Run) -> list[Outcome]:
    """Return a row for each store that could not be looked at."""
    return [
        Outcome(agent, agent, "", Status.FAILED, error=f"{problem.message}; next: {problem.next_step()}")
        for agent, problem in run.unread.items()
    ]


def _is_final(rows: Sequence[Outcome]) -> bool:
    """Tell whether all that was changed is deleted for good."""
    changed = {row.status for row in rows} & CHANGED
    return changed == {Status.EXPIRED}


def _files_planned(run: Run) -> list[Outcome]:
    """Return the rows of files that are still to be looked after, in a dry run or where the run ended early."""
    if not run.chores:
        return []
    from . import cleanup

    reached = {work.store.agent for work in run.transaction.shares if work.tidied}
    rows = [
        row for agent, chores in run.chores.items() if agent not in reached for row in cleanup.preview(agent, chores)
    ]
    if run.options.dry_run or not run.transaction.shares:
        return rows
    return [row._replace(status=Status.FAILED, error="not reached") for row in rows]


def _counted(run: Run, agent: str, rows: list[Outcome]) -> dict[str, Any]:
    from ..core import tally

    rules = run.wish.rules
    assert rules is not None
    sizes, traits = run.sizes.get(agent, {}), run.stores[agent].traits
    numbers = tally.summary(run.findings[agent], rows, sizes, rules.policy, traits)
    return {
        "agentId": agent,
        "storePath": run.stores[agent].index,
        "mode": rules.mode,
        "dryRun": run.options.dry_run,
        **numbers,
        "applied": any(row.status in _DONE for row in rows),
    }


def _place(run: Run) -> Callable[[Outcome], int]:
    places = {target.given: number for number, target in enumerate(run.wish.targets)}
    return lambda row: places.get(row.given, len(places))


def _outcome(run: Run, row: PlannedRow) -> Outcome:
    folder = run.runtime.folder(row.agent)
    return Outcome(
        row.given,
        row.agent,
        row.key,
        Status.WOULD_ARCHIVE if row.status is Status.WOULD_CLOSE and not row.frees else row.status,
        row.reason,
        session_id=row.session.session_id if row.session else None,
        route=row.route if row.status is Status.WOULD_CLOSE else None,
        archives=tuple(os.path.join(folder, move.target) for move in row.moves),
        error=None if row.status in FINE else row.hint or None,
        key_free=_key_free(row),
        effects=effects_of(row, run.stores[row.agent].traits) if row.status in GOING else (),
        left=row.left if row.status is Status.WOULD_CLOSE else (),
    )


def _key_free(row: PlannedRow) -> bool | None:
    """Tell whether a key can be used again after what is planned for it, None where that does not change."""
    if row.status is Status.ALREADY_CLOSED:
        return row.session is None or not row.session.archived
    return row.frees if row.status is Status.WOULD_CLOSE else None
