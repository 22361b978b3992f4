"""Carry out a wish: find out, decide, and only then change anything; store by store, one restart at the end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace

from . import __version__, closing, commit, home, journal, locks, names, planning, recovery, stores
from .errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded, Interrupted, Refused, StorageFailed
from .files import Disk
from .gateway import handoff, sessions
from .gateway.restart import BY_HAND, restart
from .gateway.sessions import Gateway
from .home import Home
from .keys import Target
from .model import (
    GatewayView,
    Life,
    Outcome,
    Plan,
    PlannedRow,
    Report,
    RestartResult,
    Route,
    Snapshot,
    Status,
    StoreResult,
)
from .planning import Choices
from .record import RestartRecord, RunRecord, StoreRecord, with_store
from .stores.files import FileStore

FINE = frozenset({Status.CLOSED, Status.WOULD_CLOSE, Status.ALREADY_CLOSED})


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked: `keep` turns the targets into the ones that stay."""

    operation: str
    targets: tuple[Target, ...]
    keep: bool = False
    agent: str | None = None

    def agents(self) -> list[str]:
        """Return the agents concerned, in order."""
        return sorted({target.agent for target in self.targets} | ({self.agent} if self.agent else set()))


@dataclass(frozen=True, slots=True)
class Options:
    """How it was asked; `again` is the command line, for the next command in a message."""

    dry_run: bool = False
    force: bool = False
    yes: bool = False
    limit: int = 100
    via: str = "auto"
    restart: str = "auto"
    reason: str | None = None
    missing_ok: bool = False
    again: tuple[str, ...] = ()


@dataclass(slots=True)
class Run:
    """One run as it goes on."""

    home: Home
    wish: Wish
    options: Options
    disk: Disk
    tell: Callable[[str], None]
    stores: dict[str, FileStore] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    works: list[closing.Work] = field(default_factory=list)
    record: RunRecord | None = None
    journal: journal.Journal | None = None


