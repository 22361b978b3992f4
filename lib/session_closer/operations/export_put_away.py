"""Export sessions from what a cleanup of homes has put away, checked against its receipt. Nothing is changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..artifacts.aside import Aside
from ..core.artifacts import ROW
from ..core.errors import Ours, Refused
from ..core.export.exported import Exported
from ..core.export.result import Export, ExportReport, Unexported
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..journal.record import ArtifactRecord
from ..journal.source import Source
from ..journal.stopped import storage
from ..ports.artifacts import Away, Place, Profile
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import bring_back, export_homes, held_homes, home_folders, runtimes
from .export_homes import Work

_UNKNOWN = "the receipt has put nothing away of a session of this name"


class _Lot(NamedTuple):
    """What a run has put away of one session of a home, and the folder in which its rows are, "": they did not go."""

    profile: Profile
    session_id: str
    artifacts: Sequence[ArtifactRecord]
    rows: str


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
    """Return what became of each session of which a run has put something away, or of those of these names."""
    context = Context(options._replace(dry_run=True), disk or Disk(), console or Console(), clock)
    try:
        work = export_homes.begun(where, runtimes.exporting(where.runtime), ask, context)
        source = bring_back.chosen(where, which)
        if source.restores:
            what = f"{which} is no receipt of a run that put anything away"
            raise Refused(what, ("see them with:", Ours("restore-sessions", there=True), "--list"), name="no_receipt")
        lots, homeless = list(_lots(work, source)), list(_homeless(work, source))
        known = {*(lot.session_id for lot in lots), *(one.key for one in homeless)}
        missing = [name for name in dict.fromkeys(names) if name not in known]
        rows: list[Exported | Unexported] = [Unexported(name, "", name, Status.NOT_FOUND, _UNKNOWN) for name in missing]
        rows += [one for one in homeless if not names or one.key in names]
        rows += [_one(work, source, lot) for lot in lots if not names or lot.session_id in names]
    except OSError as problem:
        raise storage(problem, where.state) from None
    return work.told(rows)


def _lots(work: Work, source: Source) -> Iterator[_Lot]:
    """Give what was put away, session by session; say how much is of none."""
    profiles = _profiles(work)
    meant = [store for store in source.stores if store.path in profiles]
    held_homes.check([store.path for store in meant])
    alone = 0
    for store in meant:
        lying: dict[str, list[ArtifactRecord]] = defaultdict(list)
        rows: dict[str, str] = {}
        for one in store.artifacts:
            if one.kind == ROW and one.export and one.session_id is not None:
                rows[one.session_id] = one.export
            if one.status != str(Status.ARCHIVED):
                continue
            sessions = home_folders.sessions_of(work.exporting, store.path, source.run, one)
            for session in sessions:
                lying[session].append(one)
            alone += not sessions
        for session in dict.fromkeys((*lying, *rows)):
            yield _Lot(profiles[store.path], session, lying.get(session, ()), rows.get(session, ""))
    if alone:
        what = "1 file or folder" if alone == 1 else f"{alone:,} files and folders"
        work.context.console.warn(f"left out: {what} without a session")


def _profiles(work: Work) -> dict[str, Profile]:
    """Return the homes that are meant by their paths, those in which nothing but archives is left included."""
    return {one.root: one for one in work.where.all_profiles() if work.where.is_meant(one.agent)}


def _homeless(work: Work, source: Source) -> Iterator[Unexported]:
    """Give the sessions of homes that are meant and not there any more, whose archives nobody can read."""
    there = _profiles(work)
    for store in source.stores:
        if store.path not in there and work.where.is_meant(store.agent):
            for session in dict.fromkeys(one.session_id for one in store.artifacts if one.session_id is not None):
                what = f"there is no home {store.path} any more"
                yield Unexported(session, store.agent, session, Status.REFUSED, what)


def _one(work: Work, source: Source, lot: _Lot) -> Exported | Unexported:
    archive = home_folders.archive_of(source.run)
    if gone := _gone(work, archive, lot):
        what = f"{gone}: it is not in the archive of run {source.run} as it was put there"
        return Unexported(lot.session_id, lot.profile.agent, lot.session_id, Status.REFUSED, what)
    return work.one(lot.profile, lot.session_id, Away(f"{lot.profile.root}/{archive}", lot.rows))


def _gone(work: Work, archive: str, lot: _Lot) -> str:
    """Return the path of something that is no longer what was put away, "" where all of it is."""
    with Aside(work.context.disk, lot.profile.root, archive) as aside:
        for one in lot.artifacts:
            if not aside.is_of(f"{archive}/{one.path}", one.size, is_folder=one.folder):
                return f"{lot.profile.root}/{one.path}"
    return ""
