"""Clean up homes of files: what is old and nothing keeps is put away, or deleted, home by home; old archives go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..artifacts import scan
from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core import artifacts
from ..core.artifacts import ELSEWHERE, Artifact, Limits
from ..core.errors import CloserError, Refused, StorageFailed
from ..core.findings import Doubt
from ..core.model import Status
from ..core.report import ArtifactRow, Report
from ..core.wish import Options
from ..journal import clocks, history
from ..journal.record import HOME, ArtifactRecord, StoreRecord
from ..journal.stopped import STOPPING, stopped, storage
from ..ports.artifacts import Disposal, Home, Place
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import homes, pruned, shelves
from .pruned import Part
from .transaction import Transaction

OPERATION = "cleanup-sessions"
CHANGED, GONE = "changed", "gone"
# What a receipt says of each artifact at the end is longer than what is planned, and the next line of a list, too.
_SPARE_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class _Run:
    """What a cleanup is about, and how it was asked for."""

    where: Place
    limits: Limits
    context: Context
    transaction: Transaction

    @property
    def options(self) -> Options:
        """How it was asked."""
        return self.context.options

    @property
    def archive(self) -> str:
        """The archive of this run, by its path below a home."""
        return homes.archive_of(self.transaction.id)


def perform(
    where: Place, limits: Limits, options: Options, *, told: str, console: Console, clock: Clock = REAL,
    disk: Disk | None = None,
) -> Report:  # fmt: skip
    """Return the report of a cleanup; CloserError where it ends before there is a plan."""
    homes.check(where)
    context = Context(options, disk or Disk(), console, clock)
    transaction = Transaction(context.disk, where.state, OPERATION, options.reason, clock)
    console.warn(*homes.exposure(where))
    try:
        with homes.opened(where, context) as found:
            return _performed(_Run(where, limits, context, transaction), found)._replace(rules=told)
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        transaction.release()


def _performed(run: _Run, found: Sequence[Home]) -> Report:
    now = run.context.clock.seconds()
    doubt = clocks.doubt(now, history.beginnings(run.where.state))
    parts = [_looked_at(run, home, now, doubt) for home in found]
    _find_shelves(run, parts, now)
    error = _refusal(run, parts)
    if error is None and not run.options.dry_run and any(part.count for part in parts):
        error = _change(run, parts, now)
    return _report(run, parts, now, error)


def _looked_at(run: _Run, home: Home, now: float, doubt: Doubt | None) -> Part:
    limits, moves = run.limits, not run.options.delete
    try:
        found = home.look(limits)
    except CloserError as problem:
        return Part(home, problem=problem)
    run.context.console.warn(*home.doubts())
    verdicts = artifacts.decided(found, limits, now, moves=moves)
    if doubt is None:
        return Part(home, verdicts)
    # What is old by a clock that was set ahead alone may have been written to a minute ago.
    certain = artifacts.decided(found, limits, now - doubt.seconds, moves=moves)
    if count := len(verdicts.going) - len(certain.going):
        what = "1 file or folder stays" if count == 1 else f"{count} files and folders stay"
        run.context.console.warn(shelves.staying(what, doubt))
    return Part(home, certain)


def _find_shelves(run: _Run, parts: Sequence[Part], now: float) -> None:
    if run.limits.expire is None:
        return
    found, doubt = shelves.old(run.where.state, run.limits.expire, now)
    for part in parts:
        part.shelves = tuple(shelf for shelf in found if shelf.root == part.home.root)
    if doubt:
        run.context.console.warn(doubt)


def _refusal(run: _Run, parts: Sequence[Part]) -> CloserError | None:
    """Return why nothing may be changed at all, None where something may."""
    unread = [part for part in parts if part.problem is not None]
    if unread and len(unread) == len(parts):
        return unread[0].problem
    for part in unread:
        assert part.problem is not None
        run.context.console.warn(f"{part.home.root} is left as it is: {part.problem.message}")
    count = sum(part.count for part in parts)
    if count > run.options.limit and not run.options.yes:
        verb = "deleted" if run.options.delete else "put away"
        what = f"{count} files and folders would be {verb}, more than --max {run.options.limit}"
        return Refused(what, f"if all of them are meant: {run.options.again}", name="too_many")
    return None


def _change(run: _Run, parts: Sequence[Part], now: float) -> CloserError | None:
    """Do what was decided, home by home; return what ended the run early."""
    transaction = run.transaction
    try:
        for part in parts:
            if part.count:
                _change_home(run, part, now)
    except (*STOPPING, StorageFailed) as problem:
        # The record stays open: the next changing command finishes the run.
        return stopped(problem, run.where.state, has_changed=any(part.rows or part.condemned for part in parts))
    assert transaction.journal is not None
    assert transaction.record is not None
    ended = transaction.record.but(
        stores=tuple(part.record for part in parts if part.record is not None),
        state="done",
        finished_at=run.context.clock.iso_now(),
    )
    transaction.journal.finish(ended)
    return None


def _change_home(run: _Run, part: Part, now: float) -> None:
    home, going = part.home, [artifact for artifact, _ in part.verdicts.going]
    part.record = StoreRecord(
        agent=home.agent,
        era=run.where.runtime,
        path=home.root,
        roots={HOME: home.root},
        removes=tuple(shelf.run for shelf in part.shelves),
        artifacts=tuple(_planned(home, one) for one in going),
        deletes=run.options.delete,
    )
    run.transaction.note_first(part.record)
    assert run.transaction.journal is not None
    assert run.transaction.record is not None
    if run.options.delete and len(run.transaction.record.stores) == 1:
        # A full disk gives room again only once something is gone, and what is gone has to be on record.
        try:
            run.transaction.journal.reserve(_SPARE_BYTES)
        except StorageFailed:
            part.record = None
            run.transaction.forget()
            raise
    with Aside(run.context.disk, home.root, run.archive) as aside:
        _free_shelves(part, aside)
        for artifact, why in part.verdicts.going:
            status, stays = _take(run, home, aside, artifact)
            row = pruned.row(home, artifact, status, stays or why, now)
            if status is Status.DELETED and not homes.returns(home, artifact.kind):
                row = row._replace(export=f"{home.root}/{_folder(run, home, artifact)}")
            (part.condemned if status is Status.DELETED and artifact.folder else part.rows).append(row)
            run.context.console.watch(len(part.rows) + len(part.condemned), len(going))
        aside.tidy()
    part.rows += part.condemned
    run.context.console.warn(*home.end())
    ended = {row.path: row for row in part.rows if row.status is not Status.KEPT}
    made = (_ended(one, ended.get(f"{home.root}/{one.path}")) for one in part.record.artifacts)
    part.record = part.record.but(artifacts=tuple(made))


def _planned(home: Home, one: Artifact) -> ArtifactRecord:
    note = homes.note(home, one.kind)
    return ArtifactRecord(one.kind, one.path, one.owner, one.size, one.folder, note=note)


def _ended(one: ArtifactRecord, row: ArtifactRow | None) -> ArtifactRecord:
    """Return the record of an artifact with what became of it."""
    if row is None:
        return one.but(status="dropped")
    return one.but(status=str(row.status), export=row.export or "")


def _take(run: _Run, home: Home, aside: Aside, artifact: Artifact) -> tuple[Status, str]:
    """Put one artifact away, or delete it, if it is still as it was; return what became of it, and why it stayed."""
    disposal = home.disposal(artifact.kind)
    why = home.objection(artifact) or (_difference(aside, artifact) if disposal is None else "")
    if why:
        return Status.KEPT, why
    if disposal is not None:
        return _stowed(run, home, disposal, aside, artifact)
    if run.options.delete:
        done, became = Status.DELETED, (aside.discard if artifact.folder else aside.remove)(artifact.path)
    else:
        done, became = Status.ARCHIVED, aside.put_away(artifact.path)
    if became is Became.AWAY:
        return done, ""
    return Status.KEPT, ELSEWHERE if became is Became.ELSEWHERE else GONE


def _stowed(run: _Run, home: Home, disposal: Disposal, aside: Aside, artifact: Artifact) -> tuple[Status, str]:
    """Have put away, or deleted, what no rename can move."""
    stowage = home.stowage(artifact.kind)
    done = Status.DELETED if stowage is None else Status.ARCHIVED
    try:
        if run.options.delete and stowage is not None:
            return (Status.DELETED, "") if stowage.discard(artifact) else (Status.KEPT, CHANGED)
        folder = aside.make(_folder(run, home, artifact))
        return (done, "") if disposal.stow(artifact, folder) else (Status.KEPT, CHANGED)
    except Refused as problem:
        run.context.console.warn(problem.message)
        return Status.KEPT, problem.name


def _folder(run: _Run, home: Home, artifact: Artifact) -> str:
    return homes.folder_of(home, run.transaction.id, artifact.kind, artifact.path)


def _difference(aside: Aside, artifact: Artifact) -> str:
    """Return how an artifact differs from what was looked at, "" where it does not."""
    status = aside.stat(artifact.path)
    if status is None:
        return GONE
    if scan.stamp_of(status) != artifact.stamp:
        return CHANGED
    if artifact.folder and aside.weighed(artifact.path) != artifact.weight:
        return CHANGED
    return ""


def _free_shelves(part: Part, aside: Aside) -> None:
    """Remove what earlier runs have put away, and the folders of it."""
    for shelf in part.shelves:
        aside.remove(homes.archive_of(shelf.run))
        part.freed.append(pruned.shelf_row(part.home, shelf, Status.EXPIRED))


def _report(run: _Run, parts: Sequence[Part], now: float, error: CloserError | None) -> Report:
    transaction = run.transaction
    rows = pruned.rows([part for part in parts if part.problem is not error or error is None], run.options, now)
    put_away = any(row.status is Status.ARCHIVED for row in rows)
    unfinished = transaction.journal if error is not None else None
    return Report(
        OPERATION,
        run.options.dry_run,
        stores=pruned.stores(parts, run.where.runtime),
        receipt=unfinished.path if unfinished is not None else transaction.receipt,
        undo=transaction.undo(run.options) if put_away and error is None else None,
        warnings=tuple(run.context.console.warnings),
        error=error,
        most_rows=run.options.most_rows,
        artifacts=tuple(rows),
        totals=pruned.totals(parts, rows, run.limits),
    )