def execute(
    where: Home,
    wish: Wish,
    options: Options,
    *,
    disk: Disk | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Report:
    """Return the report of a run; CloserError where it ends before a plan exists."""
    run = Run(where, wish, options, disk or Disk(), tell)
    _check_place(run)
    gateway = sessions.meet(where, looking_only=options.dry_run)
    try:
        return _with_gateway(run, gateway)
    finally:
        gateway.close()
        if run.journal is not None:
            run.journal.release()


def _check_place(run: Run) -> None:
    if not os.path.isdir(run.home.state):
        raise Refused(
            f"there is no state directory {run.home.state} ({run.home.said})",
            "--state-dir DIR",
            name="no_state_dir",
        )
    places = [path for agent in run.wish.agents() for path in (run.home.folder(agent), run.home.index(agent))]
    home.check_owner(
        run.home, [*places, *(os.path.dirname(path) for path in places), journal.root(run.home.state)]
    )
    root = os.path.realpath(os.path.join(run.home.state, "agents"))
    for agent in run.wish.agents():
        folder = os.path.realpath(run.home.folder(agent))
        if os.path.commonpath([root, folder]) != root:
            raise Refused(
                f"the sessions of agent {agent} are in {folder}, outside {root}", "work there", name="link"
            )


def _with_gateway(run: Run, gateway: Gateway) -> Report:
    if run.options.dry_run:
        run.warnings += recovery.interrupted(run.home)
    else:
        run.warnings += recovery.recover(run.home, run.disk, lambda: _owed_restart(run, gateway))
    for agent in run.wish.agents():
        store = stores.detect(run.home, agent)
        if store is not None:
            run.stores[agent] = store
        run.snapshots[agent] = (
            store.read() if store else Snapshot(agent, run.home.index(agent), run.home.folder(agent), {})
        )
    view = sessions.view(gateway, run.wish.agents())
    plan = _decide(run, run.snapshots, view, "")
    error = _refusal(run, plan, gateway)
    if error is not None or run.options.dry_run or not plan.closing:
        return _report(run, gateway, plan, [], RestartResult(), error)
    return _change(run, gateway, view, plan)


def _decide(run: Run, snapshots: dict[str, Snapshot], view: GatewayView, stamp: str) -> Plan:
    choices = Choices(run.options.force, run.options.via, stamp)
    if run.wish.keep:
        assert run.wish.agent is not None
        return planning.keep_only(run.wish.targets, snapshots[run.wish.agent], view, choices)
    plan = planning.close(
        [target for target in run.wish.targets if target.agent in snapshots], snapshots, view, choices
    )
    absent = [
        (row.agent, key)
        for row in plan.rows
        if row.status is Status.NOT_FOUND
        for key in _candidates(run, row)
    ]
    if not absent:
        return plan
    before = journal.closed_before(run.home.state, absent)
    return replace(plan, rows=tuple(_known(run, row, before) for row in plan.rows))


def _candidates(run: Run, row: PlannedRow) -> tuple[str, ...]:
    return next(t.candidates for t in run.wish.targets if (t.given, t.agent) == (row.given, row.agent))


def _known(run: Run, row: PlannedRow, before: dict[tuple[str, str], str]) -> PlannedRow:
    if row.status is not Status.NOT_FOUND:
        return row
    for key in _candidates(run, row):
        if (row.agent, key) in before:
            return replace(row, key=key, status=Status.ALREADY_CLOSED)
    return replace(row, hint=planning.did_you_mean(row, run.snapshots[row.agent]))


def _refusal(run: Run, plan: Plan, gateway: Gateway) -> CloserError | None:
    """Return why the whole run may not go on, None where it may."""
    options = run.options
    if run.wish.keep and any(row.status is Status.NOT_FOUND for row in plan.rows):
        unknown = ", ".join(row.given for row in plan.rows)
        return Refused(
            f"nothing was changed: not found in agent {run.wish.agent}: {unknown}",
            "name sessions that are there; see them with: openclaw sessions",
            name="unknown_name",
        )
    count = len(plan.closing)
    if count == 0:
        return None
    life = gateway.found.life
    if options.via == "gateway" and not gateway.usable and not (options.dry_run and life is Life.UP):
        why = gateway.notes[-1] if gateway.notes else f"no gateway of {run.home.state} answers"
        return GatewayNeeded(why, "openclaw gateway start, or leave out --via gateway")
    if life is Life.UNKNOWN and options.via != "files":
        return GatewayNeeded(
            f"whether a gateway serves {run.home.state} cannot be told: {'; '.join(gateway.result().evidence)}",
            "openclaw gateway status; if it is another's: --via files",
        )
    if count > options.limit and not options.yes:
        again = shlex.join([*options.again, "--yes"])
        return Refused(
            f"{count} sessions would be closed, more than --max {options.limit}", again, name="too_many"
        )
    return None


def _change(run: Run, gateway: Gateway, view: GatewayView, plan: Plan) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    changed: list[PlannedRow] = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE]
    result = RestartResult()
    error: CloserError | None = None
    try:
        for agent in sorted({row.agent for row in plan.closing}):
            changed += _change_store(run, gateway, view, agent, plan)
        result = _restart_once(run, gateway)
    except (Busy, ChangedUnderneath, Refused) as problem:
        error = problem
    except OSError as problem:
        error = StorageFailed(
            f"{problem.filename or run.home.state}: {problem.strerror}",
            "mend that, then run the same command again: it finishes what was begun",
        )
    except KeyboardInterrupt:
        error = Interrupted("interrupted", "run the same command again: it finishes what was begun")
    if error is not None:
        reached = {(work.store.agent, row.key) for work in run.works for row in work.rows}
        left = [row for row in plan.closing if (row.agent, row.key) not in reached]
        changed += (
            [replace(row, status=Status.FAILED, hint="not reached") for row in left] if run.works else left
        )
        return _report(run, gateway, replace(plan, rows=tuple(changed)), run.works, result, error)
    return _end(run, gateway, replace(plan, rows=tuple(changed)), result)


