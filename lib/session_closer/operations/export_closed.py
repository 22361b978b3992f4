"""Export what a run has closed, from its archives, checked against its receipt. No store is changed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial

from ..core.errors import Ours, Refused
from ..core.export.exported import Exported
from ..core.export.parts import Parts
from ..core.export.result import Export, ExportReport, Unexported
from ..core.status import Status
from ..core.wish import Options
from ..journal import receipts
from ..journal.source import ChosenSession, Origin, Source
from ..ports.context import Console, Context
from ..ports.runtime import Place, Runtime
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import export, runtimes
from .bundles import Whose

_UNKNOWN = "the receipt closed no session of this name"


def execute(
    where: Place,
    which: str,
    names: Sequence[str],
    ask: Export,
    options: Options,
    *,
    disk: Disk | None = None,
    console: Console | None = None,
    clock: Clock = REAL,
) -> ExportReport:
    """Return what became of each session that a run has closed, or of those of these names; CloserError."""
    context = Context(options, disk or Disk(), console or Console(), clock)
    with export.looked_at(runtimes.apart(where), context, []) as runtime:
        source, notes = runtimes.past(where, clock).source(which, None)
        if source.origin is not Origin.RECEIPT or source.restores:
            what = f"{which} is no receipt of a run that closed sessions"
            raise Refused(what, ("see them with:", Ours("restore-sessions", there=True), "--list"), name="no_receipt")
        context.console.warn(*notes)
        return _perform(runtime, source, names, ask)


def _perform(runtime: Runtime, source: Source, names: Sequence[str], ask: Export) -> ExportReport:
    chosen, unknown = receipts.select(source, names)
    sessions = [one for one in chosen if isinstance(one, ChosenSession)]
    folder = export.checked_folder(runtime, ask.folder, sorted({one.store.agent for one in sessions}))
    ask = ask._replace(folder=folder)
    rows: list[Exported | Unexported] = [Unexported(name, "", name, Status.NOT_FOUND, _UNKNOWN) for name in unknown]
    if len(sessions) < len(chosen):
        runtime.context.console.warn(f"files without a session are left out: {len(chosen) - len(sessions)}")
    for one in sessions:
        whose = Whose(
            one.store.agent, one.session.key, one.session.session_id, runtime.task()["runtime"], one.store.era
        )
        rows.append(export.written(runtime.context, ask, whose, one.given, partial(_parts, runtime, one, ask)))
    return export.told(runtime.context, ask, rows)


def _parts(runtime: Runtime, one: ChosenSession, ask: Export) -> AbstractContextManager[Parts]:
    return runtime.recorded(one.store).parts_put_away(one, with_media=ask.media)
