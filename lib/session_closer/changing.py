"""Do what was decided: one store at a time under its lock, one journal for the run, one restart at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from . import __version__, archiving, closing, commit, history, journal, locks, names, recovery, summary
from .deciding import ONCE_MORE, decide, nothing_to_restart, storage
from .errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded, Interrupted, PartlyDone, Refused
from .gateway import handoff, sessions
from .gateway.restart import BY_HAND, restart
from .model import Life, Plan, PlannedRow, Report, RestartResult, Route, Snapshot, Status
from .record import RestartRecord, RunRecord, StoreRecord, with_store
from .report import result as result_row
from .run import Run
from .work import Work, prepare, settled

_ROUNDS = 5


def change(run: Run, plan: Plan) -> Report:
    """Do what was decided; every store is read and decided anew under its lock."""
    rows: list[PlannedRow] = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE]
    result = nothing_to_restart(run)
    try:
        for agent in sorted({row.agent for row in plan.closing}):
            seen = {(row.agent, row.key) for row in rows}
            rows += [row for row in _change_store(run, agent, plan) if (row.agent, row.key) not in seen]
        result = _restart_once(run)
        return _end(run, plan._replace(rows=tuple(rows)), result)
    except (Busy, ChangedUnderneath, Refused) as problem:
        # Exit 3 promises that nothing was changed.
        error: CloserError = PartlyDone(problem) if isinstance(problem, Refused) and run.works else problem
    except OSError as problem:
        error = storage(problem, run.home)
    except KeyboardInterrupt:
        error = Interrupted("interrupted", ONCE_MORE)
    # The journal stays open: the next changing command finishes the run.
    for work in run.works:
        work.give_up()
    reached = {(row.agent, row.key) for work in run.works for row in work.rows}
    left = [row for row in plan.closing if (row.agent, row.key) not in reached]
    rows += [row._replace(status=Status.FAILED, hint="not reached") for row in left]
    return summary.of(run, plan._replace(rows=tuple(rows)), result, error)


def _change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    with _locked(run, agent):
        stamp = names.free_stamp(history.now(), [*_listed(store.place), *_listed(store.folder)])
        place = commit.Place(
            store.index,
            names.backup_name(os.path.basename(store.index), stamp),
            commit.unnoted,
            commit.unnoted,
            run.warn,
        )
        commit.clean(run.disk, place)
        plan = _decide_again(run, agent, store.read(), stamp, first)
        run.warn(*plan.warnings)
        if plan.closing:
            _close(run, agent, list(plan.closing), stamp)
        return [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in first.rows]


@contextmanager
def _locked(run: Run, agent: str) -> Iterator[None]:
    """Hold an agent's folders, with no interrupted run left that concerns it: look again after taking the lock."""
    store = run.stores[agent]
    # One folder under two spellings may not be locked twice.
    places = sorted({os.path.realpath(folder) for folder in (store.place, store.folder) if os.path.isdir(folder)})
    tried: set[str] = set()
    for _ in range(_ROUNDS):
        with ExitStack() as held:
            for folder in places:
                held.enter_context(locks.folder(folder))
            left = recovery.pending(run.home, agent) - tried
            if not left:
                yield
                return
            tried |= left
        run.warn(*recovery.recover(run.home, run.disk, [agent], partial(owed_restart, run)))
    raise Busy(f"runs on agent {agent} are interrupted again and again", "run the same command again")


def _close(run: Run, agent: str, rows: list[PlannedRow], stamp: str) -> None:
    store = run.stores[agent]
    assert store.document is not None
    record = prepare(run.disk, store, rows, stamp)
    note(run, record)
    work = Work(store, rows, record, partial(note, run), store.document)
    run.works.append(work)
    if any(row.route is Route.GATEWAY for row in rows):
        run.tell(f"closing {len(rows)} of agent {agent} through the gateway; receipt {run.receipt}")
        closing.through_gateway(run.disk, work, run.gateway, run.progress, fall_back=run.options.via == "auto")
    closing.through_files(run.disk, work, run.gateway.found.life)
    work.finished = True


def note(run: Run, store: StoreRecord) -> None:
    """Write the journal: before the first change of a store, and whenever a name in it changes."""
    if run.record is None or run.journal is None:
        run.record = RunRecord(
            id=journal.new_id(history.now()),
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
    else:
        run.record = with_store(run.record, store)
        run.journal.write(run.record)


def _decide_again(run: Run, agent: str, snapshot: Snapshot, stamp: str, first: Plan) -> Plan:
    """Decide again for one store: only what the first plan closed may be closed, however the store has changed."""
    before = [row for row in first.closing if row.agent == agent]
    plan = decide(run, {agent: snapshot}, stamp, frozenset((row.agent, row.key) for row in before))
    if run.wish.keep and any(row.status is Status.NOT_FOUND for row in plan.rows):
        lost = "a session to keep has gone in this moment: look again"
        return plan._replace(rows=tuple(row._replace(status=Status.FAILED, hint=lost, moves=()) for row in before))
    named = {row.given for row in before}
    absent = (Status.NOT_FOUND, Status.ALREADY_CLOSED)
    rows = tuple(row for row in plan.rows if row.status not in absent or row.given not in named)
    vanished = tuple(
        row._replace(status=Status.ALREADY_CLOSED, moves=()) for row in before if row.key not in snapshot.sessions
    )
    return plan._replace(rows=(*rows, *vanished))


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []


def _restart_once(run: Run) -> RestartResult:
    found, wanted = run.gateway.found, run.options.restart
    if found.life is Life.DOWN:
        if wanted == "always":
            run.warn("there is no gateway to restart")
        return nothing_to_restart(run)
    needed = any(work.edited for work in run.works)
    if not needed and (wanted != "always" or not run.works):
        return nothing_to_restart(run)
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
                archiving.look_again(run.disk, work)
    return result


def owed_restart(run: Run) -> RestartRecord:
    """Restart the gateway for an interrupted run that edited a store below it."""
    if run.gateway.found.life is not Life.UP:
        return RestartRecord(needed=run.gateway.found.life is not Life.DOWN, result="nothing-to-restart")
    if run.options.restart == "never":
        run.warn(f"an interrupted run owes the gateway a restart (--restart never); by hand: {BY_HAND}")
        return RestartRecord(needed=True, result="left-out")
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