def _change_store(run: Run, gateway: Gateway, view: GatewayView, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    with ExitStack() as held:
        for folder in sorted({store.place, store.folder}):
            if os.path.isdir(folder):
                held.enter_context(locks.folder(folder))
        stamp = names.free_stamp(journal.now(), [*_listed(store.place), *_listed(store.folder)])
        backup = names.backup_name(stamp)
        place = commit.Place(store.index, agent, backup, lambda _: None, run.warnings.append)
        commit.clean(run.disk, place)
        snapshot = store.read()
        plan = _decide_one(run, agent, snapshot, view, stamp, first)
        run.warnings += [warning for warning in plan.warnings if warning not in run.warnings]
        rows = list(plan.closing)
        if rows:
            record = closing.prepare(run.disk, store, rows, stamp)
            _note(run, record)
            work = closing.Work(store, rows, record, lambda changed: _note(run, changed))
            run.works.append(work)
            if any(row.route is Route.GATEWAY for row in rows):
                run.tell(f"closing {len(rows)} of agent {agent} through the gateway; receipt {_receipt(run)}")
                closing.through_gateway(run.disk, work, gateway, fall_back=run.options.via == "auto")
            closing.through_files(run.disk, work, gateway.found.life)
            _note(run, closing.settled(work))
        return [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in first.rows]


def _decide_one(run: Run, agent: str, snapshot: Snapshot, view: GatewayView, stamp: str, first: Plan) -> Plan:
    """Decide again for one store: only what the first plan closed may be closed, however the store has changed."""
    plan = _decide(run, {agent: snapshot}, view, stamp)
    allowed = {row.key for row in first.closing if row.agent == agent}
    named = {row.given for row in first.closing}
    rows = tuple(
        row
        for row in plan.rows
        if (row.status is not Status.WOULD_CLOSE or row.key in allowed)
        and not (row.status in (Status.NOT_FOUND, Status.ALREADY_CLOSED) and row.given in named)
    )
    gone = allowed - {row.key for row in rows} - set(snapshot.sessions)
    vanished = tuple(
        replace(row, status=Status.ALREADY_CLOSED, hint="somebody else closed it in this moment")
        for row in first.closing
        if row.agent == agent and row.key in gone
    )
    return replace(plan, rows=(*rows, *vanished))


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _note(run: Run, store: StoreRecord) -> None:
    """Write the journal: before the first change of a store, and whenever a name in it changes."""
    if run.record is None or run.journal is None:
        moment = journal.now()
        run.record = RunRecord(
            id=journal.new_id(moment),
            operation=run.wish.operation,
            tool=__version__,
            started_at=locks.iso_now(),
            state_dir=run.home.state,
            by={"uid": os.getuid(), "pid": os.getpid(), "host": os.uname().nodename},
            reason=run.options.reason,
            stores=(store,),
        )
        run.journal = journal.Journal(run.disk, run.home.state, run.record.id)
        run.journal.begin(run.record)
        return
    run.record = with_store(run.record, store)
    run.journal.write(run.record)


def _receipt(run: Run) -> str | None:
    return journal.receipt_path(run.home.state, run.record.id) if run.record else None


def _restart_once(run: Run, gateway: Gateway) -> RestartResult:
    needed = any(work.edited for work in run.works) and gateway.found.life is not Life.DOWN
    wanted = run.options.restart
    if wanted == "always" and gateway.found.life is Life.DOWN:
        run.warnings.append("there is no gateway to restart")
        return RestartResult(False, None, "nothing-to-restart")
    if not (needed or (wanted == "always" and run.works)):
        return RestartResult(
            False, None, "nothing-to-restart" if gateway.found.life is Life.DOWN else "not-needed"
        )
    if wanted == "never":
        run.warnings.append(f"the running gateway was not restarted (--restart never); by hand: {BY_HAND}")
        return RestartResult(needed, None, "left-out")
    if gateway.found.life is Life.UNKNOWN:
        run.warnings.append("no gateway of this state directory is proven, so none was restarted")
        return RestartResult(needed, None, "not-proven")
    assert run.record is not None
    assert run.journal is not None
    run.record = replace(run.record, restart=RestartRecord(needed=True))
    run.journal.write(run.record)
    if handoff.below(gateway.found.pid):
        return RestartResult(
            True, None, "handed-off", "this runs below the gateway: a process of its own restarts it"
        )
    run.tell(f"restarting the gateway, process {gateway.found.pid}; receipt {_receipt(run)}")
    gateway.close()
    gateway.links.clear()
    result = restart(run.home, gateway.found)
    for work in run.works:
        _verify_after(run, work)
    return result


def _verify_after(run: Run, work: closing.Work) -> None:
    """A gateway may write its last image while it stops: look once more."""
    if work.edited:
        with locks.folder(work.store.place):
            closing.look_after_restart(run.disk, work)


def _owed_restart(run: Run, gateway: Gateway) -> RestartRecord:
    """Restart the gateway for an interrupted run that edited a store below it."""
    if gateway.found.life is not Life.UP or run.options.restart == "never":
        return RestartRecord(needed=gateway.found.life is not Life.DOWN, result="nothing-to-restart")
    result = restart(run.home, gateway.found)
    gateway.close()
    gateway.links.clear()
    if result.ok:
        fresh = sessions.meet(run.home, looking_only=False)
        gateway.found, gateway.links, gateway.notes = fresh.found, fresh.links, fresh.notes
    else:
        run.warnings.append(f"the gateway was not restarted: {result.detail}")
    return RestartRecord(True, bool(result.ok), result.result, result.detail)


def _end(run: Run, gateway: Gateway, plan: Plan, result: RestartResult) -> Report:
    """Turn the journal into the receipt, or hand both to the process that restarts the gateway."""
    report = _report(run, gateway, plan, run.works, result, None)
    if run.record is None or run.journal is None:
        return report
    for work in run.works:
        run.record = with_store(run.record, closing.settled(work))
    last = replace(run.record, results=tuple(_plain(row) for row in report.results))
    if result.result == "handed-off":
        run.journal.write(last)
        handoff.start(run.home, run.journal, last.id, gateway.found)
        return report
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    last = replace(last, restart=owed, state="done", finished_at=locks.iso_now())
    run.journal.finish(last)
    return report


def _plain(row: Outcome) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if value not in (None, ())}


