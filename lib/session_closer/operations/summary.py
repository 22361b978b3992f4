"""Put the report of a run together from its plan and from what became of each row."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core import filerows, names
from ..core.actions import CHILD
from ..core.ending import is_fine, shown_rows
from ..core.model import Plan, PlannedRow, Traits
from ..core.order import ordered
from ..core.report import Outcome, Remainder, Report, RestartResult, StoreResult, together
from ..core.status import CHANGED, FINE, GOING, Reason, Status
from ..core.tuples import NamedTuple
from ..journal.record import Ended
from . import weights

if TYPE_CHECKING:
    from ..core.errors import CloserError
    from ..ports.share import Share
    from .request import Look, Request
    from .transaction import Transaction

_DONE = frozenset({Status.CLOSED, Status.ARCHIVED, Status.EXPIRED})
# What goes, and the caller's own session, which goes when its turn has ended.
_LEAVING = GOING | {Status.DEFERRED}


class Part(NamedTuple):
    """What is told of some stores: rows, what there is beside them, and by agent what a policy took in numbers."""

    rows: list[Outcome]
    untold: Sequence[Remainder]
    counted: Mapping[str, dict[str, Any]]


_NOTHING = Part([], (), {})


def of(
    request: Request,
    found: Look,
    plan: Plan,
    transaction: Transaction,
    *,
    restart: RestartResult,
    error: CloserError | None = None,
    unfinished: bool = False,
    ahead: Part = _NOTHING,
) -> Report:
    """Return the report: rows in the order of the command line, what was really done before what was planned.

    `unfinished`: the record stays where the next changing command finds it. `ahead` is what is told of several stores
    that were looked at one by one, and of which the plan has no rows.
    """
    for share in transaction.shares:
        request.warn(*share.warnings)
    request.warn(*plan.warnings)
    ended, untold, short = _ended(request, found, transaction.shares)
    known = {(row.agent, row.key) for row in plan.rows}
    done = {pair for row in ended if (pair := (row.agent, row.key or row.given)) in known}
    weigh = weights.planned(found.stores, found.sizes)
    planned = [_outcome(request, found, row, weigh) for row in plan.rows if (row.agent, row.key) not in done]
    planned += ahead.rows
    files = _files_planned(request, found, plan, transaction.shares)
    rows = [*planned, *ended, *files, *_unread(found), *_doubted(plan)]
    rows, counted = _told(request, found, plan, ordered(request.wish, plan, rows), short)
    return Report(
        operation=request.wish.operation,
        dry_run=request.options.dry_run,
        stores=_stores(found, transaction, {**counted, **ahead.counted}),
        results=tuple(rows),
        untold=together((*untold, *ahead.untold)),
        gateway=request.gateway.result(),
        restart=restart,
        receipt=transaction.journal.path if unfinished and transaction.journal is not None else transaction.receipt,
        undo=transaction.undo(request.options) if error is None and (untold or not _is_final(rows)) else None,
        free=request.options.free if error is None and any(row.key_free is False for row in rows) else None,
        warnings=tuple(request.runtime.context.console.warnings),
        kept=plan.kept + sum(map(_stays, ended)),
        missing_ok=request.options.missing_ok,
        most_rows=request.options.most_rows,
        error=error,
        children=_children(rows) if request.rules is None else None,
        with_children=request.options.with_children,
        exported=tuple(plan.copies.values()) if request.options.export is not None else None,
    )


def _stays(row: Outcome) -> bool:
    # What is out of its store, and not finished, does not.
    return row.status not in CHANGED and row.reason is not Reason.PENDING


def part(request: Request, found: Look, plan: Plan, agent: str, most: int | None) -> Part:
    """Return what is told of one store of several of which nothing is changed; `most`: of so many that go a row."""
    weigh = weights.planned(found.stores, found.sizes)
    rows = [_outcome(request, found, row, weigh) for row in plan.rows]
    chores = {agent: plan.chores[agent]} if agent in plan.chores else {}
    files = _files_planned(request, found, plan._replace(chores=chores), ())
    counted = _counted(request, found, plan, [*rows, *files], agent, alike=None)
    shown = {id(row) for row in shown_rows(rows, most)}
    told = [row for row in rows if id(row) in shown or row.effects or row.left or row.error]
    spoken = {id(row) for row in told}
    left = [Remainder(row.status, 1, row.size) for row in rows if id(row) not in spoken]
    return Part([_explained(found, plan, row) for row in told], together(left), {agent: counted})


def _children(rows: Sequence[Outcome]) -> int:
    """Return how many sessions that what goes has spawned stay."""
    return sum(one.count for row in rows for one in row.effects if one.kind == CHILD)


class _Ended(NamedTuple):
    """What became of what was begun: rows, what there is beside, and the shares of which that is, by agent."""

    rows: list[Outcome]
    untold: tuple[Remainder, ...]
    short: Mapping[str, Share]


def _ended(request: Request, found: Look, shares: Sequence[Share]) -> _Ended:
    """Return what became of what was begun; of what a policy took so many rows as are shown.

    Of what was named as many of each store as may be: which of them are shown is decided by the order of the names.
    """
    if request.rules is None:
        # A copy is told with the session that it is of.
        most = request.options.most_told if request.options.export is None else None
        told = [(share, *share.first_outcomes(most)) for share in shares]
        untold = [more for _, _, own in told for more in own]
        return _Ended([row for share, own, _ in told for row in _weighed(found, share, own)], together(untold), {})
    left = request.options.most_rows
    rows: list[Outcome] = []
    untold = []
    short = {}
    for share in shares:
        own, more = share.first_outcomes(left)
        untold += more
        if left is not None and (number := share.alike or (len(share.rows) if more else 0)):
            short[share.store.agent] = share
            left = max(0, left - number)
        rows += _weighed(found, share, own)
    return _Ended(rows, together(untold), short)


def _told(
    request: Request, found: Look, plan: Plan, rows: list[Outcome], short: Mapping[str, Share]
) -> tuple[list[Outcome], Mapping[str, dict[str, Any]]]:
    """Return rows as they are shown, and, where a policy chose them, what it took in numbers, by agent."""
    if request.rules is None:
        return rows, {}
    own: dict[str, list[Outcome]] = defaultdict(list)
    for row in rows:
        own[row.agent].append(row)
    counted = {
        agent: _counted(request, found, plan, own[agent], agent, alike=short.get(agent)) for agent in found.stores
    }
    shown = {id(row) for row in shown_rows(rows, request.options.most_rows)}
    # What is not shown needs no reason, and there may be many.
    return [_explained(found, plan, row) if id(row) in shown else row for row in rows], counted


def _stores(found: Look, transaction: Transaction, counted: Mapping[str, Mapping[str, Any]]) -> tuple[StoreResult, ...]:
    records = {share.record.agent: (share.store.place, share.record) for share in transaction.shares}
    folder = os.path.dirname(transaction.receipt or "")
    made = []
    for agent, store in found.stores.items():
        place, record = records.get(agent, ("", None))
        backup = os.path.join(place, record.backup) if record is not None and record.backup is not None else None
        kept = tuple(os.path.join(folder, one.name) for one in record.kept) if record is not None else ()
        made.append(StoreResult(agent, store.index, store.era, backup, counted.get(agent), kept, store.traits.hides))
    return tuple(made)


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


def _explained(found: Look, plan: Plan, row: Outcome) -> Outcome:
    from ..core import tally  # only a cleanup counts

    traits = found.stores[row.agent].traits if row.agent in found.stores else Traits()
    size = found.sizes.get(row.agent, {}).get(row.key)
    if row.left if size is not None else row.archives or row.status not in FINE | GOING:
        # What was weighed ahead is all that it has; what was not, was when it was recorded.
        size = weights.put_away(row)
    return tally.explained(row, plan.findings.get(row.agent), size, traits)


def _unread(found: Look) -> list[Outcome]:
    """Return a row for each store that could not be looked at."""
    return [
        Outcome(agent, agent, "", Status.FAILED, error=f"{problem.message}; next: {problem.next_step()}")
        for agent, problem in found.unread.items()
    ]


def _is_final(rows: Sequence[Outcome]) -> bool:
    """Tell whether all that was changed is deleted for good."""
    changed = {row.status for row in rows} & CHANGED
    return changed == {Status.EXPIRED}


def _doubted(plan: Plan) -> list[Outcome]:
    """Return a row for archives that stay, as nothing but the clock calls them old."""
    if not any(chores.doubted for chores in plan.chores.values()):
        return []
    return [filerows.refused(agent, chores) for agent, chores in plan.chores.items() if chores.doubted]


def _files_planned(request: Request, found: Look, plan: Plan, shares: Sequence[Share]) -> list[Outcome]:
    """Return the rows of files that are still to be looked after, in a dry run or where the run ended early."""
    if not plan.tidying:
        return []
    reached = {share.store.agent for share in shares if share.tidied}
    left = [(agent, chores) for agent, chores in plan.tidying.items() if agent not in reached]
    stamp = found.stamp or names.free_stamp(request.clock.now(), ())
    rows = [row for agent, one in left for row in filerows.preview(agent, one, found.stores[agent].folder, stamp)]
    if request.options.dry_run or not shares:
        return rows
    return [row._replace(status=Status.FAILED, archives=(), error="not reached") for row in rows]


def _counted(
    request: Request, found: Look, plan: Plan, rows: list[Outcome], agent: str, *, alike: Share | None
) -> dict[str, Any]:
    """Return what a policy took of one store, in numbers; `alike`: the share of which not all sessions have a row."""
    from ..core import tally

    rules = request.rules
    assert rules is not None
    sizes, traits = found.sizes.get(agent, {}), found.stores[agent].traits
    findings = plan.findings[agent]
    closed: frozenset[str] | None = frozenset()
    if alike is not None:
        # What was decided again under the lock may have been less.
        closed = None if len(findings.actions()) == alike.alike else frozenset(alike.told_keys())
    numbers = tally.summary(findings, rows, sizes, rules.policy, traits, closed=closed)
    return {
        "agentId": agent,
        "storePath": found.stores[agent].index,
        "mode": rules.mode,
        "dryRun": request.options.dry_run,
        **numbers,
        "applied": alike is not None or any(row.status in _DONE for row in rows),
    }


def _weighed(found: Look, share: Share, rows: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return what became of the sessions of a store; what a database has of them was weighed before."""
    sizes = found.sizes.get(share.store.agent, {})
    if share.store.traits.loose_files:
        return rows
    return [row._replace(size=sizes.get(row.key)) if row.key else row for row in rows]


def _outcome(request: Request, found: Look, row: PlannedRow, weigh: Callable[[PlannedRow], int | None]) -> Outcome:
    folder = request.runtime.folder(row.agent)
    return Outcome(
        row.given,
        row.agent,
        row.key,
        Status.WOULD_ARCHIVE if row.status is Status.WOULD_CLOSE and not row.frees else row.status,
        row.reason,
        session_id=row.session.session_id if row.session else None,
        route=row.route if row.status is Status.WOULD_CLOSE else None,
        archives=tuple(os.path.join(folder, move.target) for move in row.moves),
        error=None if row.status in FINE and row.status is not Status.KEPT else row.hint or None,
        key_free=_key_free(row),
        effects=row.effects(found.stores[row.agent].traits) if row.status in _LEAVING else (),
        left=row.left if row.status is Status.WOULD_CLOSE else (),
        parent=row.parent,
        size=weigh(row) if row.status is Status.WOULD_CLOSE else None,
    )


def _key_free(row: PlannedRow) -> bool | None:
    """Tell whether a key can be used again after what is planned for it, None where that does not change."""
    if row.status is Status.ALREADY_CLOSED:
        return row.session is None or not row.session.archived
    return row.frees if row.status is Status.WOULD_CLOSE else None
