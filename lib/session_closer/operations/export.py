"""Export sessions that are named: look, decide what they are, export one after the other. No store is changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from ..core import hints, ids
from ..core.errors import ChangedUnderneath, CloserError, Refused
from ..core.escape import plain, quoted
from ..core.export.exported import Exported
from ..core.export.parts import Parts
from ..core.export.result import Export, ExportReport, Unexported
from ..core.keys import Target, slip
from ..core.model import PlannedRow, Session, Snapshot
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..journal import closed, history
from ..journal.stopped import storage
from ..ports.context import Console, Context
from ..ports.runtime import Place, Runtime
from ..ports.store import Store
from ..system import files
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import absent, bundles, outputs, runtimes
from .bundles import Given, Whose

_OTHER = "a folder of your own, outside of what OpenClaw keeps"
HINT = "--redact takes out those that can be told by their form"
SECRETS = "secrets that were said are in what is exported"


def execute(
    where: Place,
    targets: Sequence[Target],
    ask: Export,
    options: Options,
    *,
    disk: Disk | None = None,
    console: Console | None = None,
    clock: Clock = REAL,
) -> ExportReport:
    """Return what became of each session; CloserError where nothing could be begun."""
    agents = sorted({target.agent for target in targets})
    context = Context(options, disk or Disk(), console or Console(), clock)
    # What is read is as it is, whoever serves it.
    with looked_at(runtimes.apart(where), context, agents) as runtime:
        ask = ask._replace(folder=checked_folder(runtime, ask.folder, agents))
        return _perform(runtime, targets, ask)


@contextmanager
def looked_at(where: Place, context: Context, agents: Sequence[str]) -> Iterator[Runtime]:
    """Give the runtime of a place that these agents have stores in; StorageFailed where the file system fails."""
    runtimes.check_place(where, agents)
    runtime = runtimes.found(where, context)
    try:
        yield runtime
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        runtime.close()


def _perform(runtime: Runtime, targets: Sequence[Target], ask: Export) -> ExportReport:
    rows: list[Exported | Unexported] = []
    for found in named(runtime, targets):
        rows.append(found if isinstance(found, Unexported) else one(runtime, ask, found))
        runtime.context.console.progress(len(rows), len(targets))
    return told(runtime.context, ask, rows)


def told(context: Context, ask: Export, rows: Sequence[Exported | Unexported]) -> ExportReport:
    """Return what became of all sessions, with what whoever gets the bundles should know, if there are any."""
    exported = tuple(row for row in rows if isinstance(row, Exported))
    failed = tuple(row for row in rows if isinstance(row, Unexported))
    if exported:
        warn_of(context, ask, hint=HINT)
    return ExportReport(ask.folder, exported, failed, tuple(context.console.warnings))


class Named(NamedTuple):
    """A session that is to be exported, by what it was called, and the store that it is in."""

    given: str
    store: Store
    session: Session
    snapshot: Snapshot


def named(runtime: Runtime, targets: Sequence[Target]) -> Iterator[Named | Unexported]:
    """Give each session that a target stands for, once; why there is none where it stands for none."""
    seen: set[tuple[str, str]] = set()
    for given in targets:
        store = _store(runtime, given.agent)
        snapshot = runtime.snapshots[given.agent]
        target = ids.resolved(given, snapshot)
        there = [key for key in target.candidates if key in snapshot.sessions]
        if store is None or not there:
            yield _absent(runtime, target, snapshot)
            continue
        for key in there:
            if (target.agent, key) not in seen:
                seen.add((target.agent, key))
                yield Named(target.given, store, snapshot.sessions[key], snapshot)


def _store(runtime: Runtime, agent: str) -> Store | None:
    if agent not in runtime.snapshots:
        store = runtime.detect(agent)
        if store is None:
            runtime.snapshots[agent] = runtime.absent(agent)
        else:
            runtime.stores[agent], runtime.snapshots[agent] = store, store.read()
    return runtime.stores.get(agent)


def _absent(runtime: Runtime, target: Target, snapshot: Snapshot) -> Unexported:
    if (problem := slip(target.given, target.agent)) is not None:
        raise problem
    why = _why_absent(runtime, target, snapshot)
    return Unexported(target.given, target.agent, target.candidates[0], Status.NOT_FOUND, why)


def _why_absent(runtime: Runtime, target: Target, snapshot: Snapshot) -> str:
    agent, options = target.agent, runtime.context.options
    if agent not in runtime.stores:
        return hints.no_agent(agent, runtime.known_agents())
    by_key = closed.closed_before(runtime.root, [(agent, key) for key in target.candidates])
    by_id = ids.is_beginning(target.given) and closed.closed_ids(runtime.root, {(agent, target.given)})
    if by_key or by_id:
        return f"a run has closed it: --from RUN exports it, one of: {options.undo} --list"
    row = PlannedRow(target.given, agent, target.candidates[0], Status.NOT_FOUND)
    if near := hints.did_you_mean(row, snapshot):
        return near
    tail = hints.tail_of(target.given, agent)
    elsewhere = runtime.holders(agent, {tail}).get(tail, ())
    return absent.lacking(row, elsewhere, absent.put_away(runtime.stores[agent]), options)


def one(runtime: Runtime, ask: Export, found: Named) -> Exported | Unexported:
    """Export one session; return why it was not where that cannot be done."""
    return written(runtime.context, ask, _whose(runtime, found), found.given, _reader(found, ask))


def seen(runtime: Runtime, ask: Export, found: Named) -> Unexported | None:
    """Return why one session cannot be exported, as far as a look can tell."""
    return looked(ask, _whose(runtime, found), found.given, _reader(found, ask))


def _whose(runtime: Runtime, found: Named) -> Whose:
    store, session = found.store, found.session
    return Whose(store.agent, session.key, session.session_id, runtime.task()["runtime"], store.era)


def _reader(found: Named, ask: Export) -> Given:
    store, session = found.store, found.session
    fresh = [(session, found.snapshot)]

    def given() -> AbstractContextManager[Parts]:
        if not fresh:
            # What is compared is the store as it is by then, not what was seen of it.
            snapshot = store.read()
            there = snapshot.sessions.get(session.key)
            if there is None or there.session_id != session.session_id:
                raise Refused("it is not in its store any more", "look again with list-sessions", name="gone")
            return store.parts(there, snapshot, with_media=ask.media)
        return store.parts(*fresh.pop(), with_media=ask.media)

    return given


def written(context: Context, ask: Export, whose: Whose, name: str, given: Given) -> Exported | Unexported:
    """Export what `given` reads, each time anew; return why it was not where that cannot be done.

    `name` is what it was called by.
    """
    try:
        return bundles.export(context, ask, whose, given)
    except CloserError as problem:
        return _unexported(whose, name, problem)


def looked(ask: Export, whose: Whose, name: str, given: Given) -> Unexported | None:
    """Return why what `given` reads cannot be exported, as far as a look can tell."""
    try:
        bundles.look(ask, whose, given)
    except CloserError as problem:
        return _unexported(whose, name, problem)
    return None


def _unexported(whose: Whose, name: str, problem: CloserError) -> Unexported:
    status = Status.REFUSED if isinstance(problem, Refused) else Status.FAILED
    if isinstance(problem, ChangedUnderneath):
        status = Status.CAME_BACK
    return Unexported(name, whose.agent, whose.key, status, problem.message)


def checked_folder(runtime: Runtime, folder: str, agents: Sequence[str]) -> str:
    """Return a folder for bundles as a whole path; Refused where it is none that bundles may be in.

    `agents` are those whose sessions are exported.
    """
    real = outputs.own_folder(folder, _OTHER)
    stores = [_store(runtime, agent) for agent in agents]
    places = {runtime.folder(agent) for agent in {*agents, *runtime.agents()}}
    places |= {place for store in stores if store is not None for place in (store.place, store.folder)}
    check_outside(folder, (*places, runtime.reserved(), history.root(runtime.root)), _OTHER)
    return real


def check_outside(folder: str, places: Iterable[str], remedy: str) -> None:
    """Refuse a folder that is within one of these places, wherever links lead."""
    path, real = os.path.abspath(folder), os.path.realpath(folder)
    for place in sorted(map(files.real, places)):
        if real == place or real.startswith(place.rstrip("/") + "/"):
            raise Refused(f"{quoted(path)} is within {place}, where sessions are", remedy, name="output")


def warn_of(context: Context, ask: Export, *, hint: str = "") -> None:
    """Say once what whoever gets the bundles should know; `hint` says what can be done about the secrets in them."""
    if not ask.redact:
        context.console.warn(f"{SECRETS}; {hint}" if hint else SECRETS)
    above = ask.folder
    while not os.path.lexists(os.path.join(above, ".git")):
        if above == os.path.dirname(above):
            return
        above = os.path.dirname(above)
    context.console.warn(
        f"{plain(ask.folder)} is in the git work tree {plain(above)}: what is added there is published"
    )