def _report(
    run: Run,
    gateway: Gateway,
    plan: Plan,
    works: Sequence[closing.Work],
    result: RestartResult,
    error: CloserError | None,
) -> Report:
    done = {(row.agent, row.key): row for work in works for row in work.outcomes()}
    for work in works:
        run.warnings += [warning for warning in work.warnings if warning not in run.warnings]
    rows = [done.pop((row.agent, row.key), None) or _outcome(row) for row in plan.rows]
    results = sorted([*rows, *done.values()], key=_order(run))
    backups = {work.record.agent: os.path.join(work.store.place, work.record.backup) for work in works}
    found = tuple(
        StoreResult(agent, run.home.index(agent), store.era, backups.get(agent))
        for agent, store in run.stores.items()
    )
    warnings = (*run.warnings, *(warning for warning in plan.warnings if warning not in run.warnings))
    return Report(
        operation=run.wish.operation,
        dry_run=run.options.dry_run,
        stores=found,
        results=tuple(results),
        gateway=gateway.result(),
        restart=result,
        receipt=_receipt(run),
        warnings=warnings,
        kept=plan.kept,
        missing_ok=run.options.missing_ok,
        error=error,
    )


def _order(run: Run) -> Callable[[Outcome], tuple[int, str]]:
    place = {target.given: number for number, target in enumerate(run.wish.targets)}
    return lambda row: (place.get(row.given, len(place)), row.agent if row.given in place else "")


def _outcome(row: PlannedRow) -> Outcome:
    fine = row.status in FINE
    return Outcome(
        row.given,
        row.agent,
        row.key,
        row.status,
        row.reason,
        session_id=row.session.session_id if row.session else None,
        route=row.route if row.status is Status.WOULD_CLOSE else None,
        archives=tuple(move.target for move in row.moves),
        error=None if fine else row.hint or None,
    )
