"""What a cleanup of homes has to say: what became of each file or folder, what stays and why, what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core import artifacts
from ..core.artifacts import Artifact, Limits, Verdicts
from ..core.errors import CloserError
from ..core.model import Status
from ..core.report import ArtifactRow, StoreResult
from ..core.shown import Totals
from ..core.wish import Options
from . import home_folders

if TYPE_CHECKING:
    from ..journal.record import StoreRecord
    from ..ports.artifacts import Home
    from .shelves import Shelf

NOT_REACHED = "not_reached"


@dataclass(slots=True)
class Part:
    """One home in a run: what was decided, or why it cannot be looked at, and what became of it."""

    home: Home
    verdicts: Verdicts = field(default_factory=lambda: Verdicts((), (), 0))
    shelves: tuple[Shelf, ...] = ()
    problem: CloserError | None = None
    record: StoreRecord | None = None
    rows: list[ArtifactRow] = field(default_factory=list)
    # Of folders that lie aside until they are deleted.
    condemned: list[ArtifactRow] = field(default_factory=list)
    freed: list[ArtifactRow] = field(default_factory=list)
    # Of what stays since its session could not be exported.
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


def rows(parts: Sequence[Part], options: Options, now: float) -> list[ArtifactRow]:
    """Return a row for all that went or is to, and for each home that could not be looked at.

    What stays has one, too, where all rows are wanted.
    """
    return [one for part in parts for one in _rows(part, options, now)]


def _rows(part: Part, options: Options, now: float) -> Iterator[ArtifactRow]:
    if part.problem is not None:
        yield ArtifactRow(
            part.home.agent,
            part.home.root,
            "home",
            Status.FAILED,
            why=part.problem.name,
            error=part.problem.message,
        )
    every = options.most_rows is None
    yield from part.refused
    yield from part.freed
    yield from (one for one in part.rows if every or one.status is not Status.KEPT)
    if part.record is None:
        yield from (shelf_row(part.home, shelf, Status.WOULD_EXPIRE) for shelf in part.shelves)
        yield from _planned(part, options, now)
    elif len(part.rows) < len(part.verdicts.going):
        done = {one.path for one in part.rows}
        left = [one for one, _ in part.verdicts.going if f"{part.home.root}/{one.path}" not in done]
        yield from (row(part.home, artifact, Status.FAILED, NOT_REACHED, now) for artifact in left)
    if every:
        yield from (row(part.home, artifact, Status.KEPT, why, now) for artifact, why in part.verdicts.kept)


def _planned(part: Part, options: Options, now: float) -> Iterator[ArtifactRow]:
    """Give a row for each artifact that is to go."""
    lost = {rule.name for rule in part.home.rules if not rule.returns}
    for artifact, why in part.verdicts.going:
        goes = options.delete or artifact.kind in lost
        yield row(part.home, artifact, Status.WOULD_DELETE if goes else Status.WOULD_ARCHIVE, why, now)


def stores(parts: Sequence[Part], runtime: str) -> tuple[StoreResult, ...]:
    """Return the homes that a run was about."""
    return tuple(StoreResult(part.home.agent, part.home.root, runtime) for part in parts)


def totals(parts: Sequence[Part], limits: Limits) -> Totals:
    """Return what a cleanup has left, or would leave."""
    spared: Counter[str] = Counter()
    for part in parts:
        spared.update(part.verdicts.spared())
        spared.update(one.why for one in part.rows if one.status is Status.KEPT and one.why)
    return Totals(
        dict(sorted(spared.items())),
        None if limits.max_disk is None else any(part.verdicts.over_budget for part in parts),
    )
