"""What is to come back of a home: where each thing is now, whether it is what was put away, and its way back."""

from __future__ import annotations

from collections.abc import Iterator

from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.errors import Refused
from ..core.report import ArtifactRow
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..journal.record import ArtifactRecord
from ..ports.artifacts import Home
from ..ports.context import Context
from . import home_folders

Outcome = tuple[Status, str | None]
_ENDS: dict[Became, Outcome] = {
    Became.LIVE: (Status.RESTORED, None),
    Became.TAKEN: (Status.CONFLICT, "something else is there by now"),
    Became.GONE: (Status.FAILED, "its archive is gone"),
    Became.ELSEWHERE: (Status.FAILED, "its archive is on another file system by now"),
    Became.STUCK: (Status.FAILED, "nobody may move its archive"),
}
_THERE: Outcome = (Status.ALREADY_RESTORED, None)
_STOWED = {"live": Became.LIVE, "taken": Became.TAKEN, "gone": Became.GONE}


class Part(NamedTuple):
    """What is to be brought back of one home, and of which run."""

    home: Home
    wanted: tuple[ArtifactRecord, ...]
    run: str

    @property
    def archive(self) -> str:
        """The archive that has it, by its path below the home."""
        return home_folders.archive_of(self.run)

    def row(self, one: ArtifactRecord, status: Status, why: str | None) -> ArtifactRow:
        """Return what became of one of these, or is to."""
        return row(self.home.agent, self.home.root, one, status, why)


def row(agent: str, root: str, one: ArtifactRecord, status: Status, why: str | None = None) -> ArtifactRow:
    """Return what became of a thing of a home, or is to."""
    return ArtifactRow(agent, f"{root}/{one.path}", one.kind, status, one.session_id, size=one.size, error=why)


def looked_at(context: Context, part: Part) -> Iterator[ArtifactRow]:
    """Give what would become of each thing if it were brought back now."""
    with Aside(context.disk, part.home.root, part.archive) as aside:
        for one in part.wanted:
            yield part.row(one, *_obstacle(part, aside, one, place_of(part, aside, one)))


def is_back(context: Context, part: Part) -> bool:
    """Tell whether all of it is where it was."""
    with Aside(context.disk, part.home.root, part.archive) as aside:
        return all(place_of(part, aside, one) is Became.LIVE for one in part.wanted)


def brought(part: Part, aside: Aside, one: ArtifactRecord) -> Outcome:
    """Bring one back; return what became of it, and why."""
    stowage = part.home.stowage(one.kind)
    place = aside.settle(one.path) if stowage is None else place_of(part, aside, one)
    # What a killed undo has left in both places recovery has settled by now.
    found = _obstacle(part, aside, one, place)
    if found[0] is not Status.WOULD_RESTORE:
        return found
    if stowage is None:
        return _ENDS[aside.bring_back(one.path)]
    try:
        return _ENDS[_STOWED[stowage.restow(one.path, aside.make(_archived(part, one)))]]
    except Refused as problem:
        return Status.FAILED, problem.message


def place_of(part: Part, aside: Aside, one: ArtifactRecord) -> Became:
    """Tell where it is: TAKEN in two places."""
    stowage = part.home.stowage(one.kind)
    if stowage is None:
        return aside.place_of(one.path)
    live, away = stowage.is_live(one.path), aside.stat(_archived(part, one)) is not None
    if live:
        return Became.TAKEN if away else Became.LIVE
    return Became.AWAY if away else Became.GONE


def _archived(part: Part, one: ArtifactRecord) -> str:
    return f"{part.archive}/{one.path}"


def _obstacle(part: Part, aside: Aside, one: ArtifactRecord, place: Became) -> Outcome:
    """Return why something in a place does not come back, WOULD_RESTORE where nothing stands in its way."""
    if place is Became.LIVE:
        return _THERE
    if place is not Became.AWAY:
        return _ENDS[place]
    path, stowage = _archived(part, one), part.home.stowage(one.kind)
    if stowage is not None:
        why = stowage.obstacle(one.path, f"{part.home.root}/{path}")
        return (Status.FAILED, why) if why else (Status.WOULD_RESTORE, None)
    if not aside.is_of(path, one.size, is_folder=one.folder):
        return Status.FAILED, f"its archive is not what was put there: it stays in {part.home.root}/{path}"
    return _ENDS[Became.TAKEN] if aside.is_barred(one.path) else (Status.WOULD_RESTORE, None)
