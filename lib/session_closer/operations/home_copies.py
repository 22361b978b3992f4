"""Copies of the sessions whose files a cleanup takes: made and compared first; without one all of a session stays."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..core.artifacts import Artifact
from ..core.export import parts as names
from ..core.export.exported import Exported
from ..core.export.result import Export, Unexported
from ..core.model import Reason, Status
from ..core.report import ArtifactRow
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from . import bundles, export, export_homes, pruned, runtimes
from .export_homes import Work
from .pruned import Part


class _Run(NamedTuple):
    """What is exported on the way of one cleanup, which began at a moment in seconds since 1970."""

    work: Work
    now: float


def made(where: Place, parts: Sequence[Part], context: Context, folder: str, now: float) -> tuple[Exported, ...]:
    """Export into a folder the sessions of what is about to go; what has no copy of its session stays, in `refused`.

    A dry run exports nothing, and says of what is there already. Refused for a folder that is none for this.
    """
    ask = Export(export_homes.checked_folder(where, folder))
    export.warn_of(context, ask)
    run = _Run(export_homes.Work(context, where, runtimes.exporting(where.runtime), ask), now)
    copies: list[Exported] = []
    alone = sum(_of_home(run, part, copies) for part in parts)
    if alone:
        what = "1 file or folder that goes is" if alone == 1 else f"{alone:,} files and folders that go are"
        context.console.warn(f"{what} in no export: of no session, or not of what was said in one")
    return tuple(copies)


def _of_home(run: _Run, part: Part, copies: list[Exported]) -> int:
    """Export the sessions of what goes of one home; return how much of it is in no export."""
    work, home = run.work, part.home
    by_session: dict[str | None, list[Artifact]] = defaultdict(list)
    for artifact, _ in part.verdicts.going:
        by_session[artifact.owner or work.exporting.named(artifact.path)].append(artifact)
    stays: dict[str, ArtifactRow] = {}
    alone = 0
    for number, (session, some) in enumerate(by_session.items()):
        done, origins = _copied(work, home, session)
        if isinstance(done, Unexported):
            stays |= {one.path: _staying(run, home, one, done) for one in some}
        else:
            copies += [done] if done is not None else []
            alone += sum(not _is_in(origins, f"{home.root}/{one.path}") for one in some)
        work.context.console.watch(number + 1, len(by_session))
    part.refused = list(stays.values())
    going = tuple(each for each in part.verdicts.going if each[0].path not in stays)
    part.verdicts = part.verdicts._replace(going=going)
    return 0 if work.context.options.dry_run else alone


def _copied(work: Work, home: Home, session: str | None) -> tuple[Exported | Unexported | None, Collection[str]]:
    """Export a session; return what became of that, None where there is none, and where its streams are from."""
    if session is None:
        return None, ()
    if work.context.options.dry_run:
        path = os.path.join(work.ask.folder, *names.path(home.agent, session, session))
        is_taken = os.path.lexists(path)
        why = f"{path} {bundles.TAKEN}"
        return (Unexported(session, home.agent, session, Status.REFUSED, why) if is_taken else None), ()
    reader = export_homes.Reader(work.exporting, home.root, session, work.context.clock)
    done = work.written(home.agent, session, reader)
    return (None if reader.is_absent else done), reader.origins


def _is_in(origins: Collection[str], path: str) -> bool:
    """Tell whether streams of these origins have a file, a folder, or a row of a database."""
    return any(one == path or one.startswith(f"{path}/") or path.startswith(f"{one}/") for one in origins)


def _staying(run: _Run, home: Home, one: Artifact, why: Unexported) -> ArtifactRow:
    """Return the row of what stays, since its session could not be exported."""
    is_back = why.status is Status.CAME_BACK
    status, reason = (Status.CAME_BACK, "") if is_back else (Status.REFUSED, str(Reason.EXPORT))
    return pruned.row(home, one, status, reason, run.now)._replace(error=why.error)
