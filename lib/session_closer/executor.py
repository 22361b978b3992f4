"""Carry out a wish: find out, decide, and only then change anything; one store at a time, one restart at the end."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from . import archiving, closing, commit, home, journal, keys, locks, names, planning, recovery, stores, summary
from .errors import (
    Busy,
    ChangedUnderneath,
    CloserError,
    GatewayNeeded,
    Interrupted,
    Refused,
    StorageFailed,
)
from .files import Disk
from .gateway import handoff, sessions
from .gateway.restart import BY_HAND, restart
from .home import Home
from .model import Life, Options, Plan, PlannedRow, Report, RestartResult, Route, Snapshot, Status, Wish
from .planning import Choices
from .record import RestartRecord, with_store
from .report import result as result_row
from .run import Run
from .work import Work, prepare, settled

_ONCE_MORE = "run the same command again: it finishes what was begun"


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
    _check_place(where, wish)
    gateway = sessions.meet(where, looking_only=options.dry_run)
    run = Run(where, wish, options, disk or Disk(), tell, progress, gateway)
    try:
        return _perform(run)
    except OSError as problem:
        raise _storage(problem, where) from None
    finally:
        run.gateway.close()
        if run.journal is not None:
            run.journal.release()


def _storage(problem: OSError, where: Home) -> StorageFailed:
    return StorageFailed(
        f"{problem.filename or where.state}: {problem.strerror or problem}", f"mend that, then {_ONCE_MORE}"
    )


def _check_place(where: Home, wish: Wish) -> None:
    if not os.path.isdir(where.state):
        raise Refused(
            f"there is no state directory {where.state} ({where.said})", "--state-dir DIR", name="no_state_dir"
        )
    for folder in journal.folders(where.state):
        if os.path.islink(folder):
            raise Refused(f"{folder} is a link to {os.path.realpath(folder)}", "replace it by a folder", name="link")
    places = [path for agent in wish.agents() for path in (where.folder(agent), where.index(agent))]
    home.check_owner(where, [*places, *(os.path.dirname(path) for path in places), journal.root(where.state)])
    root = os.path.join(where.state, "agents")
    for agent in wish.agents():
        folder = os.path.realpath(where.folder(agent))
        if os.path.commonpath([os.path.realpath(root), folder]) != os.path.realpath(root):
            raise Refused(f"the sessions of agent {agent} are in {folder}, outside {root}", "work there", name="link")


def _perform(run: Run) -> Report:
    if run.options.dry_run:
        run.warn(*recovery.interrupted(run.home))
    else:
        run.warn(*recovery.recover(run.home, run.disk, lambda: _owed_restart(run)))
    for agent in run.wish.agents():
        store = stores.detect(run.home, agent)
        if store is None:
            run.snapshots[agent] = Snapshot(agent, run.home.index(agent), run.home.folder(agent), {})
        else:
            run.stores[agent] = store
            run.snapshots[agent] = store.read()
    run.view = sessions.view(run.gateway, run.wish.agents())
    stamp = names.free_stamp(journal.now(), (name for found in run.snapshots.values() for name in found.files))
    plan = _decide(run, run.snapshots, stamp)
    error = _refusal(run, plan)
    if error is not None or run.options.dry_run or not plan.closing:
        return summary.of(run, plan, _nothing_to_restart(run), error)
    return _change(run, plan)


def _nothing_to_restart(run: Run) -> RestartResult:
    down = run.gateway.found.life is Life.DOWN
    return RestartResult(result="nothing-to-restart" if down else "not-needed")


def _decide(
    run: Run, snapshots: dict[str, Snapshot], stamp: str, only: frozenset[tuple[str, str]] | None = None
) -> Plan:
    choices = Choices(run.options.force, run.options.via, stamp, only)
    if run.wish.keep:
        assert run.wish.agent is not None
        return planning.keep_only(run.wish.targets, snapshots[run.wish.agent], run.view, choices)
    targets = [target for target in run.wish.targets if target.agent in snapshots]
    plan = planning.close(targets, snapshots, run.view, choices)
    absent = [row for row in plan.rows if row.status is Status.NOT_FOUND]
    wanted = [(row.agent, key) for row in absent for key in run.wish.candidates(row.given, row.agent)]
    # A dry run must know what the real run will have rolled forward.
    before = journal.closed_before(run.home.state, wanted, unfinished=run.options.dry_run) if wanted else {}
    return replace(plan, rows=tuple(_remembered(run, row, before) for row in plan.rows))


def _remembered(run: Run, row: PlannedRow, before: dict[tuple[str, str], str]) -> PlannedRow:
    """Return an absent row as what it is: closed by an earlier run, or never seen."""
    if row.status is not Status.NOT_FOUND:
        return row
    for key in run.wish.candidates(row.given, row.agent):
        if (row.agent, key) in before:
            return replace(row, key=key, status=Status.ALREADY_CLOSED)
    return replace(row, hint=planning.did_you_mean(row, run.snapshots[row.agent]))


def _refusal(run: Run, plan: Plan) -> CloserError | None:
    """Return why the whole run may not go on, None where it may."""
    unknown = [row.given for row in plan.rows if row.status is Status.NOT_FOUND]
    if run.wish.keep and unknown:
        return Refused(
            f"nothing was changed: not found in agent {run.wish.agent}: {', '.join(map(keys.plain, unknown))}",
            "name sessions that are there; see them with: openclaw sessions",
            name="unknown_name",
        )
    count = len(plan.closing)
    if count == 0:
        return None
    if count > run.options.limit and not run.options.yes:
        what = f"{count} sessions would be closed, more than --max {run.options.limit}"
        return Refused(what, run.options.again, name="too_many")
    return _gateway_refusal(run)


def _gateway_refusal(run: Run) -> CloserError | None:
    options, gateway, life = run.options, run.gateway, run.gateway.found.life
    # A dry run starts no openclaw, so it cannot tell whether that way in would work.
    untried = options.dry_run and life is Life.UP and bool(gateway.command().words)
    if options.via == "gateway" and not gateway.usable and not untried:
        why = gateway.notes[-1] if gateway.notes else f"no gateway of {run.home.state} answers"
        return GatewayNeeded(why, "openclaw gateway start, or leave out --via gateway")
    if life is Life.UNKNOWN and options.via != "files":
        return GatewayNeeded(
            f"whether a gateway serves {run.home.state} cannot be told: {'; '.join(gateway.result().evidence)}",
            "openclaw gateway status; if it is another's: --via files",
        )
    return None


def _change(run: Run, plan: Plan) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    rows: list[PlannedRow] = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE]
    result = _nothing_to_restart(run)
    try:
        for agent in sorted({row.agent for row in plan.closing}):
            rows += _change_store(run, agent, plan)
        result = _restart_once(run)
        return _end(run, replace(plan, rows=tuple(rows)), result)
    except (Busy, ChangedUnderneath, Refused) as problem:
        error: CloserError = problem
    except OSError as problem:
        error = StorageFailed(
            f"{problem.filename or run.home.state}: {problem.strerror}", f"mend that, then {_ONCE_MORE}"
        )
    except KeyboardInterrupt:
        error = Interrupted("interrupted", _ONCE_MORE)
    # The journal stays open: the next changing command finishes the run.
    reached = {(row.agent, row.key) for work in run.works for row in work.rows}
    left = [row for row in plan.closing if (row.agent, row.key) not in reached]
    rows += [replace(row, status=Status.FAILED, hint="not reached") for row in left]
    return summary.of(run, replace(plan, rows=tuple(rows)), result, error)


def _change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    with ExitStack() as held:
        for folder in sorted({store.place, store.folder}):
            if os.path.isdir(folder):
                held.enter_context(locks.folder(folder))
        stamp = names.free_stamp(journal.now(), [*_listed(store.place), *_listed(store.folder)])
        place = commit.Place(store.index, agent, names.backup_name(stamp), lambda _: None, run.warn)
        commit.clean(run.disk, place)
        plan = _decide_again(run, agent, store.read(), stamp, first)
        run.warn(*plan.warnings)
        if plan.closing:
            _close(run, agent, list(plan.closing), stamp)
        return [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in first.rows]


def _close(run: Run, agent: str, rows: list[PlannedRow], stamp: str) -> None:
    store = run.stores[agent]
    assert store.document is not None
    record = prepare(run.disk, store, rows, stamp)
    run.note(record)
    work = Work(store, rows, record, run.note, store.document)
    run.works.append(work)
    if any(row.route is Route.GATEWAY for row in rows):
        run.tell(f"closing {len(rows)} of agent {agent} through the gateway; receipt {run.receipt}")
        closing.through_gateway(run.disk, work, run.gateway, run.progress, fall_back=run.options.via == "auto")
    closing.through_files(run.disk, work, run.gateway.found.life)


def _decide_again(run: Run, agent: str, snapshot: Snapshot, stamp: str, first: Plan) -> Plan:
    """Decide again for one store: only what the first plan closed may be closed, however the store has changed."""
    before = [row for row in first.closing if row.agent == agent]
    plan = _decide(run, {agent: snapshot}, stamp, frozenset((row.agent, row.key) for row in before))
    named = {row.given for row in before}
    absent = (Status.NOT_FOUND, Status.ALREADY_CLOSED)
    rows = tuple(row for row in plan.rows if row.status not in absent or row.given not in named)
    vanished = tuple(
        replace(row, status=Status.ALREADY_CLOSED, moves=()) for row in before if row.key not in snapshot.sessions
    )
    return replace(plan, rows=(*rows, *vanished))


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _restart_once(run: Run) -> RestartResult:
    found, wanted = run.gateway.found, run.options.restart
    if found.life is Life.DOWN:
        if wanted == "always":
            run.warn("there is no gateway to restart")
        return _nothing_to_restart(run)
    needed = any(work.edited for work in run.works)
    if not needed and (wanted != "always" or not run.works):
        return _nothing_to_restart(run)
    if wanted == "never":
        run.warn(f"the running gateway was not restarted (--restart never); by hand: {BY_HAND}")
        return RestartResult(needed, None, "left-out")
    if found.life is Life.UNKNOWN:
        run.warn("no gateway of this state directory is proven, so none was restarted")
        return RestartResult(needed, None, "not-proven")
    assert run.record is not None
    assert run.journal is not None
    run.record = replace(run.record, restart=RestartRecord(needed=True))
    run.journal.write(run.record)
    if handoff.below(found.pid):
        return RestartResult(
            True, None, "handed-off", "this runs below the gateway, so a process of its own restarts it"
        )
    run.tell(f"restarting the gateway, process {found.pid}; receipt {run.receipt}")
    run.gateway.leave()
    result = restart(run.home, found)
    for work in run.works:
        if work.edited:
            with locks.folder(work.store.place):
                archiving.look_after_restart(run.disk, work)
    return result


def _owed_restart(run: Run) -> RestartRecord:
    """Restart the gateway for an interrupted run that edited a store below it."""
    if run.gateway.found.life is not Life.UP or run.options.restart == "never":
        return RestartRecord(needed=run.gateway.found.life is not Life.DOWN, result="nothing-to-restart")
    if handoff.below(run.gateway.found.pid):
        run.warn(f"an interrupted run owes the gateway a restart, which would end this command; later: {BY_HAND}")
        return RestartRecord(needed=True, result="left-out")
    result = restart(run.home, run.gateway.found)
    run.gateway.leave()
    if result.ok:
        run.gateway = sessions.meet(run.home, looking_only=False)
    else:
        run.warn(f"the gateway was not restarted: {result.detail}")
    return RestartRecord(True, bool(result.ok), result.result, result.detail)


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
        last = with_store(last, settled(work))
    recorded = {(store.agent, session.key) for store in last.stores for session in store.sessions}
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(result_row(row, missing_ok=run.options.missing_ok) for row in others)
    last = replace(last, results=rows)
    if result.result == "handed-off":
        run.journal.write(last)
        handoff.start(run.home, run.journal, last.id)
        return report
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    run.journal.finish(replace(last, restart=owed, state="done", finished_at=locks.iso_now()))
    return report
