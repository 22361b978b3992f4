"""Carry out a wish: find out, decide, and only then change anything; one store at a time, one restart at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..core import escape, keys, names
from ..core.errors import CloserError, Refused
from ..core.model import Plan, Route, Status
from ..core.report import Report
from ..core.wish import Options, Wish
from ..journal import history
from ..journal.stopped import storage
from ..ports.context import Console, Context
from ..ports.store import Store
from ..system.disk import Disk
from . import runtimes, summary
from .decide import decide, nothing_to_restart
from .run import Run, begun


def execute(
    where: runtimes.Place,
    wish: Wish,
    options: Options,
    *,
    disk: Disk | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Return the report of a run; CloserError where it ends before there is a plan."""
    # One store of all that cannot be read must not keep the others from being cleaned.
    runtimes.check_place(where, wish.agents() if wish.rules is None or wish.agent else [])
    context = Context(options, disk or Disk(), Console(tell, progress))
    run = begun(runtimes.opened(where, context), wish)
    try:
        return _perform(run)
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        run.gateway.close()
        run.transaction.release()


def _perform(run: Run) -> Report:
    run.warn(*run.runtime.exposure())
    # One run that is damaged must not keep all agents from being cleaned.
    every = run.wish.rules is not None and not run.wish.agent
    concerned = [] if every else run.wish.agents()
    warns = run.wish.only_warns()
    left = history.interrupted(run.runtime.root) if warns else run.runtime.check_unfinished(concerned)
    if run.options.dry_run:
        run.warn(*left)
    elif history.open_runs(run.runtime.root) or history.unborn_runs(run.runtime.root):
        from . import recover  # what changes a store is not loaded to look at one

        run.warn(*recover.recover(run.runtime, concerned))
    for agent in run.wish.agents():
        try:
            if every and left and not warns:
                _settle(run, agent)
            _read(run, agent)
        except CloserError as problem:
            if run.wish.rules is None or run.wish.agent:
                raise
            if problem.name == "link":
                run.warn(f"{problem.message}: left out")
            else:
                run.unread[agent] = problem
    if run.wish.rules is not None and run.wish.agent and run.wish.agent not in run.stores:
        there = ", ".join(run.runtime.agents()) or "none"
        run.warn(f"agent {run.wish.agent} has no sessions here; agents: {there}")
    if not run.options.dry_run:
        _put_away_leftovers(run)
    _note_absent(run)
    by_command = any(Route.FILES not in store.traits.writers for store in run.stores.values())
    run.view = run.gateway.view(run.wish.agents(), by_command=by_command)
    run.stamp = names.free_stamp(history.now(), (name for found in run.snapshots.values() for name in found.taken))
    plan = decide(run, run.snapshots, run.stamp)
    _measure_planned(run, plan)
    _look_at_files(run)
    error = _refusal(run, plan)
    if error is not None or run.options.dry_run or not (plan.closing or plan.deferred or run.chores):
        return summary.of(run, plan, nothing_to_restart(run), error)
    from . import apply

    return apply.change(run, plan)


def _settle(run: Run, agent: str) -> None:
    """Finish what is still left of one agent by interrupted runs; raise why it cannot be."""
    run.runtime.check_unfinished([agent])
    if not run.options.dry_run:
        from . import recover

        if recover.pending(run.runtime, agent):
            run.warn(*recover.recover(run.runtime, [agent]))


def _put_away_leftovers(run: Run) -> None:
    """Remove what a killed run has left beside a store, which may be as large as the store."""
    for store in run.stores.values():
        if store.has_leftovers() and run.runtime.unwritable([store.place]) is None:
            from . import hold

            hold.put_away_leftovers(run.runtime, store)


def _note_absent(run: Run) -> None:
    """Warn of a session that was named to be spared or to go last, and is not there: a slip may have named it."""
    active = run.wish.rules.active if run.wish.rules is not None else ()
    for option, targets in (("--self", run.options.own), ("--active-key", active)):
        for target in targets:
            found = run.snapshots.get(target.agent)
            if found is not None and any(key in found.sessions for key in target.candidates):
                continue
            if (slip := keys.slip(target.given, target.agent)) is not None:
                raise slip
            if found is not None or option != "--self":  # else no session of that agent is closed
                run.warn(f"{option} {escape.plain(target.given)}: agent {target.agent} has no such session")


