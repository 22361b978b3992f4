"""Copies of the sessions whose files a cleanup takes: made and compared first; without one all of a session stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from ..core.artifacts import Artifact
from ..core.export.exported import Exported
from ..core.export.result import Export, Unexported
from ..core.report import ArtifactRow
from ..core.status import Reason, Status
from ..core.tuples import NamedTuple
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from . import export, export_homes, pruned, runtimes
from .export_homes import Work
from .pruned import Part


class _Run(NamedTuple):
    """What is exported on the way of one cleanup, which began at a moment in seconds since 1970.

    `ahead`: the sessions that a dry run finds no reason against.
    """

    work: Work
    now: float
    ahead: list[str]


def made(where: Place, parts: Sequence[Part], context: Context, folder: str, now: float) -> tuple[Exported, ...]:
    """Export into a folder the sessions of what is about to go; what has no copy of its session stays, in `refused`.

    A dry run exports nothing, and says what it sees that could not be. Refused for a folder that is none for this.
    """
    ask = Export(export_homes.checked_folder(where, folder))
    run = _Run(export_homes.Work(context, where, runtimes.exporting(where.runtime), ask), now, [])
    copies: list[Exported] = []
    alone = sum(_of_home(run, part, copies) for part in parts)
    if copies or run.ahead:
        export.warn_of(context, ask)
    if alone:
        what = "1 file or folder that goes is" if alone == 1 else f"{alone:,} files and folders that go are"
        context.console.warn(f"{what} in no export: of no session, or not of what was said in one")
    return tuple(copies)


def _of_home(run: _Run, part: Part, copies: list[Exported]) -> int:
    """Export the sessions of what goes of one home; return how much of it is in no export."""
    work, home = run.work, part.home
    going = [artifact for artifact, _ in part.verdicts.going]
    sessions = {one.path: [one.owner] if one.owner else work.exporting.named(home.root, one.path) for one in going}
    every = dict.fromkeys(chain.from_iterable(sessions.values()))
    origins: set[str] = set()
    failed: dict[str, Unexported] = {}
    for number, session in enumerate(every):
        done = _copied(run, home, session, origins)
        if isinstance(done, Unexported):
            failed[session] = done
        elif done is not None:
            copies.append(done)
        work.context.console.watch(number + 1, len(every))
    why = {one.path: next((failed[each] for each in sessions[one.path] if each in failed), None) for one in going}
    part.refused = [_staying(run, home, one, problem) for one in going if (problem := why[one.path]) is not None]
    part.verdicts = part.verdicts._replace(going=tuple(each for each in part.verdicts.going if not why[each[0].path]))
    copied = {path for origin in origins for path in (origin, *_above(origin))}
    left = (f"{home.root}/{one.path}" for one, _ in part.verdicts.going)
    # A row is below its database, of which it is in a stream.
    return sum(path not in copied and origins.isdisjoint(_above(path)) for path in left)


def _copied(run: _Run, home: Home, session: str, origins: set[str]) -> Exported | Unexported | None:
    """Export a session; return what became of that, None where there is none.

    `origins` gets where its streams are from. A dry run only looks, and has None where nothing is against it.
    """
    work = run.work
    reader = export_homes.Reader(work.exporting, home.root, session, work.context.clock)
    done = (work.looked if work.context.options.dry_run else work.written)(home.agent, session, reader)
    origins |= reader.origins
    if reader.is_absent:
        return None
    if done is None:
        run.ahead.append(session)
    return done


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _staying(run: _Run, home: Home, one: Artifact, why: Unexported) -> ArtifactRow:
    """Return the row of what stays, since its session could not be exported."""
    is_back = why.status is Status.CAME_BACK
    status, reason = (Status.CAME_BACK, "") if is_back else (Status.REFUSED, str(Reason.EXPORT))
    return pruned.row(home, one, status, reason, run.now)._replace(error=why.error)
