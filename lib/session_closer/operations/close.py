"""Carry out a wish: find out, decide, and only then change anything; one store at a time, one restart at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from ..core import hints, ids, planning
from ..core.errors import CloserError, UnknownAgent
from ..core.model import Plan, Snapshot
from ..core.report import Report
from ..core.status import Route
from ..journal import closed, history
from ..journal.stopped import storage
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import obstacles, runtimes, summary
from .decide import decide
from .look import TooMany, look, planned_sizes
from .request import Look, Rehearse, Request
from .restart import foreseen, nothing_to_restart
from .transaction import Transaction

if TYPE_CHECKING:
    from ..core.findings import Chores
    from ..core.wish import Options, Wish
    from ..ports.runtime import Place
    from ..ports.store import Store
    from .take_out import Closing


def execute(
    where: Place,
    wish: Wish,
    options: Options,
    *,
    disk: Disk | None = None,
    console: Console | None = None,
    clock: Clock = REAL,
    rehearse: Rehearse | None = None,
) -> Report:
    """Return the report of a run; CloserError where it ends before there is a plan.

    `rehearse` does in a copy what a dry run has planned.
    """
    # One store of all that cannot be read must not keep the others from being cleaned.
    runtimes.check_place(where, wish.agents() if wish.rules is None or wish.agent else [])
    context = Context(options, disk or Disk(), console or Console(), clock)
    runtime = runtimes.opened(where if rehearse is None else runtimes.apart(where), context)
    transaction = Transaction(context.disk, runtime.root, wish.operation, options.reason, clock)
    try:
        request = Request(runtime, wish)
        found = _planned(request, transaction, rehearse)
        if isinstance(found, Report):
            return found
        from . import apply  # what changes a store is not loaded to look at one

        return apply.perform(request, transaction, found)
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        runtime.close()
        transaction.release()


def _planned(request: Request, transaction: Transaction, rehearse: Rehearse | None) -> Report | Closing:
    """Return what is to be changed, or the report of a run that changes nothing."""
    request.warn(*request.runtime.exposure())
    left = _finish_interrupted(request)
    settle = partial(_settle, request) if left else None
    try:
        found = look(request, settle, math.inf if rehearse is not None else _most(request))
    except TooMany:
        return _by_store(request, settle, transaction)
    wish = _resolved(request, found)
    if request.options.own:
        from . import own  # a caller without a session has none to be careful with

        wish = wish._replace(own=own.keys_of(request, found))
    request = request._replace(wish=wish)
    if wish.rules is not None and wish.agent and wish.agent not in found.stores:
        known = request.runtime.known_agents()
        if wish.agent not in known:
            raise UnknownAgent(wish.agent, known)
        request.warn(hints.no_sessions(wish.agent, known))
    if not request.options.dry_run:
        _put_away_leftovers(request, found)
    _note_absent(request, found)
    plan = decide(request, found)
    if request.options.with_children:
        from . import children  # few runs take them along

        found = children.concerned(request, found, plan)
    plan = plan._replace(chores=_chores(request, found.stores, lambda store: found.snapshots[store.agent]))
    error = obstacles.refusal(request, found, plan)
    changes = error is None and not request.options.dry_run
    found = found._replace(sizes=planned_sizes(request, found, plan, changes=changes))
    if rehearse is not None:
        return _rehearsed(request, found, plan, transaction, rehearse=rehearse, error=error)
    if error is None and request.options.export is not None:
        from . import copies  # only where what goes is exported first

        plan = copies.made(request, plan, request.options.export)
    if error is not None or request.options.dry_run or not (plan.closing or plan.deferred or plan.tidying):
        restart = foreseen(request.runtime, _routes(found, plan, error), usable=found.view.usable)
        return summary.of(request, found, plan, transaction, restart=restart, error=error)
    from .take_out import Closing  # what changes a store is not loaded to look at one

    return Closing(request, found, plan, transaction)


def _routes(found: Look, plan: Plan, error: CloserError | None) -> set[Route]:
    """Return the routes by which a plan takes entries out of file stores, none where an error ends it."""
    going = plan.closing if error is None else ()
    return {row.route for row in going if found.stores[row.agent].traits.restarts}


def _most(request: Request) -> float:
    """Return how many sessions a plan may be of that is made of all stores at once."""
    if request.rules is None:
        return math.inf
    from . import by_store  # only a policy goes from store to store

    return by_store.MOST if by_store.is_possible(request) else math.inf


def _note_absent(request: Request, found: Look) -> None:
    """Warn of a session that was named to be spared or to go last, and is not there."""
    if request.options.own or (request.rules is not None and request.rules.active):
        from . import own  # few runs name one

        own.note_absent(request, found)


def _by_store(request: Request, settle: Callable[[str], None] | None, transaction: Transaction) -> Report | Closing:
    """Return the same of a cleanup of more sessions than there is to be room for."""
    from . import by_store  # few stores are so large

    ahead = by_store.look(request, settle)
    if not request.options.dry_run:
        _put_away_leftovers(request, ahead.found)
    _note_absent(request, ahead.found)
    ahead = ahead._replace(plan=ahead.plan._replace(chores=_chores(request, ahead.found.stores, by_store.read_again)))
    error = obstacles.in_the_way(request, ahead.found, ahead.counts, ahead.plan.tidying, ahead.written)
    if error is not None or request.options.dry_run or not (ahead.counts or ahead.plan.tidying):
        return by_store.told(request, ahead, transaction, error)
    from .take_out import Closing  # what changes a store is not loaded to look at one

    return Closing(request, ahead.found._replace(snapshots={}), ahead.plan, transaction, by_store.Awaited(ahead.going))


def _rehearsed(
    request: Request,
    found: Look,
    plan: Plan,
    transaction: Transaction,
    *,
    rehearse: Rehearse,
    error: CloserError | None,
) -> Report:
    """Return the report of a dry run that asked no gateway, with how the rehearsal of its plan ended."""
    ended = rehearse(request, plan) if error is None else None
    restart = nothing_to_restart(request.gateway)
    report = summary.of(request, found, plan, transaction, restart=restart, error=error)
    return report._replace(rehearsal=ended, gateway=None)


def _resolved(request: Request, found: Look) -> Wish:
    """Return the wish with session ids taken for the sessions that have them, or had them when a run closed them."""
    snapshots = found.snapshots
    targets = [
        ids.resolved(target, snapshots[target.agent]) if target.agent in snapshots else target
        for target in request.wish.targets
    ]
    lost = {
        (target.agent, target.given)
        for target in targets
        if target.agent in snapshots
        and ids.is_beginning(target.given)
        and not planning.is_there(target, snapshots[target.agent])
    }
    keys_of = closed.closed_ids(request.runtime.root, lost) if lost else {}
    return request.wish._replace(
        targets=tuple(
            target._replace(candidates=known[:1], session_id=known[1])
            if (known := keys_of.get((target.agent, target.given))) is not None
            else target
            for target in targets
        )
    )


def _finish_interrupted(request: Request) -> list[str]:
    """Finish what interrupted runs have left, as far as it concerns the wish; return a line for each of them."""
    runtime, wish = request.runtime, request.wish
    # One run that is damaged must not keep all agents from being cleaned.
    concerned = [] if wish.rules is not None and not wish.agent else wish.agents()
    left = history.interrupted(runtime.root) if wish.only_warns() else runtime.check_unfinished(concerned)
    if request.options.dry_run:
        request.warn(*left)
    elif history.open_runs(runtime.root) or history.unborn_runs(runtime.root):
        from . import recover

        request.warn(*recover.recover(runtime, concerned))
    return left


def _settle(request: Request, agent: str) -> None:
    """Finish what is still left of one agent by interrupted runs; raise why it cannot be."""
    request.runtime.check_unfinished([agent])
    if not request.options.dry_run:
        from . import recover  # what changes a store is not loaded to look at one

        if recover.pending(request.runtime, agent):
            request.warn(*recover.recover(request.runtime, [agent]))


def _put_away_leftovers(request: Request, found: Look) -> None:
    """Remove what a killed run has left beside a store, which may be as large as the store."""
    for store in found.stores.values():
        if store.has_leftovers() and request.runtime.unwritable([store.place]) is None:
            from . import hold

            hold.put_away_leftovers(request.runtime, store)


def _chores(
    request: Request, stores: Mapping[str, Store], snapshot_of: Callable[[Store], Snapshot]
) -> dict[str, Chores]:
    """Return what a policy finds among the files of each store, by agent; what stays for good is said."""
    rules = request.rules
    if rules is None or (rules.policy.orphans is None and rules.policy.expire_archives is None):
        return {}
    from . import strays  # only a cleanup looks at files without a session

    made: dict[str, Chores] = {}
    for agent, store in stores.items():
        of_it = made[agent] = strays.look(request, store, snapshot_of(store), made)
        if of_it.history:
            what = f"{of_it.history} transcript files of agent {agent} are from before its database"
            request.warn(f"{what}: left as they are")
        if of_it.expired and not store.traits.loose_files:
            what = f"OpenClaw keeps deleted transcripts of agent {agent} in its database, too"
            request.warn(f"{what}, which is not touched")
    return made