def _read(run: Run, agent: str) -> None:
    """Note an agent's store and what is in it."""
    if run.wish.rules is not None:
        run.runtime.check_folders([agent])
    store = run.runtime.detect(agent)
    if store is None:
        run.snapshots[agent] = run.runtime.absent(agent)
        return
    snapshot = store.read()
    run.stores[agent], run.snapshots[agent] = store, snapshot
    if not run.options.dry_run:
        store.warm()
    _measure(run, store)


def _measure(run: Run, store: Store) -> None:
    """Measure the sessions of a store, where a policy asks for it."""
    rules = run.wish.rules
    if rules is not None and rules.policy.max_disk is not None:
        snapshot = run.snapshots[store.agent]
        run.sizes[store.agent] = _known(store.sizes(list(snapshot.sessions.values()), snapshot))


def _known(sizes: dict[str, int | None]) -> dict[str, int]:
    return {key: size for key, size in sizes.items() if size is not None}


def _measure_planned(run: Run, plan: Plan) -> None:
    """Measure the sessions that a policy takes: what they weigh is shown."""
    rules = run.wish.rules
    if rules is None or rules.policy.max_disk is not None:
        return
    for agent, store in run.stores.items():
        # One without a file weighs nothing, and there are many.
        rows = [row for row in plan.closing if row.agent == agent and (row.moves or not store.traits.loose_files)]
        sessions_of_rows = [row.session for row in rows if row.session is not None]
        run.sizes[agent] = _known(store.sizes(sessions_of_rows, run.snapshots[agent]))


def _look_at_files(run: Run) -> None:
    """Note what a policy finds among the files of each store."""
    rules = run.wish.rules
    if rules is None or (rules.policy.orphans is None and rules.policy.expire_archives is None):
        return
    from . import cleanup  # only a cleanup looks at files without a session

    for agent, store in run.stores.items():
        found = cleanup.look(run, store, run.snapshots[agent])
        if found.history:
            what = f"{found.history} transcript files of agent {agent} are from before its database"
            run.warn(f"{what}: left as they are")
        if found.orphans or found.expired:
            run.chores[agent] = found
        if found.doubted:
            run.refused.append(cleanup.refused(agent, found))
        if found.expired and not store.traits.loose_files:
            run.warn(f"OpenClaw keeps deleted transcripts of agent {agent} in its database, too, which is not touched")


def _refusal(run: Run, plan: Plan) -> CloserError | None:
    """Return why the whole run may not go on, None where it may."""
    absent = [row for row in plan.rows if row.status is Status.NOT_FOUND]
    slips = filter(None, (keys.slip(row.given, row.agent) for row in absent if not run.options.late))
    if (slip := next(slips, None)) is not None:
        return slip
    unknown = [row.given for row in absent]
    if run.wish.keep and unknown:
        return Refused(
            f"nothing was changed: not found in agent {run.wish.agent}: {', '.join(map(escape.plain, unknown))}",
            f"name sessions that are there; see them with: {run.options.see} --agent {run.wish.agent}",
            name="unknown_name",
        )
    count = len(plan.closing) + len(plan.deferred)
    files = sum(len(found.orphans) + len(found.expired) for found in run.chores.values())
    if count + files > run.options.limit and not run.options.yes:
        what = f"{count} sessions would be closed" if not files else f"{count} sessions and {files} files would go"
        # Not the bare command: whoever types what an error ends with is to read this first.
        remedy = f"if all of them are meant: {run.options.again}"
        return Refused(f"{what}, more than --max {run.options.limit}", remedy, name="too_many")
    # Where openclaw.json says warn nothing is going to be changed, so nothing can be in the way.
    if count + files == 0 or run.wish.only_warns():
        return None
    closing = [run.stores[agent] for agent in dict.fromkeys(row.agent for row in (*plan.closing, *plan.deferred))]
    problem = run.runtime.refusal(closing) if count else None
    return problem or run.runtime.unwritable(_written(run, plan))


def _written(run: Run, plan: Plan) -> Iterator[str]:
    """Give the folders that a plan changes."""
    going = (*plan.closing, *plan.deferred)
    for agent in dict.fromkeys(row.agent for row in going):
        yield from run.stores[agent].written([row for row in going if row.agent == agent])
    for agent, found in run.chores.items():
        store = run.stores[agent]
        if found.orphans or found.expired:
            yield from (store.place, store.folder) if store.traits.loose_files else (store.folder,)
