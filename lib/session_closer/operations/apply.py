"""Do what was decided: one store at a time under its lock, one journal for the run, one restart at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ..core import names
from ..core.errors import CloserError, GatewayNeeded
from ..core.findings import Chores
from ..core.model import GOING, Plan, Route, Status
from ..core.report import Report, RestartResult
from ..journal.record import RestartRecord, StoreRecord
from ..journal.stopped import STOPPING, stopped
from ..ports.store import Store
from ..system.files import listed
from . import handoff, summary
from .decide import decide_again
from .hold import locked
from .request import Look, Request
from .restart import not_begun, nothing_to_restart, restart_once, with_what_it_lists
from .transaction import Transaction


@dataclass(slots=True)
class _Progress:
    """What has become of a plan so far, and how the restart ended that it took."""

    plan: Plan
    restart: RestartResult


def change(request: Request, found: Look, plan: Plan, transaction: Transaction) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    left = tuple(row for row in plan.rows if row.status not in GOING)
    done = _Progress(replace(plan, rows=left), nothing_to_restart(request.gateway))
    try:
        _carry_out(request, found, plan, transaction, done=done)
        return _end(request, found, done.plan, transaction, done.restart)
    except STOPPING as problem:
        error = stopped(problem, request.runtime.root, has_changed=bool(transaction.shares))
    # The journal stays open: the next changing command finishes the run.
    for share in transaction.shares:
        share.give_up()
    reached = {(row.agent, row.key) for share in transaction.shares for row in share.rows}
    reached.update((row.agent, row.key) for row in done.plan.rows)
    lost = [row for row in (*plan.closing, *plan.deferred) if (row.agent, row.key) not in reached]
    rows = tuple(row._replace(status=Status.FAILED, hint="not reached") for row in lost)
    ended = replace(done.plan, rows=(*done.plan.rows, *rows))
    return summary.of(request, found, ended, transaction, restart=done.restart, error=error, unfinished=True)


def _carry_out(request: Request, found: Look, plan: Plan, transaction: Transaction, *, done: _Progress) -> None:
    """Close, tidy, restart once, and look again before and after that."""
    known = {(row.agent, row.key) for row in done.plan.rows}
    for part in _changed(request, found, plan, transaction):
        rows = tuple(row for row in part.rows if (row.agent, row.key) not in known)
        if rows or part.findings:
            known.update((row.agent, row.key) for row in rows)
            findings = {**done.plan.findings, **part.findings}
            done.plan = replace(done.plan, rows=(*done.plan.rows, *rows), findings=findings)
    done.plan = replace(done.plan, chores=_tidied(request, found, plan, transaction))
    deferred = tuple(row._replace(status=Status.DEFERRED) for row in plan.deferred)
    if deferred:
        transaction.begin()
    done.plan = replace(done.plan, rows=(*done.plan.rows, *deferred))
    for share in transaction.shares:
        found.stores[share.store.agent].follow_up(share)
    _look_again(request, found, transaction)
    done.restart = restart_once(request.runtime, transaction)
    _look_again(request, found, transaction)
    done.restart = with_what_it_lists(request.gateway, transaction, done.restart)


def _changed(request: Request, found: Look, plan: Plan, transaction: Transaction) -> Iterator[Plan]:
    """Close the sessions of one agent after the other; give of each what was decided otherwise under the lock."""
    free_for = request.options.free_for
    until = math.inf if free_for is None else request.clock.monotonic() + free_for
    going = {agent: {row.key for row in rows} for agent, rows in plan.by_agent.items()}
    # Parents ahead of their children, as far as these are of other agents.
    order = sorted(going) if not request.options.with_children else list(plan.by_agent)
    for agent in request.in_turn(order):
        if agent not in plan.by_agent:
            continue
        part = _change_store(request, found, plan, transaction, agent=agent, until=until)
        yield part
        if request.options.with_children:
            from . import children  # few runs take them along

            plan, staying = children.after(plan, agent, part, transaction.shares)
            yield staying
        # Of many stores each is let go of; what is there now stays, so what it uses stays, too.
        request.runtime.snapshots.pop(agent, None)
        del going[agent]
        request.runtime.going(going)


def _tidied(request: Request, found: Look, plan: Plan, transaction: Transaction) -> Mapping[str, Chores]:
    """Do what was planned for files without a session; return what is still planned."""
    left = dict(plan.chores)
    if plan.tidying:
        from . import cleanup  # only a cleanup touches files without a session

        for agent in sorted(plan.tidying):
            with locked(request.runtime, found.stores[agent]):
                cleanup.tidy(request, transaction, found.stores[agent], left)
            left[agent] = left[agent]._replace(orphans=(), expired=())
    return left


def _change_store(
    request: Request, found: Look, first: Plan, transaction: Transaction, *, agent: str, until: float
) -> Plan:
    """Close one agent's sessions; return what was decided otherwise under the lock."""
    store = found.stores[agent]
    with locked(request.runtime, store):
        stamp = names.free_stamp(request.clock.now(), [*listed(store.place), *listed(store.folder)])
        store.clean()
        plan, stamp = _decided(request, found, first, store, stamp)
        if request.options.export is not None:
            from . import copies  # only where what goes was exported first

            plan = copies.unchanged(store, plan, first)
        request.warn(*plan.warnings)
        gone: set[str] = set()
        if plan.closing:
            gone.update(store.take_out(plan.closing, transaction, stamp=stamp, until=until))
        rows = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in first.staying]
        rows += [row._replace(status=Status.ALREADY_CLOSED) for row in plan.closing if row.key in gone]
        return replace(plan, rows=tuple(rows))


