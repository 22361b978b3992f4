"""Copies of what is about to be closed: made and compared ahead of that, and of no use once the session is used."""

from __future__ import annotations

from ..core.errors import CloserError
from ..core.export.exported import Exported
from ..core.export.parts import mark
from ..core.export.result import Export, Unexported
from ..core.model import Plan, PlannedRow, Snapshot
from ..core.status import Reason, Status
from ..ports.store import Store
from . import export
from .request import Request

_WRITTEN_TO = "it was written to after it was exported"


def made(request: Request, plan: Plan, folder: str) -> Plan:
    """Export into a folder what is about to be closed; return the plan, in which stays what could not be exported.

    A dry run exports nothing, and says what it sees that could not be. Raises Refused for a folder that is none for
    this.
    """
    runtime = request.runtime
    ask = Export(export.checked_folder(runtime, folder, sorted(runtime.stores)))
    copies: dict[tuple[str, str], Exported] = {}
    rows: list[PlannedRow] = []
    for row in plan.rows:
        if row.status is not Status.WOULD_CLOSE:
            rows.append(row)
            continue
        done = (export.seen if request.options.dry_run else export.one)(runtime, ask, _named(request, row))
        if isinstance(done, Exported):
            copies[row.agent, row.key] = done
        rows.append(row if done is None or isinstance(done, Exported) else _staying(row, done))
        runtime.context.console.watch(len(rows), len(plan.rows))
    # Whoever is told each night of secrets that are in nothing reads no warning any more.
    if plan.deferred or any(row.status is Status.WOULD_CLOSE for row in rows):
        export.warn_of(runtime.context, ask)
    stays = len(plan.closing) - sum(row.status is Status.WOULD_CLOSE for row in rows)
    return plan._replace(rows=tuple(rows), kept=plan.kept + stays, copies=copies)


def _named(request: Request, row: PlannedRow) -> export.Named:
    assert row.session is not None
    return export.Named(row.given, request.runtime.stores[row.agent], row.session, request.runtime.snapshots[row.agent])


def _staying(row: PlannedRow, why: Unexported) -> PlannedRow:
    """Return the row of a session that stays, since it could not be exported."""
    if why.status is Status.CAME_BACK:
        return row.but(status=Status.CAME_BACK, hint=why.error, moves=(), left=())
    return row.but(status=Status.REFUSED, reason=Reason.EXPORT, hint=why.error, moves=(), left=())


def unchanged(store: Store, plan: Plan, first: Plan) -> Plan:
    """Return the plan for one store without what is no longer what `first` has a copy of; its folders are held."""
    snapshot = store.read()
    rows = []
    for row in plan.rows:
        is_going = row.status is Status.WOULD_CLOSE
        why = _difference(store, snapshot, row, first.copies.get((row.agent, row.key))) if is_going else ""
        rows.append(row.but(status=Status.CAME_BACK, hint=why, moves=(), left=()) if why else row)
    return plan._replace(rows=tuple(rows))


def _difference(store: Store, snapshot: Snapshot, row: PlannedRow, copy: Exported | None) -> str:
    """Return why a copy is none of a session as it is now, "" where it is one."""
    session = snapshot.sessions.get(row.key)
    if copy is None or session is None:
        return _WRITTEN_TO
    try:
        with store.parts(session, snapshot, with_media=False) as now:
            return "" if mark(now) == copy.mark else _WRITTEN_TO
    except CloserError as problem:
        return problem.message
