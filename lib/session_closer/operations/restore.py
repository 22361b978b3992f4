"""Bring closed sessions back: what is meant, whether it may be, and store by store until all is as it was."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..core.errors import Busy, CloserError, Refused, UsageProblem
from ..core.model import Status
from ..core.report import Outcome, Report, RestartResult, StoreResult
from ..core.wish import Options, Wish
from ..journal import history, receipts
from ..journal.record import RestartRecord, StoreRecord
from ..journal.source import Chosen, Source
from ..journal.stopped import STOPPING, stopped, storage
from ..ports.context import Console, Context
from ..ports.runtime import Place
from ..ports.undo import Item, Past, Returns
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import close, close_again, handoff, recover, runs, runtimes, several, summary
from .hold import locked
from .request import Request
from .restart import not_begun, nothing_to_restart, restart_once
from .transaction import Transaction

RESTORE = "restore-sessions"
_UNKNOWN = "the receipt closed no session of this name"


class Ask(NamedTuple):
    """What is to be brought back: a receipt's id, `last`, the path of a backup, or what was found; `keys` none: all.

    `check`: whether it still can be, however the gateway is now. `given`: the key that what was found is to get.
    """

    which: str = receipts.LAST
    keys: tuple[str, ...] = ()
    stop_gateway: bool = False
    check: bool = False
    given: str | None = None


class _Meant(NamedTuple):
    """What stands behind the words: the source, and what is to be said of that."""

    source: Source
    said: tuple[str, ...]


def execute(
    where: Place,
    ask: Ask,
    options: Options,
    *,
    disk: Disk | None = None,
    console: Console | None = None,
    clock: Clock = REAL,
) -> Report:
    """Return the report of a restore; CloserError where it ends before there is a plan."""
    runtimes.check_place(where, [])
    past = runtimes.past(where, clock)
    context = Context(options, disk or Disk(), console or Console(), clock)
    try:
        meant = _meant(where, past, ask, context)
        if not meant.source.restores:
            return _bring_back(where, ask, meant, context)
        wish, others = close_again.wish(past, meant.source, ask.keys, RESTORE)
        report = close.execute(where, wish, options, disk=context.disk, console=context.console, clock=clock)
        return report._replace(results=(*report.results, *others))
    except OSError as problem:
        raise storage(problem, where.state) from None


def of_run(where: Place, run: str, context: Context) -> Report:
    """Return the report of a restore of all that a run has closed."""
    return execute(where, Ask(run), context.options, disk=context.disk, console=context.console, clock=context.clock)


def way(where: Place, ask: Ask, options: Options, *, console: Console, clock: Clock) -> several.Way:
    """Return how one of several runs that closed sessions is undone; all of `ask` but what is meant holds for each."""

    def finish() -> list[str]:
        return _recover(where, Context(options, Disk(), console, clock))

    def one(run: str, words: tuple[str, ...]) -> Report:
        # What one run has to say is not said of the next.
        own = replace(console, warnings={})
        return execute(where, ask._replace(which=run, keys=words), options, console=own, clock=clock)

    return several.Way(where.state, finish, one)


def shown(where: Place, which: str, report: Report, clock: Clock) -> Report:
    """Return a report with one run in full."""
    runtimes.check_place(where, [])
    look = Options(dry_run=True, limit=10**9)
    return runs.shown(where.state, which, report, lambda run: execute(where, Ask(run, check=True), look), clock)


def _meant(where: Place, past: Past, ask: Ask, context: Context) -> _Meant:
    """Return what is meant, once no run is left half done that it could be; a dry run only says which are."""
    looking, said = context.options.dry_run, []
    if not ask.check:
        past.check_unfinished()
    if not looking and (history.open_runs(where.state) or history.unborn_runs(where.state)):
        said = _recover(where, context)
    try:
        source, notes = past.source(ask.which, ask.given, looking=looking)
    except (Busy, Refused, UsageProblem) as problem:
        message = "; ".join((problem.message, *said))
        raise type(problem)(message, problem.remedy, name=problem.name) from None
    return _Meant(source, (*(history.interrupted(where.state) if looking else said), *notes))


def _recover(where: Place, context: Context) -> list[str]:
    """Finish interrupted runs first, since the receipt that is meant may be one of theirs; return a line for each."""
    console = replace(context.console, warnings={})
    runtime = runtimes.opened(where, replace(context, console=console))
    try:
        # What cannot be finished is an error only for the agents of the receipt, which is not known yet.
        said = recover.recover(runtime, [])
        return [*said, *console.warnings]
    finally:
        runtime.close()


def _bring_back(where: Place, ask: Ask, meant: _Meant, context: Context) -> Report:
    chosen, unknown = receipts.select(meant.source, ask.keys)
    runtimes.check_place(where, sorted({one.store.agent for one in chosen}))
    request = Request(runtimes.opened(where, context), Wish(RESTORE, ()))
    transaction = Transaction(context.disk, where.state, RESTORE, context.options.reason, context.clock)
    request.warn(*meant.said, *request.runtime.exposure())
    missing = [Outcome(name, "", name, Status.NOT_FOUND, error=_UNKNOWN) for name in unknown]
    try:
        return _perform(request, transaction, ask, chosen, missing)
    finally:
        request.runtime.close()
        transaction.release()


def _perform(
    request: Request, transaction: Transaction, ask: Ask, chosen: Sequence[Chosen], missing: Sequence[Outcome]
) -> Report:
    runtime, dry_run = request.runtime, request.options.dry_run
    parts: dict[str, list[Chosen]] = defaultdict(list)
    for one in chosen:
        parts[one.store.agent].append(one)
    # One that could not be finished a moment ago is an error now that the agents are known.
    if not dry_run and any(recover.pending(runtime, agent) for agent in parts):
        request.warn(*recover.recover(runtime, list(parts)))
    returns = Returns([])
    for agent, some in parts.items():
        store = runtime.stores[agent] = runtime.receiver(agent)
        returns.decide(store.returnable(some))
        if dry_run and (said := store.begins_anew(some)):
            request.warn(said)
    todo = [item for item in returns if item.is_wanted]
    if ask.which == receipts.LAST and not ask.keys and _are_back(returns):
        request.warn(runs.before(request.runtime.root, chosen[0].source.run, request.options))
    error = None if ask.check else _refusal(request, ask, todo)
    result = nothing_to_restart(request.gateway)
    if error is None and not dry_run and todo:
        result, error = _change(request, transaction, parts, returns)
    elif error is None and not dry_run:
        runtime.switch_on(returns)
    report = _report(request, transaction, returns, missing, restart=result, error=error)
    return report if error is not None else _ended(request, transaction, returns, report)


def _are_back(returns: Returns) -> bool:
    return {item.status for item in returns} == {Status.ALREADY_RESTORED}


def _refusal(request: Request, ask: Ask, todo: Sequence[Item]) -> CloserError | None:
    """Return why nothing may be brought back now."""
    refused = request.runtime.restore_refusal(todo, stop_gateway=ask.stop_gateway)
    return refused or request.runtime.unwritable(_written(request, todo))


def _written(request: Request, todo: Sequence[Item]) -> Iterator[str]:
    """Give the folders that a restore changes."""
    going: dict[str, list[Item]] = defaultdict(list)
    for item in todo:
        going[item.agent].append(item)
    for agent, items in going.items():
        yield from request.runtime.stores[agent].written_back(items)


def _change(
    request: Request, transaction: Transaction, parts: Mapping[str, Sequence[Chosen]], returns: Returns
) -> tuple[RestartResult, CloserError | None]:
    """Bring back what still can be; return how the restart ended that was owed, and what ended the run early."""
    result, error = nothing_to_restart(request.gateway), None
    with request.gateway.interlude() as interlude:
        try:
            _stores_back(request, transaction, parts, returns)
            note_taken = request.runtime.put_back([one for some in parts.values() for one in some], returns)
            result = restart_once(request.runtime, transaction)
            for share in transaction.shares:
                request.runtime.stores[share.store.agent].check_back(share, returns)
            note_taken(result)
        except STOPPING as problem:
            error = stopped(problem, request.runtime.root, has_changed=bool(transaction.shares))
    returns.end()
    request.runtime.switch_on(returns)
    return interlude.result or result, error


def _stores_back(
    request: Request, transaction: Transaction, parts: Mapping[str, Sequence[Chosen]], returns: Returns
) -> None:
    """Have each store, held, decide again, and bring back what it still can."""
    agents = sorted({item.agent for item in returns if item.is_wanted})
    if not request.runtime.own_indexes:
        # Where they share an index, each was closed in what another had left.
        agents.sort(key=lambda agent: max(one.at for one in parts[agent]), reverse=True)
    for agent in request.in_turn(agents):
        wanted = {item.key for item in returns.of(agent) if item.is_wanted}
        store = request.runtime.stores[agent]
        with locked(request.runtime, store):
            store.bring_back([one for one in parts[agent] if one.name in wanted], transaction, returns)


def _ended(request: Request, transaction: Transaction, returns: Returns, report: Report) -> Report:
    """Turn the record into the receipt, or leave it to the process that restarts the gateway."""
    record, journal = transaction.record, transaction.journal
    if record is None or journal is None:
        return report
    status = {(item.agent, item.key): str(item.status) for item in returns}

    def ended(store: StoreRecord) -> StoreRecord:
        sessions = journal.whole(store).sessions
        return store.but(sessions=tuple(s.but(status=status.get((store.agent, s.key), s.status)) for s in sessions))

    recorded = transaction.recorded()
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(summary.ended(row, missing_ok=False) for row in others)
    last = record.but(results=rows, restart=_owed(report.restart))
    if report.restart.result == "handed-off":
        last = last.but(stores=tuple(map(ended, last.stores)))
        journal.write(last)
        why = handoff.start(request.runtime, journal, last.id, request.options)
        if not why:
            return report
        report = report._replace(restart=not_begun(request.gateway, why))
    last = last.but(state="done", finished_at=request.runtime.context.clock.iso_now(), restart=_owed(report.restart))
    journal.finish(last, map(ended, last.stores))
    return report


def _owed(result: RestartResult) -> RestartRecord:
    return RestartRecord(result.needed, bool(result.ok), result.result, result.detail)


def _report(
    request: Request,
    transaction: Transaction,
    returns: Returns,
    missing: Sequence[Outcome],
    *,
    restart: RestartResult,
    error: CloserError | None,
) -> Report:
    rows = (*(item.outcome() for item in returns), *missing)
    for share in transaction.shares:
        request.warn(*share.warnings)
    backups = {
        share.record.agent: os.path.join(share.store.place, share.record.backup)
        for share in transaction.shares
        if share.record.backup is not None
    }
    unfinished = transaction.journal if error is not None else None
    return Report(
        operation=RESTORE,
        dry_run=request.options.dry_run,
        stores=tuple(
            StoreResult(agent, store.index, store.era, backups.get(agent), hides=store.traits.hides)
            for agent, store in request.runtime.stores.items()
        ),
        results=rows,
        gateway=request.gateway.result(),
        restart=restart,
        receipt=unfinished.path if unfinished is not None else transaction.receipt,
        # A file without a session that is back is put away again by a cleanup.
        undo=transaction.undo(request.options) if any(row.key for row in rows) else None,
        warnings=tuple(request.runtime.context.console.warnings),
        error=error,
    )
