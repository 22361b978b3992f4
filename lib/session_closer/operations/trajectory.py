"""Have a runtime make its own bundle of each session, for its support. That is no copy: nothing is compared."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import CloserError, Refused
from ..core.export.result import Export, ExportReport, Trajectory, Unexported
from ..core.keys import Target
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..ports.context import Console, Context
from ..ports.runtime import Place, Runtime
from ..system.clock import REAL, Clock
from . import export
from .export import Named

NO_COPY = "a trajectory is for OpenClaw's support, and no backup: masked, the active branch alone, never compared"
_SECRETS = "OpenClaw masks what it takes for a secret: read it before you hand it on"


class Wanted(NamedTuple):
    """Below which folder bundles are to be, and what one is to be called there, None: as the runtime calls it."""

    workspace: str
    name: str | None


def execute(
    where: Place,
    targets: Sequence[Target],
    wanted: Wanted,
    options: Options,
    *,
    console: Console | None = None,
    clock: Clock = REAL,
) -> ExportReport:
    """Return what became of each session; CloserError where nothing could be begun."""
    agents = sorted({target.agent for target in targets})
    context = Context(options, console=console or Console(), clock=clock)
    with export.looked_at(where, context, agents) as runtime:
        folder = export.checked_folder(runtime, wanted.workspace, agents)
        return _perform(runtime, targets, wanted._replace(workspace=folder))


def _perform(runtime: Runtime, targets: Sequence[Target], wanted: Wanted) -> ExportReport:
    made: list[Trajectory] = []
    failed: list[Unexported] = []
    for found in export.named(runtime, targets):
        done = found if isinstance(found, Unexported) else _one(runtime, found, wanted)
        if isinstance(done, Trajectory):
            made.append(done)
        else:
            failed.append(done)
        runtime.context.console.progress(len(made) + len(failed), len(targets))
    if made:
        runtime.context.console.warn(NO_COPY, _SECRETS)
        export.warn_of(runtime.context, Export(wanted.workspace, redact=True))
    warnings = tuple(runtime.context.console.warnings)
    return ExportReport(wanted.workspace, (), tuple(failed), warnings, trajectories=tuple(made))


def _one(runtime: Runtime, found: Named, wanted: Wanted) -> Trajectory | Unexported:
    agent, key = found.store.agent, found.session.key
    try:
        return Trajectory(agent, key, *runtime.trajectory(agent, key, wanted.workspace, wanted.name))
    except CloserError as problem:
        status = Status.REFUSED if isinstance(problem, Refused) else Status.FAILED
        return Unexported(found.given, agent, key, status, problem.message)
