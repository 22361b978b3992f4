"""Copies of the sessions whose files a cleanup takes: made and compared first; without one all of a session stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from ..artifacts import scan
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


class _Seen(NamedTuple):
    """What the exports of a home are of: where their streams are from, and what is in none of them, below the home."""

    origins: set[str]
    left_out: set[str]


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
        context.console.warn(f"{what} in no export, or not whole: of no session, or not of what was said in one")
    return tuple(copies)


def _of_home(run: _Run, part: Part, copies: list[Exported]) -> int:
    """Export the sessions of what goes of one home; return how much of it is in no export."""
    work, home = run.work, part.home
    going = [artifact for artifact, _ in part.verdicts.going]
    sessions = {one.path: [one.owner] if one.owner else work.exporting.named(home.root, one.path) for one in going}
    every = dict.fromkeys(chain.from_iterable(sessions.values()))
    seen = _Seen(set(), set())
    failed: dict[str, Unexported] = {}
    for number, session in enumerate(every):
        done, why_not = _copied(run, home, session, seen)
        if done is not None:
            copies.append(done)
        if why_not is not None:
            failed[session] = why_not
        work.context.console.watch(number + 1, len(every))
    why = {one.path: next((failed[each] for each in sessions[one.path] if each in failed), None) for one in going}
    part.refused += [_staying(run, home, one, problem) for one in going if (problem := why[one.path]) is not None]
    part.verdicts = part.verdicts._replace(going=tuple(each for each in part.verdicts.going if not why[each[0].path]))
    return sum(not _is_copied(home.root, one, seen) for one, _ in part.verdicts.going)


def _is_copied(root: str, one: Artifact, seen: _Seen) -> bool:
    """Tell whether all that is in something is in an export."""
    path = f"{root}/{one.path}"
    if not one.folder or path in seen.origins:
        # A row is below its database, of which it is in a stream.
        return path in seen.origins or not seen.origins.isdisjoint(_above(path))
    inside = (f"{one.path}/{name}" for name in scan.filled(root, one.path))
    return all(f"{root}/{each}" in seen.origins or each in seen.left_out for each in inside)


def _copied(run: _Run, home: Home, session: str, seen: _Seen) -> tuple[Exported | None, Unexported | None]:
    """Export a session; return its export, if there is one, and why what it has left stays, None: it need not.

    A dry run only looks.
    """
    work = run.work
    reader = export_homes.Reader(work.exporting, home.root, session, work.context.clock)
    done = (work.looked if work.context.options.dry_run else work.written)(home.agent, session, reader)
    seen.origins.update(reader.origins)
    seen.left_out.update(left.what for left in reader.left_out)
    if reader.is_absent:
        return None, None
    if isinstance(done, Unexported):
        return None, done
    if done is None:
        run.ahead.append(session)
    for what, why, lost in reader.left_out:
        if lost:
            said = f"not all of it can be exported: {what}: {why}"
            return done, Unexported(session, home.agent, session, Status.REFUSED, said)
    return done, None


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _staying(run: _Run, home: Home, one: Artifact, why: Unexported) -> ArtifactRow:
    """Return the row of what stays, since its session could not be exported."""
    is_back = why.status is Status.CAME_BACK
    status, reason = (Status.CAME_BACK, "") if is_back else (Status.REFUSED, str(Reason.EXPORT))
    return pruned.row(home, one, status, reason, run.now)._replace(error=why.error)
