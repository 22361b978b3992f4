"""Bring closed sessions back: what is meant, whether it may be, and store by store until all is as it was."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from ..core.actions import How
from ..core.errors import Busy, CloserError, Refused, UsageProblem
from ..core.report import Outcome, Report, RestartResult
from ..core.status import Life, Route, Status
from ..core.tuples import NamedTuple
from ..core.wish import Options, Wish
from ..journal import history, receipts
from ..journal.source import Chosen, ChosenSession, Source
from ..journal.stopped import storage
from ..ports.context import Console, Context
from ..ports.past import Past
from ..ports.runtime import Place
from ..ports.undo import Item, Returns
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import apply, close, close_again, recover, runs, runtimes, several
from .give_back import Returning
from .request import Request
from .restart import foreseen
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
        own = console.apart()
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
        source, notes = past.source(ask.which, ask.given)
    except (Busy, Refused, UsageProblem) as problem:
        message = "; ".join((problem.message, *said))
        raise type(problem)(message, problem.remedy, name=problem.name) from None
    return _Meant(source, (*(history.interrupted(where.state) if looking else said), *notes))


def _recover(where: Place, context: Context) -> list[str]:
    """Finish interrupted runs first, since the receipt that is meant may be one of theirs; return a line for each."""
    console = context.console.apart()
    runtime = runtimes.opened(where, Context(context.options, context.disk, console, context.clock))
    try:
        # What cannot be finished is an error only for the agents of the receipt, which is not known yet.
        said = recover.recover(runtime, [])
        return [*said, *console.warnings]
    finally:
        runtime.close()


def _bring_back(where: Place, ask: Ask, meant: _Meant, context: Context) -> Report:
    lots, unknown = receipts.lots(meant.source, ask.keys)
    runtimes.check_place(where, sorted(lots))
    request = Request(runtimes.opened(where, context), Wish(RESTORE, ()))
    transaction = Transaction(context.disk, where.state, RESTORE, context.options.reason, context.clock)
    request.warn(*meant.said, *request.runtime.exposure())
    missing = [Outcome(name, "", name, Status.NOT_FOUND, error=_UNKNOWN) for name in unknown]
    try:
        return _perform(request, transaction, ask, lots, missing)
    finally:
        request.runtime.close()
        transaction.release()


def _perform(
    request: Request,
    transaction: Transaction,
    ask: Ask,
    lots: Mapping[str, Sequence[Chosen]],
    missing: Sequence[Outcome],
) -> Report:
    runtime, dry_run = request.runtime, request.options.dry_run
    # One that could not be finished a moment ago is an error now that the agents are known.
    if not dry_run and any(recover.pending(runtime, agent) for agent in lots):
        request.warn(*recover.recover(runtime, list(lots)))
    returns = Returns([])
    for agent, some in lots.items():
        _look(request, agent, some, returns, partial(lots.__getitem__, agent))
        run = some[0].source.run
    # The frame lasts as long as the run.
    some = ()
    todo = list(returns.wanted())
    if ask.which == receipts.LAST and not ask.keys and returns.statuses() == {Status.ALREADY_RESTORED}:
        request.warn(runs.before(request.runtime.root, run, request.options))
    work = Returning(request, lots, returns, missing, transaction)
    error = None if ask.check else _refusal(request, ask, todo, returns)
    todo = list(returns.wanted())
    _warn_of_hidden(request, lots, todo if error is None else ())
    if error is None and not dry_run and todo:
        for agent in sorted({item.agent for item in todo}):
            runtime.stores[agent].make_place()
        return apply.perform(request, transaction, work)
    if error is None and not dry_run:
        runtime.switch_on(returns)
    work.expect()
    return work.report(_foreseen(request, ask, todo) if error is None else foreseen(runtime, (), usable=True), error)


def _foreseen(request: Request, ask: Ask, todo: Sequence[Item]) -> RestartResult:
    """Return the restart that bringing these back is going to need, and say what a run would not come to."""
    runtime = request.runtime
    _warn_of_jobs(request, todo)
    edits = any(runtime.stores[item.agent].traits.restarts for item in todo)
    stops = ask.stop_gateway and any(item.put_away is How.DELETE for item in todo)
    return foreseen(runtime, [Route.FILES] if edits else (), usable=True, is_stopped=stops)


def _warn_of_jobs(request: Request, todo: Sequence[Item]) -> None:
    """Say of cron jobs that nobody will switch on: none starts a gateway that is not running now."""
    count = sum(len(item.jobs) for item in todo)
    if count and request.runtime.gateway.life is Life.DOWN:
        what = "1 cron job stays" if count == 1 else f"{count} cron jobs stay"
        request.warn(f"{what} off, as no gateway runs, and the run ends with exit 1; start it, then run it again")


def _look(
    request: Request, agent: str, some: Sequence[Chosen], returns: Returns, anew: Callable[[], Sequence[Chosen]]
) -> None:
    """Note what would become of what was put away of an agent; `anew` gives that again."""
    store = request.runtime.stores[agent] = request.runtime.receiver(agent)
    returns.decide(store.returnable(some))
    returns.rest(agent, len(some), anew)
    if request.options.dry_run and (said := store.begins_anew(some)):
        request.warn(said)


def _warn_of_hidden(request: Request, lots: Mapping[str, Sequence[Chosen]], todo: Sequence[Item]) -> None:
    """Say of sessions of a database that come back as they were before that run: archived."""
    back = {(item.agent, item.key) for item in todo if item.put_away is How.DELETE}
    hidden = {
        (agent, one.session.key)
        for agent in {agent for agent, _ in back}
        for one in lots[agent]
        if isinstance(one, ChosenSession) and one.session.archived_before
    }
    if count := len(hidden & back):
        what = "1 of these comes back as it was" if count == 1 else f"{count} of these come back as they were"
        those = "it" if count == 1 else "them"
        said = f"{what}: archived, and a message is refused; the run that archived {those} is in the list of"
        request.warn(f"{said}: {request.options.undo} --list")


def _refusal(request: Request, ask: Ask, todo: Sequence[Item], returns: Returns) -> CloserError | None:
    """Return why nothing may be brought back now; what the gateway alone is in the way of is noted, the others go."""
    runtime = request.runtime
    if (refused := runtime.restore_refusal(todo)) is not None:
        return refused
    held_up = runtime.held_up(todo, stop_gateway=ask.stop_gateway)
    if held_up and all(item.put_away in held_up for item in todo):
        return next(iter(held_up.values()))
    going = [item for item in todo if item.put_away not in held_up]
    if (refused := runtime.unwritable(_written(request, going))) is not None:
        return refused
    for how, why in held_up.items():
        stay = [item for item in returns if item.is_wanted and item.put_away is how]
        for item in stay:
            returns.failed(item, why.message)
        request.warn(f"{len(stay)} of these stay for now: {why.message}; next: {why.next_step()}")
    return None


def _written(request: Request, todo: Sequence[Item]) -> Iterator[str]:
    """Give the folders that a restore changes."""
    going: dict[str, list[Item]] = defaultdict(list)
    for item in todo:
        going[item.agent].append(item)
    for agent, items in going.items():
        yield from request.runtime.stores[agent].written_back(items)
