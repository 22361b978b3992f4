"""Carry out a wish: find out, decide, and only then change anything; one store at a time, one restart at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from ..artifacts.measuring import Hash
from ..core import escape, keys, names
from ..core.errors import CloserError, GatewayNeeded, Refused
from ..core.model import Life, Plan, Snapshot, Status
from ..core.report import Report
from ..core.wish import Options, Wish
from ..journal import history
from ..journal.stopped import storage
from ..openclaw import access, migration, owner, stores, writable
from ..openclaw.files.store import FileStore
from ..openclaw.gateway import client, connection
from ..openclaw.home import Home
from ..openclaw.installation import Installation
from ..ports.context import Console, Context
from ..ports.store import Store
from ..system import flock
from ..system.disk import Disk
from . import summary
from .decide import decide, nothing_to_restart
from .run import Run, begun

# Nobody is told to start what runs, or may run.
_FIRST = {
    Life.DOWN: "openclaw gateway start",
    Life.UP: "openclaw gateway status",
    Life.UNKNOWN: "openclaw gateway status",
}


def execute(
    where: Home,
    wish: Wish,
    options: Options,
    *,
    disk: Disk | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Return the report of a run; CloserError where it ends before there is a plan."""
    # One store of all that cannot be read must not keep the others from being cleaned.
    access.check_place(where, wish.agents() if wish.rules is None or wish.agent else [])
    gateway = connection.meet(where, looking_only=options.dry_run)
    context = Context(options, disk or Disk(), Console(tell, progress))
    run = begun(Installation(where, context, gateway), wish)
    try:
        return _perform(run)
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        run.gateway.close()
        run.transaction.release()


def _perform(run: Run) -> Report:
    run.warn(*owner.exposure(run.home, history.folders(run.home.state)))
    # One run that is damaged must not keep all agents from being cleaned.
    every = run.wish.rules is not None and not run.wish.agent
    concerned = [] if every else run.wish.agents()
    warns = run.wish.only_warns()
    left = history.interrupted(run.home.state) if warns else access.check_unfinished(run.home, concerned)
    if run.options.dry_run:
        run.warn(*left)
    elif history.open_runs(run.home.state) or history.unborn_runs(run.home.state):
        from . import recover  # what changes a store is not loaded to look at one

        run.warn(*recover.recover(run.here, concerned))
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
        there = ", ".join(run.home.agents()) or "none"
        run.warn(f"agent {run.wish.agent} has no sessions here; agents: {there}")
    if not run.options.dry_run:
        _put_away_leftovers(run)
    _note_absent(run)
    databases = any(store.era == "sqlite" for store in run.stores.values())
    run.view = client.view(run.gateway, run.wish.agents(), by_command=databases)
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
    access.check_unfinished(run.home, [agent])
    if not run.options.dry_run:
        from . import recover

        if recover.pending(run.home, agent):
            run.warn(*recover.recover(run.here, [agent]))


def _put_away_leftovers(run: Run) -> None:
    """Remove what a killed run has left beside a store, which may be as large as the store."""
    for agent, store in run.stores.items():
        left = [os.path.lexists(store.index + ending) for ending in (names.FRESH, names.SWAP)]
        if store.era == "files" and any(left) and writable.refusal(run.home, [store.place]) is None:
            from . import hold

            hold.put_away_leftovers(run.here, agent)


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
        owner.check_folders(run.home, [agent])
    store = stores.detect(run.home, agent)
    if store is None:
        run.snapshots[agent] = Snapshot(agent, run.home.index(agent), run.home.folder(agent), {})
        return
    snapshot = store.read()
    run.stores[agent], run.snapshots[agent] = store, snapshot
    if isinstance(store, FileStore) and store.document is not None and not run.options.dry_run:
        run.hashes[agent] = Hash(store.document.raw)
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
        rows = [row for row in plan.closing if row.agent == agent and (row.moves or store.era != "files")]
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
        if found.expired and store.era == "sqlite":
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
    eras = {row.agent: run.stores[row.agent] for row in (*plan.closing, *plan.deferred)}
    closing = list(eras.values())
    problem = (_store_refusal(run, closing) or _gateway_refusal(run, closing)) if count else None
    return problem or writable.refusal(run.home, _written(run, plan))


def _written(run: Run, plan: Plan) -> Iterator[str]:
    """Give the folders that a plan changes."""
    for row in (*plan.closing, *plan.deferred):
        store = run.stores[row.agent]
        if store.era == "files":
            yield store.place
            # A session without a file may be of an agent without a folder.
            if any("/" not in move.source for move in row.moves):
                yield store.folder
    for agent, found in run.chores.items():
        store = run.stores[agent]
        if found.orphans or found.expired:
            yield from (store.place, store.folder) if store.era == "files" else (store.folder,)


def _store_refusal(run: Run, closing: Sequence[Store]) -> CloserError | None:
    """Return why the stores to be changed do not take what was asked."""
    for store in closing:
        if (unlockable := flock.unlockable(store.place)) is not None:
            return unlockable
        if store.era == "sqlite" and run.options.via == "files":
            return Refused(
                f"agent {store.agent} keeps its sessions in SQLite ({store.index}), which only its gateway may change",
                "leave out --via files",
                name="sqlite_store",
            )
        if store.era == "files" and run.options.archive:
            return Refused(
                f"agent {store.agent} keeps its sessions in a file ({store.index}), which knows no archived ones",
                "leave out --archive: a close archives the transcript, and can be undone",
                name="no_archive",
            )
        if store.era == "files" and (found := migration.owed(run.here, store)) is not None:
            return found
    return None


def _gateway_refusal(run: Run, closing: Sequence[Store]) -> CloserError | None:
    options, gateway, life = run.options, run.gateway, run.gateway.found.life
    # A dry run starts no openclaw, so it cannot tell whether that way in would work.
    untried = options.dry_run and life is Life.UP and run.home.url is None and bool(gateway.command().words)
    if options.via == "gateway" and not gateway.usable and not untried:
        why = gateway.notes[-1] if gateway.notes else f"no gateway of {run.home.state} answers"
        return GatewayNeeded(why, f"{_FIRST[life]}, or leave out --via gateway")
    databases = [store.agent for store in closing if store.era == "sqlite"]
    if untried and not gateway.usable and (databases or options.via == "gateway"):
        run.warn("a dry run starts no openclaw, so whether that command may close sessions was not tried")
    if databases and not gateway.usable and not untried:
        why = gateway.notes[-1] if gateway.notes else f"no gateway of {run.home.state} answers"
        return GatewayNeeded(
            f"the sessions of agent {databases[0]} are in SQLite, which only a gateway may change: {why}",
            _FIRST[life] if life is Life.UP else f"{_FIRST[life]}, or --url and --token-file",
        )
    bypassed = life is Life.UP and not gateway.usable and not untried
    if bypassed and options.via == "auto" and not gateway.can_restart:
        why = gateway.notes[-1] if gateway.notes else f"the gateway of {run.home.state} lets us close no session"
        return GatewayNeeded(
            f"{why}; its process is not known here, so it could not be restarted after an edit of the file",
            "leave out --url, so that the openclaw command is asked, or stop that gateway first"
            if run.home.url is not None
            else "stop that gateway first",
        )
    if life is Life.UNKNOWN and options.via != "files":
        return GatewayNeeded(
            f"whether a gateway serves {run.home.state} cannot be told: {'; '.join(gateway.result().evidence)}",
            "openclaw gateway status; if it is another's: --via files",
        )
    return None
