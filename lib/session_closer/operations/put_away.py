"""Carry out a cleanup of homes of files: put away, or delete, what was decided, on record first, home by home."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..artifacts import scan
from ..artifacts.aside import Aside
from ..artifacts.engine import Became
from ..core.artifacts import ELSEWHERE, IMMOVABLE, Artifact
from ..core.errors import CloserError, Refused, StorageFailed
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..journal.record import HOME, ArtifactRecord, StoreRecord
from ..journal.stopped import STOPPING, stopped
from ..ports.artifacts import Disposal, Home, Place
from ..ports.context import Context
from . import home_folders, pruned
from .pruned import Fate, Part
from .transaction import Transaction

CHANGED, GONE = "changed", "gone"
_ARCHIVED, _DELETED = Fate(Status.ARCHIVED), Fate(Status.DELETED)
# What a receipt says of each artifact at the end is longer than what is planned, and the next line of a list, too.
_SPARE_BYTES = 64 << 10


class Ended(NamedTuple):
    """How a run ended: its receipt, or its record where an error ended it, and the command that undoes it."""

    error: CloserError | None = None
    receipt: str | None = None
    undo: str | None = None


@dataclass(frozen=True, slots=True)
class _Run:
    """Which homes a run is about, how it was asked for, and what is on record of it."""

    where: Place
    context: Context
    transaction: Transaction

    @property
    def options(self) -> Options:
        """How it was asked."""
        return self.context.options


def perform(where: Place, operation: str, parts: Sequence[Part], context: Context) -> Ended:
    """Do what was decided, home by home; what becomes of it is in the parts. CloserError: nothing was changed."""
    transaction = Transaction(context.disk, where.state, operation, context.options.reason, context.clock)
    run = _Run(where, context, transaction)
    try:
        error = _change(run, parts)
    finally:
        transaction.release()
    if error is not None:
        return Ended(error, transaction.journal.path if transaction.journal is not None else transaction.receipt)
    return Ended(None, transaction.receipt, transaction.undo(context.options))


def _change(run: _Run, parts: Sequence[Part]) -> CloserError | None:
    """Do what was decided, home by home; return what ended the run early."""
    transaction = run.transaction
    try:
        for part in parts:
            if part.count:
                _change_home(run, part)
        # A run that changes nothing has no receipt.
        if all(fate.status is Status.KEPT for part in parts for fate in part.fates) and not any(
            part.freed for part in parts
        ):
            transaction.drop()
            return None
        assert transaction.journal is not None
        assert transaction.record is not None
        ended = transaction.record.but(
            stores=tuple(part.record for part in parts if part.record is not None),
            state="done",
            finished_at=run.context.clock.iso_now(),
        )
        transaction.journal.finish(ended)
    except STOPPING as problem:
        # The record stays open: the next changing command finishes the run.
        error = stopped(problem, run.where.state, has_changed=any(part.fates or part.freed for part in parts))
        for part in parts if transaction.record is not None else ():
            _note_last(run, part)
        return error
    return None


def _note_last(run: _Run, part: Part) -> None:
    """Note what was put away in the moment in which the run was stopped."""
    left = part.verdicts.going[len(part.fates) :]
    if part.record is None or not left or run.options.delete or part.home.disposal(left[0][0].kind) is not None:
        return
    # A disk that has failed may go on failing, and what is known already is to be told.
    with (
        contextlib.suppress(OSError),
        Aside(run.context.disk, part.home.root, home_folders.archive_of(run.transaction.id)) as aside,
    ):
        if aside.place_of(left[0][0].path) is Became.AWAY:
            part.fates.append(_ARCHIVED)


def _change_home(run: _Run, part: Part) -> None:
    home, going = part.home, part.verdicts.going
    notes = {rule.name: rule.note for rule in home.rules}
    part.record = StoreRecord(
        agent=home.agent,
        era=run.where.runtime,
        path=home.root,
        roots={HOME: home.root},
        removes=tuple(shelf.run for shelf in part.shelves),
        artifacts=tuple(_planned(one, notes.get(one.kind, "")) for one, _ in going),
        deletes=run.options.delete,
    )
    run.transaction.note_first(part.record)
    assert run.transaction.journal is not None
    assert run.transaction.record is not None
    if run.options.delete and len(run.transaction.record.stores) == 1:
        # A full disk gives room again only once something is gone, and what is gone has to be on record.
        try:
            run.transaction.journal.reserve(_SPARE_BYTES)
        except StorageFailed:
            part.record = None
            run.transaction.forget()
            raise
    with Aside(run.context.disk, home.root, home_folders.archive_of(run.transaction.id)) as aside:
        _free_shelves(part, aside)
        ended = tuple(_each_taken(run, part, aside))
        aside.tidy()
        _note_left(run, part, aside)
    part.is_tidy = True
    run.context.console.warn(*home.end())
    part.record = part.record.but(artifacts=ended)


def _each_taken(run: _Run, part: Part, aside: Aside) -> Iterator[ArtifactRecord]:
    """Put away, or delete, one thing after another; give the record of each with what became of it."""
    assert part.record is not None
    home, going, watch = part.home, part.verdicts.going, run.context.console.watch
    disposals = {kind: home.disposal(kind) for kind in {artifact.kind for artifact, _ in going}}
    for number, (planned, (artifact, _)) in enumerate(zip(part.record.artifacts, going, strict=True)):
        fate = _take(run, home, aside, artifact, disposals[artifact.kind])
        if fate.status is Status.DELETED and not home_folders.returns(home, artifact.kind):
            fate = fate._replace(export=f"{home.root}/{_folder(run, home, artifact)}")
        part.fates.append(fate)
        watch(number + 1, len(going))
        ended = planned.but(status="dropped" if fate.status is Status.KEPT else str(fate.status))
        yield ended if fate.export is None else ended.but(export=fate.export)


def _planned(one: Artifact, note: str) -> ArtifactRecord:
    return ArtifactRecord(one.kind, one.path, one.owner, one.size, one.folder, note=note)


def _take(run: _Run, home: Home, aside: Aside, artifact: Artifact, disposal: Disposal | None) -> Fate:
    """Put one artifact away, or delete it, if it is still as it was; return what became of it."""
    why = home.objection(artifact) or (_difference(aside, artifact) if disposal is None else "")
    if why:
        return Fate(Status.KEPT, why)
    if disposal is not None:
        return _stowed(run, home, disposal, aside, artifact)
    if run.options.delete:
        done, became = _DELETED, (aside.discard if artifact.folder else aside.remove)(artifact.path)
    else:
        done, became = _ARCHIVED, aside.put_away(artifact.path)
    if became is Became.AWAY:
        return done
    return Fate(Status.KEPT, {Became.ELSEWHERE: ELSEWHERE, Became.STUCK: IMMOVABLE}.get(became, GONE))


def _stowed(run: _Run, home: Home, disposal: Disposal, aside: Aside, artifact: Artifact) -> Fate:
    """Have put away, or deleted, what no rename can move."""
    stowage = home.stowage(artifact.kind)
    try:
        if run.options.delete and stowage is not None:
            return _DELETED if stowage.discard(artifact) else Fate(Status.KEPT, CHANGED)
        if not disposal.stow(artifact, aside.make(_folder(run, home, artifact))):
            return Fate(Status.KEPT, CHANGED)
        return _DELETED if stowage is None else _ARCHIVED
    except Refused as problem:
        run.context.console.warn(problem.message)
        return Fate(Status.KEPT, problem.name)


def _folder(run: _Run, home: Home, artifact: Artifact) -> str:
    return home_folders.folder_of(home, run.transaction.id, artifact.kind, artifact.path)


def _difference(aside: Aside, artifact: Artifact) -> str:
    """Return how an artifact differs from what was looked at, "" where it does not."""
    status = aside.stat(artifact.path)
    if status is None:
        return GONE
    if scan.stamp_of(status) != artifact.stamp:
        return CHANGED
    if artifact.folder and aside.weighed(artifact.path) != artifact.weight:
        return CHANGED
    return ""


def _free_shelves(part: Part, aside: Aside) -> None:
    """Remove what earlier runs have put away, and the folders of it."""
    for shelf in part.shelves:
        archive = home_folders.archive_of(shelf.run)
        aside.remove(archive)
        why = aside.left.pop(archive, None)
        part.freed.append(
            pruned.shelf_row(part.home, shelf, Status.EXPIRED)
            if why is None
            else pruned.stuck_shelf(part.home, shelf, Status.FAILED, IMMOVABLE, why)
        )


def _note_left(run: _Run, part: Part, aside: Aside) -> None:
    """Call failed what was to be deleted and is not whole: it is out of the home, and part of it in the archive."""
    archive = home_folders.archive_of(run.transaction.id)
    for number, (artifact, _) in enumerate(part.verdicts.going):
        if why := aside.left.get(f"{archive}/{artifact.path}"):
            part.fates[number] = Fate(Status.FAILED, IMMOVABLE)
            run.context.console.warn(home_folders.left_over(why))
