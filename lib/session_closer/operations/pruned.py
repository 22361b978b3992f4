"""What a cleanup of homes has to say: what became of each file or folder, what stays and why, what it came to."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core import artifacts
from ..core.artifacts import Artifact, Limits, Verdicts
from ..core.errors import CloserError
from ..core.report import ArtifactRow, Remainder, StoreResult
from ..core.shown import Totals
from ..core.status import FINE, Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from . import home_folders

if TYPE_CHECKING:
    from ..journal.record import StoreRecord
    from ..ports.artifacts import Home
    from .shelves import Shelf

NOT_REACHED = "not_reached"


class Fate(NamedTuple):
    """What became of one artifact: `why` it stayed, `export` the folder in which what is deleted can be read."""

    status: Status
    why: str = ""
    export: str | None = None


@dataclass(slots=True)
class Part:
    """One home in a run: what was decided, or why it cannot be looked at, and what became of it.

    `fates` are those of what goes, in its order, as far as the run came; `is_tidy`: folders that it deletes are gone.
    """

    home: Home
    verdicts: Verdicts = field(default_factory=lambda: Verdicts((), (), 0))
    shelves: tuple[Shelf, ...] = ()
    problem: CloserError | None = None
    record: StoreRecord | None = None
    fates: list[Fate] = field(default_factory=list)
    is_tidy: bool = False
    freed: list[ArtifactRow] = field(default_factory=list)
    # Of what stays since its session could not be exported, and of archives that cannot be freed.
    refused: list[ArtifactRow] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many files and folders are to go."""
        return len(self.verdicts.going) + len(self.shelves)


def row(home: Home, artifact: Artifact, status: Status, why: str, now: float) -> ArtifactRow:
    """Return what became of an artifact, or is to."""
    kind, path, owner, at, size, *_ = artifact
    return ArtifactRow(home.agent, f"{home.root}/{path}", kind, status, owner, why, artifacts.age(at, now), size)


def shelf_row(home: Home, shelf: Shelf, status: Status) -> ArtifactRow:
    """Return what became of an archive, or is to."""
    path = f"{home.root}/{home_folders.archive_of(shelf.run)}"
    return ArtifactRow(home.agent, path, "archive", status, why="expired", age=shelf.age, size=shelf.size)


def stuck_shelf(home: Home, shelf: Shelf, status: Status, why: str, error: str | None = None) -> ArtifactRow:
    """Return the row of an archive that is to be freed and cannot be, `error`: what of it stays, and why."""
    return shelf_row(home, shelf, status)._replace(why=why, error=error)


def rows(parts: Sequence[Part], options: Options, now: float) -> tuple[list[ArtifactRow], tuple[Remainder, ...]]:
    """Return rows for what went or is to, and for each home that could not be looked at; and what has no row.

    All that did not go as was wanted has one, and of the rest so much of each home as is shown. What stays has one,
    too, where all rows are wanted.
    """
    found: list[ArtifactRow] = []
    sizes = defaultdict[Status, list[int]](list)
    every = options.most_rows is None
    for part in parts:
        found += _ahead(part)
        left = options.most_rows or 0
        for artifact, status, why, export in _outcomes(part, options):
            if every or status not in FINE or (left > 0 and status is not Status.KEPT):
                one = row(part.home, artifact, status, why, now)
                found.append(one if export is None else one._replace(export=export))
                left -= status in FINE
            elif status is not Status.KEPT:
                sizes[status].append(artifact.size)
        if every:
            found += [row(part.home, artifact, Status.KEPT, why, now) for artifact, why in part.verdicts.kept]
    return found, tuple(Remainder(status, len(of_it), sum(of_it)) for status, of_it in sizes.items())


def _ahead(part: Part) -> Iterator[ArtifactRow]:
    """Give the rows of all but what was decided of a home."""
    if part.problem is not None:
        yield ArtifactRow(
            part.home.agent,
            part.home.root,
            "home",
            Status.FAILED,
            why=part.problem.name,
            error=part.problem.message,
        )
    yield from part.refused
    yield from part.freed
    if part.record is None:
        yield from (shelf_row(part.home, shelf, Status.WOULD_EXPIRE) for shelf in part.shelves)


def _outcomes(part: Part, options: Options) -> Iterator[tuple[Artifact, Status, str, str | None]]:
    """Give what is to become of each thing that goes, or what became of it, and why, and where it can be read."""
    going = part.verdicts.going
    if part.record is None:
        lost = {rule.name for rule in part.home.rules if not rule.returns}
        for artifact, why in going:
            is_lost = options.delete or artifact.kind in lost
            yield artifact, Status.WOULD_DELETE if is_lost else Status.WOULD_ARCHIVE, why, None
        return
    for (artifact, why), fate in zip(going, part.fates, strict=False):
        if fate.status is Status.DELETED and artifact.folder and not part.is_tidy:
            # It is gone once the folder is in which it was put aside.
            yield artifact, Status.FAILED, NOT_REACHED, None
        else:
            yield artifact, fate.status, fate.why or why, fate.export
    if not part.is_tidy:
        yield from ((artifact, Status.FAILED, NOT_REACHED, None) for artifact, _ in going[len(part.fates) :])


def stores(parts: Sequence[Part], runtime: str) -> tuple[StoreResult, ...]:
    """Return the homes that a run was about."""
    return tuple(StoreResult(part.home.agent, part.home.root, runtime) for part in parts)


def totals(parts: Sequence[Part], limits: Limits) -> Totals:
    """Return what a cleanup has left, or would leave."""
    spared: Counter[str] = Counter()
    for part in parts:
        spared.update(part.verdicts.spared())
        spared.update(fate.why for fate in part.fates if fate.status is Status.KEPT)
        spared.update(row.why or "" for row in part.refused if row.status is Status.KEPT)
    return Totals(
        dict(sorted(spared.items())),
        None if limits.max_disk is None else any(part.verdicts.over_budget for part in parts),
    )