def _decided(request: Request, found: Look, first: Plan, store: Store, stamp: str) -> tuple[Plan, str]:
    """Return the plan that is carried out, and its stamp: the first one where all it was made of is still the same."""
    agent, view = store.agent, found.view
    if Route.FILES not in store.traits.writers:
        # A run may have begun since the first look, and archiving would end it.
        view = request.gateway.view(sorted({*request.wish.agents(), agent}), by_command=True)
    snapshot = store.read()
    # Where the gateway is asked anew, and of an absent name a receipt may say something new, nothing is the same.
    may_hold = all(Route.FILES in each.traits.writers for each in found.stores.values()) and not any(
        row.status in (Status.NOT_FOUND, Status.ALREADY_CLOSED) for row in first.staying
    )
    if may_hold and snapshot == found.snapshots[agent] and request.runtime.is_lent_as_before(agent):
        return replace(first, rows=tuple(first.by_agent[agent]), findings={}), found.stamp
    now = replace(found, snapshots={agent: snapshot}, view=view, stamp=stamp)
    return decide_again(request, now, first), stamp


def _look_again(request: Request, found: Look, transaction: Transaction) -> None:
    """Bring back what a session has taken into use since its store was changed (I6, I9): it may be another store's."""
    with request.runtime.one_look():
        for share in transaction.shares:
            store = found.stores[share.store.agent]
            if store.is_lent(share):
                with locked(request.runtime, store):
                    store.look_again(share)
            if share.record.orphans:
                from . import cleanup

                if cleanup.is_lent(request, share):
                    with locked(request.runtime, store):
                        cleanup.look_again(request, share)


def _locked_out(request: Request, transaction: Transaction) -> CloserError | None:
    """Return the error of a run that could do nothing: the gateway let it in, but refused the first deletion."""
    closed = any(share.results.those(Status.CLOSED) for share in transaction.shares)
    why = request.gateway.refuses
    if request.options.via != "gateway" or not why or closed or not transaction.shares:
        return None
    return GatewayNeeded(why, "leave out --via gateway")


def _end(request: Request, found: Look, plan: Plan, transaction: Transaction, result: RestartResult) -> Report:
    """Turn the journal into the receipt, or hand both to the process that restarts the gateway."""
    report = summary.of(request, found, plan, transaction, restart=result, error=_locked_out(request, transaction))
    if transaction.record is None or transaction.journal is None:
        return report
    shares = {(share.record.path, share.record.agent): share for share in transaction.shares}

    def settled(store: StoreRecord) -> StoreRecord:
        share = shares.get((store.path, store.agent))
        return store if share is None else found.stores[store.agent].settled(share)

    recorded = transaction.recorded()
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(summary.ended(row, missing_ok=request.options.missing_ok) for row in others)
    last = transaction.record.but(results=rows)
    if result.result == "handed-off" or any(row.status is Status.DEFERRED for row in plan.rows):
        last = last.but(stores=tuple(map(settled, last.stores)))
        transaction.journal.write(last.but(restart=RestartRecord(result.needed, bool(result.ok), result.result)))
        why = handoff.start(request.runtime, transaction.journal, last.id, request.options)
        return (
            report
            if not why
            else _end(request, found, _left_undone(plan, why), transaction, _not_restarted(request, result, why))
        )
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    last = last.but(restart=owed, state="done", finished_at=request.clock.iso_now())
    transaction.journal.finish(last, map(settled, last.stores))
    return report


def _left_undone(plan: Plan, why: str) -> Plan:
    """Return a plan with what was to be done after this command as it has ended: not at all."""
    hint = f"{why}: close it later"
    rows = tuple(
        row._replace(status=Status.FAILED, hint=hint) if row.status is Status.DEFERRED else row for row in plan.rows
    )
    return replace(plan, rows=rows)


def _not_restarted(request: Request, result: RestartResult, why: str) -> RestartResult:
    return not_begun(request.gateway, why) if result.result == "handed-off" else result
