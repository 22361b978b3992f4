"""What stands in the way of a run once it is known what it is going to change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import escape, hints, keys
from ..core.errors import CloserError, Refused
from ..core.model import Plan, PlannedRow
from ..core.status import Status
from ..journal import history
from .request import Look, Request

if TYPE_CHECKING:
    from ..core.findings import Chores


def refusal(request: Request, found: Look, plan: Plan) -> CloserError | None:
    """Return why the whole run may not go on, None where it may."""
    absent = [row for row in plan.others if row.status is Status.NOT_FOUND]
    if (slip := _slip(request, absent)) is not None:
        return slip
    unknown = [row.given for row in absent]
    if request.wish.keep and unknown:
        return Refused(
            f"nothing was changed: not found in agent {request.wish.agent}: {', '.join(map(escape.plain, unknown))}",
            f"name sessions that are there; {hints.shown_by(request.options.see, str(request.wish.agent))}",
            name="unknown_name",
        )
    going = Counter({agent: len(rows) for agent, rows in plan.by_agent.items()})
    going.update([row.agent for row in plan.deferred])
    return in_the_way(request, found, going, plan.tidying, _written(found, plan))


def in_the_way(
    request: Request, found: Look, going: Mapping[str, int], tidying: Mapping[str, Chores], written: Iterable[str]
) -> CloserError | None:
    """Return why so many sessions, by agent, and files may not go, None where they may; `written`: folders."""
    count = sum(going.values())
    files = sum(len(each.orphans) + len(each.expired) for each in tidying.values())
    if count + files > request.options.limit and not request.options.yes:
        what = f"{count} sessions would be closed" if not files else f"{count} sessions and {files} files would go"
        # Not the bare command: whoever types what an error ends with is to read this first.
        remedy = f"if all of them are meant: {request.options.again}"
        return Refused(f"{what}, more than --max {request.options.limit}", remedy, name="too_many")
    # Where openclaw.json says warn nothing is going to be changed here, nor by a rehearsal: nothing can be in the way.
    if count + files == 0 or request.wish.only_warns() or request.options.rehearse is not None:
        return None
    problem = request.runtime.refusal([found.stores[agent] for agent in going]) if count else None
    return problem or request.runtime.unwritable([*written, *_tidied(found, tidying)]) or _unrecorded(request)


def _unrecorded(request: Request) -> CloserError | None:
    """Return why a run that is to be told of could not have its place behind the earlier ones, None where it could."""
    # One that is carried out finds that out as it begins, and does not look twice.
    if request.options.dry_run:
        try:
            history.next_sequence(request.runtime.root)
        except Refused as problem:
            return problem
    return None


def _slip(request: Request, absent: Sequence[PlannedRow]) -> CloserError | None:
    """Return what is wrong with a name that can be no session's, None where there is none such."""
    # Of what was deferred all names have been looked at, and no filter is a name.
    named = [] if request.options.late else [row for row in absent if row.reason is None]
    return next(filter(None, (keys.slip(row.given, row.agent) for row in named)), None)


def _written(found: Look, plan: Plan) -> Iterator[str]:
    """Give the folders that the close of sessions writes to."""
    going: dict[str, list[PlannedRow]] = defaultdict(list)
    for row in (*plan.closing, *plan.deferred):
        going[row.agent].append(row)
    for agent, rows in going.items():
        yield from found.stores[agent].written(rows)


def _tidied(found: Look, tidying: Mapping[str, Chores]) -> Iterator[str]:
    """Give the folders in which files go that belong to no session."""
    for agent in tidying:
        store = found.stores[agent]
        yield from (store.place, store.folder) if store.traits.loose_files else (store.folder,)
