"""Clean up homes of files: what is old and nothing keeps is put away, or deleted, home by home; old archives go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core import artifacts
from ..core.artifacts import Artifact, Limits
from ..core.errors import CloserError, Refused
from ..core.findings import Doubt
from ..core.report import Report
from ..core.status import Status
from ..core.wish import Options
from ..journal import clocks, history
from ..journal.stopped import storage
from ..ports.artifacts import Home, Place
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import homes, pruned
from .pruned import Part

if TYPE_CHECKING:
    from ..core.export.exported import Exported
    from .put_away import Ended

OPERATION = "cleanup-sessions"


def perform(
    where: Place, limits: Limits, options: Options, *, told: str, console: Console, clock: Clock = REAL,
    disk: Disk | None = None,
) -> Report:  # fmt: skip
    """Return the report of a cleanup; CloserError where it ends before there is a plan."""
    homes.check(where)
    context = Context(options, disk or Disk(), console, clock)
    console.warn(*homes.exposure(where))
    try:
        with homes.opened(where, context) as found:
            return _performed(where, limits, context, found)._replace(rules=told)
    except OSError as problem:
        raise storage(problem, where.state) from None


def _performed(where: Place, limits: Limits, context: Context, found: Sequence[Home]) -> Report:
    now = context.clock.seconds()
    doubt = clocks.doubt(now, history.beginnings(where.state))
    parts = [_looked_at(home, limits, context, now, doubt) for home in found]
    _find_shelves(where, limits, context, parts, now)
    ended: Ended | None = None
    error = _refusal(context, parts) or _unwritable(where, parts)
    copies = _exported(where, context, parts, now) if error is None else ()
    if error is None and not context.options.dry_run and any(part.count for part in parts):
        from . import put_away  # only what changes a home needs a record

        ended = put_away.perform(where, OPERATION, parts, context)
        error = ended.error
    told = [part for part in parts if part.problem is not error or error is None]
    rows, untold = pruned.rows(told, context.options, now)
    put_any_away = Status.ARCHIVED in {*(row.status for row in rows), *(more.status for more in untold)}
    return Report(
        OPERATION,
        context.options.dry_run,
        stores=pruned.stores(parts, where.runtime),
        receipt=ended.receipt if ended is not None else None,
        undo=ended.undo if ended is not None and put_any_away else None,
        warnings=tuple(context.console.warnings),
        error=error,
        most_rows=context.options.most_rows,
        artifacts=tuple(rows),
        untold=untold,
        totals=pruned.totals(parts, limits),
        exported=copies if context.options.export is not None else None,
    )


def _exported(where: Place, context: Context, parts: Sequence[Part], now: float) -> tuple[Exported, ...]:
    """Export the sessions of what goes, where that is wanted; what could not be exported goes no longer."""
    if context.options.export is None:
        return ()
    from . import home_copies  # only where what goes is exported first

    return home_copies.made(where, parts, context, context.options.export, now)


def _looked_at(home: Home, limits: Limits, context: Context, now: float, doubt: Doubt | None) -> Part:
    moves = not context.options.delete
    try:
        found = sorted(home.look(limits), key=_place)
    except CloserError as problem:
        return Part(home, problem=problem)
    except OSError as problem:
        # The others are looked at all the same.
        return Part(home, problem=storage(problem, home.root))
    context.console.warn(*home.doubts())
    verdicts = artifacts.decided(found, limits, now, moves=moves)
    if doubt is None:
        return Part(home, verdicts)
    # What is old by a clock that was set ahead alone may have been written to a minute ago.
    certain = artifacts.decided(found, limits, now - doubt.seconds, moves=moves)
    if count := len(verdicts.going) - len(certain.going):
        what = "1 file or folder stays" if count == 1 else f"{count} files and folders stay"
        context.console.warn(artifacts.staying(what, doubt))
    return Part(home, certain)


def _place(one: Artifact) -> tuple[bool, str]:
    """Return by what artifacts are ordered, of which no folder has an order; rows stay in theirs, behind them."""
    return (True, "") if one.kind == artifacts.ROW else (False, one.path)


def _find_shelves(where: Place, limits: Limits, context: Context, parts: Sequence[Part], now: float) -> None:
    if limits.expire is None:
        return
    from . import shelves  # only where one may go

    found, doubt = shelves.old(where.state, limits.expire, now)
    for part in parts:
        own = [shelf for shelf in found if shelf.root == part.home.root]
        part.shelves = tuple(shelf for shelf in own if not shelf.why)
        part.refused += [pruned.stuck_shelf(part.home, shelf, Status.KEPT, shelf.why) for shelf in own if shelf.why]
    if doubt:
        context.console.warn(doubt)


def _refusal(context: Context, parts: Sequence[Part]) -> CloserError | None:
    """Return why nothing may be changed at all, None where something may."""
    unread = [part for part in parts if part.problem is not None]
    if unread and len(unread) == len(parts):
        return unread[0].problem
    for part in unread:
        assert part.problem is not None
        context.console.warn(f"{part.home.root} is left as it is: {part.problem.message}")
    count = sum(part.count for part in parts)
    if count > context.options.limit and not context.options.yes:
        verb = "deleted" if context.options.delete else "put away"
        what = f"{count} files and folders would be {verb}, more than --max {context.options.limit}"
        return Refused(what, f"if all of them are meant: {context.options.again}", name="too_many")
    return None


def _unwritable(where: Place, parts: Sequence[Part]) -> CloserError | None:
    """Return why what goes could not be moved, None where it could."""
    some = [part for part in parts if part.count]
    if not some:
        return None
    from ..journal import writable  # only where something goes

    folders: dict[str, None] = {}
    for part in some:
        root, going = part.home.root, [artifact for artifact, _ in part.verdicts.going]
        disposed = {kind for kind in {one.kind for one in going} if part.home.disposal(kind) is not None}
        moved = [one for one in going if one.kind not in disposed]
        folders[f"{root}/{history.ARCHIVES}"] = None
        folders.update(dict.fromkeys(f"{root}/{one.path.rpartition('/')[0]}" for one in moved))
    return writable.refusal(where.state, folders)
