"""Bring closed sessions back: files to their live names, entries into the store, rows through OpenClaw's own words."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ..core.durable import Move
from ..core.effects import How, Lost, lost
from ..core.errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded, Interrupted, PartlyDone, Refused
from ..core.keys import Target
from ..core.model import Life, Snapshot, Status
from ..core.report import Outcome, Report, RestartResult, StoreResult
from ..core.wish import Options, Wish
from ..journal import history
from ..journal.record import STOPPED, RestartRecord, RunRecord, StoreRecord
from ..journal.stopped import once_more, storage
from ..openclaw import access, from_backup, from_found, migration, restorable, stores
from ..openclaw.attached import bindings, jobs
from ..openclaw.files import restore as refiling
from ..openclaw.files.store import FileStore, check, read_index
from ..openclaw.home import Home
from ..openclaw.installation import Installation
from ..openclaw.owner import exposure
from ..openclaw.restorable import RESTORE, Chosen, Item
from ..openclaw.runtime import OpenClawRuntime
from ..openclaw.sqlite import importer
from ..openclaw.sqlite import restore as reviving
from ..openclaw.sqlite.store import SqliteStore
from ..ports.context import Console, Context
from ..ports.store import Readable, Store
from ..system import files, flock
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import close, handoff, recover, runtimes, summary
from .hold import locked
from .restart import not_begun, nothing_to_restart, restart_once
from .run import Run, begun

_BACK = frozenset({Status.RESTORED, Status.WOULD_RESTORE})
# How what is brought back so had been put away.
_HOW = {"unarchive": How.ARCHIVE, "import": How.DELETE}


class Ask(NamedTuple):
    """What is to be brought back: a receipt's id, `last`, the path of a backup, or what was found; `keys` none: all.

    `check`: whether it still can be, however the gateway is now. `given`: the key that what was found is to get.
    """

    which: str = restorable.LAST
    keys: tuple[str, ...] = ()
    stop_gateway: bool = False
    check: bool = False
    given: str | None = None


def execute(
    where: Home,
    ask: Ask,
    options: Options,
    *,
    disk: Disk | None = None,
    tell: Callable[[str], None] = lambda _: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    clock: Clock = REAL,
) -> Report:
    """Return the report of a restore; CloserError where it ends before there is a plan."""
    access.check_place(where, [])
    try:
        return _execute(where, ask, Context(options, disk or Disk(), Console(tell, progress), clock))
    except OSError as problem:
        raise storage(problem, where.state) from None


def _execute(where: Home, ask: Ask, context: Context) -> Report:
    said: list[str] = []
    options = context.options
    if not ask.check:
        access.check_unfinished(where, [])
    if not options.dry_run and (history.open_runs(where.state) or history.unborn_runs(where.state)):
        said = _recover(where, context)
    try:
        source, notes = _source(where, ask, context.clock, looking=options.dry_run)
    except CloserError as problem:
        problem.message = "; ".join((problem.message, *said))
        raise
    if options.dry_run:
        said = history.interrupted(where.state)
    chosen, unknown = restorable.select(source, ask.keys)
    if restorable.is_restore(source):
        wish, others = _closing_again(where, source, ask.keys)
        report = close.execute(
            where,
            wish,
            options,
            disk=context.disk,
            tell=context.console.tell,
            progress=context.console.progress,
            clock=context.clock,
        )
        return report._replace(results=(*report.results, *others))
    access.check_place(where, sorted({one.store.agent for one in chosen}))
    runtime = runtimes.opened(where, context)
    assert isinstance(runtime, OpenClawRuntime)
    run = begun(runtime, Wish(RESTORE, ()))
    run.warn(*said, *notes, *exposure(where, history.folders(where.state)))
    try:
        return _perform(run, ask, chosen, unknown)
    finally:
        run.gateway.close()
        run.transaction.release()


def _source(where: Home, ask: Ask, clock: Clock, *, looking: bool) -> tuple[RunRecord, list[str]]:
    """Return the receipt of what is to be brought back, or one made for it, and what is to be said of that."""
    if ask.which.startswith(from_found.PREFIX):
        return from_found.from_found(where, ask.which, ask.given, clock, looking=looking)
    if ".bak-" in os.path.basename(ask.which):
        return from_backup.from_backup(where, ask.which), []
    return restorable.choose(where, ask.which, looking=looking), []


def _changing(run: Run, store: Readable) -> Store:
    assert isinstance(run.runtime, OpenClawRuntime)
    return run.runtime.changing(store)


def _here(run: Run) -> Installation:
    assert isinstance(run.runtime, OpenClawRuntime)
    return run.runtime.here


def _recover(where: Home, context: Context) -> list[str]:
    """Finish interrupted runs first, since the receipt that is meant may be one of theirs; return a line for each."""
    console = replace(context.console, warnings={})
    runtime = runtimes.opened(where, replace(context, console=console))
    assert isinstance(runtime, OpenClawRuntime)
    try:
        # What cannot be finished is an error only for the agents of the receipt, which is not known yet.
        said = recover.recover(runtime, [])
        return [*said, *console.warnings]
    finally:
        runtime.close()


def _closing_again(where: Home, source: RunRecord, wanted: Sequence[str]) -> tuple[Wish, list[Outcome]]:
    """Return the wish that undoes a restore, and a row for each session that it cannot be undone for."""
    chosen, unknown = restorable.select(source, wanted, ("restored",))
    there: dict[str, Snapshot] = {}
    before = {id(store): _keys_before(store) for store in source.stores}
    targets, others = [], []
    for one in chosen:
        store, session, given = one.store, one.session, one.given
        if session.key in before[id(store)]:
            why = "it was there before the restore, which brought only its files back"
            others.append(
                Outcome(given, store.agent, session.key, Status.CONFLICT, None, session.session_id, error=why)
            )
            continue
        found = there.get(store.agent) or _snapshot(where, store.agent)
        there[store.agent] = found
        now = found.sessions.get(session.key)
        if now is not None and now.session_id != session.session_id:
            why = "the key is in use again, by another session"
            row = Outcome(given, store.agent, session.key, Status.CONFLICT, session_id=session.session_id, error=why)
            others.append(row)
        else:
            targets.append(Target(given, store.agent, (session.key,)))
    # Only what the restore has brought back is closed, whatever else the words could stand for.
    others += [_unknown(name, "the run brought no session of this name back") for name in unknown]
    return Wish(RESTORE, tuple(targets)), others


def _keys_before(store: StoreRecord) -> frozenset[str]:
    """Return the keys that a file store had before a restore, as far as its backup is there; Refused: unreadable."""
    if store.era != "files" or store.backup is None:
        return frozenset()
    path = os.path.join(os.path.dirname(store.path), store.backup)
    return frozenset(check(read_index(path)[0], path).members) if files.exists(path) else frozenset()


def _snapshot(where: Home, agent: str) -> Snapshot:
    store = stores.detect(where, agent)
    return store.read() if store is not None else Snapshot(agent, where.index(agent), where.folder(agent), {})


def _perform(run: Run, ask: Ask, chosen: Sequence[Chosen], unknown: Sequence[str]) -> Report:
    by_agent: dict[str, list[Chosen]] = defaultdict(list)
    for one in chosen:
        by_agent[one.store.agent].append(one)
    # One that could not be finished a moment ago is an error now that the agents are known.
    if not run.options.dry_run and any(recover.pending(run.runtime, agent) for agent in by_agent):
        run.warn(*recover.recover(run.runtime, list(by_agent)))
    items: list[Item] = []
    for agent, some in by_agent.items():
        store, found = restorable.look(_here(run).home, agent, some)
        assert store is not None
        run.stores[agent] = _changing(run, store)
        items += found
        if run.options.dry_run and refiling.is_lost(store, some):
            why = from_backup.lost(store.index)
            run.warn(f"{store.index} {why}: a new one would be begun, and what is there moved aside")
    missing = [_unknown(name) for name in unknown]
    todo = [item for item in items if item.status is Status.WOULD_RESTORE]
    error = None if ask.check else _refusal(run, ask, todo)
    if error is None and not todo and not run.options.dry_run:
        items = jobs.switch_on(_here(run), items)
    if error is not None or run.options.dry_run or not todo:
        return _report(run, [*map(_outcome, items), *missing], nothing_to_restart(run.gateway), error)
    return _change(run, by_agent, items, missing)


def _refusal(run: Run, ask: Ask, todo: Sequence[Item]) -> CloserError | None:
    """Return why nothing may be brought back now."""
    for agent in {item.agent for item in todo}:
        if (unlockable := flock.unlockable(run.stores[agent].place)) is not None:
            return unlockable
        if (
            run.stores[agent].era == "files"
            and (unmigrated := migration.owed(_here(run), run.stores[agent])) is not None
        ):
            return unmigrated
    life, how = run.gateway.life, {item.how for item in todo}
    if life is Life.UNKNOWN and todo:
        return GatewayNeeded(
            f"whether a gateway serves {run.runtime.root} cannot be told: {'; '.join(run.gateway.result().evidence)}",
            "openclaw gateway status",
        )
    if "unarchive" in how and life is not Life.UP:
        return GatewayNeeded(
            "archived sessions are brought back by the gateway, which does not answer", "openclaw gateway start"
        )
    if "unarchive" in how and not _here(run).gateway.usable and not run.options.dry_run:
        return GatewayNeeded("the gateway does not let us take sessions out of the archive", "openclaw gateway status")
    if "import" in how and life is Life.UP and not ask.stop_gateway:
        what = "deleted sessions are brought back into a database while the gateway is stopped"
        return Refused(what, f"{importer.by_hand(_here(run))}; or add --stop-gateway", name="gateway_running")
    problem = (
        importer.cannot_stop(_here(run)) if "import" in how and life is Life.UP and not run.options.dry_run else None
    )
    return problem or run.runtime.unwritable(_written(run, todo))


def _written(run: Run, todo: Sequence[Item]) -> Iterator[str]:
    """Give the folders that a restore changes."""
    for item in todo:
        store = run.stores[item.agent]
        if isinstance(store, FileStore):
            yield store.place
        if item.moves and item.how != "unarchive":
            yield store.folder


def _change(
    run: Run,
    by_agent: dict[str, list[Chosen]],
    items: list[Item],
    missing: list[Outcome],
) -> Report:
    error: CloserError | None = None
    result = nothing_to_restart(run.gateway)
    done: dict[tuple[str, str], Item] = {(item.agent, item.key): item for item in items}
    try:
        for agent in _last_first(run, by_agent, items):
            some = by_agent[agent]
            wanted = {item.key for item in items if item.agent == agent and item.status is Status.WOULD_RESTORE}
            some = [one for one in some if restorable.name_of(one.session) in wanted]
            store = run.stores[agent]
            with locked(run.runtime, store):
                if isinstance(store, SqliteStore):
                    reviving.restore_store(_here(run), run.transaction, store, some, done)
                else:
                    refiling.restore_store(_here(run), run.transaction, agent, some, done)
        bound = bindings.put_back(_here(run), by_agent, done)
        result = restart_once(run.runtime, run.transaction)
        refiling.look_again(run.transaction.shares, done)
        bindings.look_again(_here(run), bound, done, result)
    except (Busy, ChangedUnderneath, GatewayNeeded, Refused) as problem:
        error = PartlyDone(problem) if isinstance(problem, Refused) and run.transaction.shares else problem
    except OSError as problem:
        error = storage(problem, run.runtime.root)
    except KeyboardInterrupt:
        error = Interrupted("interrupted", once_more(run.runtime.root))
    finally:
        if run.transaction.record is not None and run.transaction.record.restart.result == STOPPED:
            result = importer.start(_here(run))
    ended = [_not_reached(item) if item.status is Status.WOULD_RESTORE else item for item in done.values()]
    ended = jobs.switch_on(_here(run), ended)
    report = _report(run, [*map(_outcome, ended), *missing], result, error)
    if error is None and run.transaction.record is not None and run.transaction.journal is not None:
        why = _finish(run, report, ended, result)
        if why:
            report = report._replace(restart=not_begun(run.gateway, why))
            _finish(run, report, ended, report.restart)
    return report


def _last_first(run: Run, by_agent: dict[str, list[Chosen]], items: Sequence[Item]) -> list[str]:
    """Return the agents to be gone through: where they share an index, each was closed in what another had left."""
    agents = sorted({item.agent for item in items if item.status is Status.WOULD_RESTORE})
    if not _here(run).home.has_own_indexes():
        agents.sort(key=lambda agent: max(one.at for one in by_agent[agent]), reverse=True)
    return agents


def _not_reached(item: Item) -> Item:
    return item._replace(status=Status.FAILED, error=item.error or "not reached")


def _finish(run: Run, report: Report, ended: Sequence[Item], result: RestartResult) -> str:
    """End the record, or leave it to the process that restarts the gateway; return why there is none, else ""."""
    assert run.transaction.record is not None
    assert run.transaction.journal is not None
    status = {(item.agent, item.key): str(item.status) for item in ended}
    stores = tuple(
        store.but(
            sessions=tuple(s.but(status=status.get((store.agent, s.key), s.status)) for s in store.sessions),
        )
        for store in run.transaction.record.stores
    )
    recorded = {(store.agent, s.key) for store in stores for s in store.sessions}
    others = [row for row in report.results if (row.agent, row.key) not in recorded]
    rows = tuple(summary.ended(row, missing_ok=False) for row in others)
    owed = RestartRecord(result.needed, bool(result.ok), result.result, result.detail)
    last = run.transaction.record.but(stores=stores, results=rows, restart=owed)
    if result.result == "handed-off":
        run.transaction.journal.write(last)
        return handoff.start(run.runtime, run.transaction.journal, last.id, run.options)
    run.transaction.journal.finish(last.but(state="done", finished_at=run.clock.iso_now()))
    return ""


def _unknown(name: str, why: str = "the receipt closed no session of this name") -> Outcome:
    return Outcome(name, "", name, Status.NOT_FOUND, error=why)


def _outcome(item: Item) -> Outcome:
    return Outcome(
        item.given,
        item.agent,
        "" if item.how == "orphan" else item.key,
        item.status,
        session_id=item.session_id,
        error=item.error if item.status is not Status.WOULD_RESTORE else None,
        until=item.until if item.status is Status.WOULD_RESTORE else None,
        not_restored=_lost(item) if item.status in _BACK else item.left,
    )


def _lost(item: Item) -> tuple[Lost, ...]:
    how = _HOW.get(item.how, How.FILES)
    found_twice = item.how == "import" and any(one.kind == "memory" for one in item.effects)
    archives = [_twice(item.agent, move) for move in item.moves] if found_twice else []
    return (*lost(item.effects, how, item.left_out), *archives, *item.left)


def _twice(agent: str, move: Move) -> Lost:
    """Say that OpenClaw's archive of a transcript stays when that is back."""
    why = f"OpenClaw's archive {move.target} stays, so memory search finds the session twice"
    return Lost(f"file:agents/{agent}/sessions/", 1, why)


def _report(run: Run, rows: Sequence[Outcome], restart: RestartResult, error: CloserError | None) -> Report:
    backups = {
        work.record.agent: os.path.join(work.store.place, work.record.backup)
        for work in run.transaction.shares
        if work.record.backup is not None
    }
    for work in run.transaction.shares:
        run.warn(*work.warnings)
    unfinished = error is not None and run.transaction.journal is not None
    return Report(
        operation=RESTORE,
        dry_run=run.options.dry_run,
        stores=tuple(
            StoreResult(agent, store.index, store.era, backups.get(agent)) for agent, store in run.stores.items()
        ),
        results=tuple(rows),
        gateway=run.gateway.result(),
        restart=restart,
        receipt=run.transaction.journal.path if unfinished and run.transaction.journal is not None else run.receipt,
        # A file without a session that is back is put away again by a cleanup.
        undo=run.undo() if any(row.key for row in rows) else None,
        warnings=tuple(run.runtime.context.console.warnings),
        error=error,
    )
