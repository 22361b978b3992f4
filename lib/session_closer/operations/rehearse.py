"""Rehearse: what is planned is done and taken back in a copy, which is compared with what it was."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping

from ..core import durations
from ..core.ending import is_fine
from ..core.errors import ChangedUnderneath, Refused, UsageProblem
from ..core.escape import plain
from ..core.model import Going, Plan, Session
from ..core.report import Report
from ..core.shown import Rehearsal
from ..core.status import Status
from ..core.wish import Options
from ..journal import history
from ..ports.context import Console, Context
from ..ports.runtime import Double, Place
from ..system import replica
from ..system.replica import Shape
from . import apply, runtimes
from .look import look
from .request import Look, Request
from .take_out import Closing
from .transaction import Transaction

# An index is copied, backed up twice, written anew twice.
_TIMES = 5


# Takes back what a run has done in a copy: its place, id and context.
TakeBack = Callable[[Place, str, Context], Report]


def perform(request: Request, plan: Plan, take_back: TakeBack) -> Rehearsal:
    """Do what is planned in a copy, take it back, and compare; UsageProblem where no copy could show it."""
    context = request.runtime.context
    if not (plan.closing or plan.deferred or plan.tidying):
        return Rehearsal(0, 0, 0)
    check_place(request.runtime.root)
    with replica.folder(context.disk) as root:
        double = request.runtime.double(plan, root)
        size = copied(context, double.files, double.texts, root)
        before = replica.picture(root)
        there = Context(alone(context.options), context.disk, Console(), context.clock)
        done = _closed(request, double, there)
        run = run_of(done)
        undone = take_back(double.place, run, there) if run is not None else None
        expired = {name for chores in plan.tidying.values() for name in chores.expired}
        anew = {os.path.relpath(path, root) for path in double.texts}
        backups = _backups(root, done, undone)
        differences = compared(before, replica.picture(root), ours=backups, gone=expired, anew=anew)
        differences = [*_failed(done), *_failed(undone), *differences]
    old = "1 old archive that is deleted: nothing brings it back"
    if len(expired) > 1:
        old = f"{len(expired)} old archives that are deleted: nothing brings them back"
    lines = [old] if expired else []
    return Rehearsal(double.sessions, len(double.files) - len(expired), size, tuple(differences), tuple(lines))


def check_place(*originals: str) -> None:
    """Refuse a folder for copies that is within what is copied."""
    for original in originals:
        if f"{replica.place()}/".startswith(f"{os.path.realpath(original)}/"):
            what = f"a rehearsal writes nothing below {original}, where temporary files go now"
            raise UsageProblem(what, "TMPDIR=DIR, a folder elsewhere")


def alone(options: Options) -> Options:
    """Return how a run is asked for that is done in a copy, where nothing else is."""
    return options._replace(
        dry_run=False, rehearse=None, yes=True, via="files", restart="never", own=(), with_children=False, export=None,
        most_rows=None, most_told=None,
    )  # fmt: skip


def run_of(report: Report) -> str | None:
    """Return the id of the run that is to be taken back, None where nothing was done, or not all of it."""
    return os.path.basename(report.receipt).removesuffix(".json") if report.receipt and not report.error else None


def copied(context: Context, files: Mapping[str, str], texts: Mapping[str, tuple[bytes, str]], root: str) -> int:
    """Copy files, by the paths of the copies, below a folder; return the bytes of all; Refused: there are too many."""
    try:
        size = sum(map(replica.weight, files.values())) + sum(len(data) for data, _ in texts.values())
        _check_room(context.options, size, size + (_TIMES - 1) * sum(len(data) for data, _ in texts.values()), root)
        for target, source in files.items():
            replica.make_folders(context.disk, os.path.dirname(target), root)
            replica.copy(context.disk, source, target)
        for target, (data, like) in texts.items():
            replica.make_folders(context.disk, os.path.dirname(target), root)
            replica.write(context.disk, target, data, like)
    except OSError as problem:
        if not replica.is_gone(problem):
            raise
        what = f"{problem.filename} was changed while it was copied; nothing was rehearsed"
        raise ChangedUnderneath(what, "run the same command again") from None
    return size


def _check_room(options: Options, size: int, needed: int, root: str) -> None:
    assert options.rehearse is not None
    said = durations.spelled_size
    if size > options.rehearse:
        what = f"{said(size)} would be copied, more than {said(options.rehearse)}; nothing was rehearsed"
        raise Refused(what, f"--rehearse-max {-(-size >> 20) or 1}mb, or name fewer sessions", name="too_large")
    if needed > (free := replica.room(root)):
        what = f"a rehearsal needs {said(needed)} below {os.path.dirname(root)}, where {said(free)} are free"
        raise Refused(what, "TMPDIR=DIR, a folder on another file system", name="no_room")


def _closed(request: Request, double: Double, context: Context) -> Report:
    """Close in the copy what is planned, by the same code as anywhere."""
    agents = sorted({row.agent for row in double.plan.rows} | {*double.plan.tidying})
    wish = request.wish._replace(targets=(), agent=None, matching=None, keep=False, among=tuple(agents))
    # It goes like any other there, where nobody's turn is to end.
    wish = wish._replace(own=frozenset())
    runtime = runtimes.opened(double.place, context)
    transaction = Transaction(context.disk, runtime.root, wish.operation, context.options.reason, context.clock)
    try:
        there = Request(runtime, wish)
        found = look(there, None)
        rows = tuple(row.but(session=_session(found, row.agent, row.key)) for row in double.plan.rows)
        found = found._replace(sizes={agent: {} for agent in agents})
        runtime.going({agent: Going.of(own) for agent, own in double.plan.by_agent.items()})
        work = Closing(there, found, double.plan._replace(rows=rows), transaction)
        return apply.perform(there, transaction, work)
    finally:
        runtime.close()
        transaction.release()


def _session(found: Look, agent: str, key: str) -> Session:
    try:
        return found.snapshots[agent].sessions[key]
    except KeyError:
        raise ChangedUnderneath(f"{plain(key)} has gone while it was copied", "run the same command again") from None


def _failed(report: Report | None) -> Iterator[str]:
    """Give a line for all that did not go as it should in the copy."""
    if report is None:
        return
    if report.error is not None:
        yield f"{report.operation} in the copy: {report.error.message}"
    for row in report.results:
        if not is_fine(row, missing_ok=False) or row.status is Status.ALREADY_CLOSED:
            yield f"{plain(row.key or row.given)}: {row.status} in the copy{f': {row.error}' if row.error else ''}"


def _backups(root: str, *reports: Report | None) -> set[str]:
    """Return the paths of backups that runs have made, from the folder of a copy."""
    return {
        os.path.relpath(store.backup, root)
        for report in reports
        if report is not None
        for store in report.stores
        if store.backup is not None
    }


def compared(
    before: Mapping[str, Shape],
    after: Mapping[str, Shape],
    ours: Collection[str] = (),
    gone: Collection[str] = (),
    anew: Collection[str] = (),
) -> list[str]:
    """Return a line for each difference.

    `ours`: paths of backups, `gone`: names of files that were to be deleted, `anew`: paths of what is written anew, so
    that it has a new time.
    """
    lines = []
    for path in sorted({*before, *after}.difference(ours)):
        one, other = before.get(path), after.get(path)
        if _is_record(path) or (other is None and os.path.basename(path) in gone):
            continue
        if one is not None and other is not None and path in anew:
            other = other._replace(mtime_ns=one.mtime_ns)
        if why := _difference(one, other):
            lines.append(f"{plain(path)}: {why}")
    return lines


def _is_record(path: str) -> bool:
    return history.ROOT in path.split("/")


def _difference(before: Shape | None, after: Shape | None) -> str:
    """Return how a file differs, "" where it does not."""
    if before is None:
        return "is new"
    if after is None:
        return "is gone"
    if before.mode != after.mode:
        return f"has mode {after.mode & 0o7777:o}, not {before.mode & 0o7777:o}"
    if (before.size, before.sha256) != (after.size, after.sha256):
        return f"has other bytes, {after.size} and not {before.size}"
    return "has another time" if after.mtime_ns != before.mtime_ns else ""
