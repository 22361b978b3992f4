"""Rehearse a cleanup of homes of files: what goes is put away and brought back in a copy of it, which is compared."""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from ..artifacts import scan
from ..core.artifacts import ROW, Artifact, Limits
from ..core.ending import is_fine
from ..core.errors import UsageProblem
from ..core.escape import plain
from ..core.listed import Held, SessionLine, Use
from ..core.report import ArtifactRow, Report
from ..core.shown import Rehearsal
from ..core.status import Status
from ..core.wish import Options
from ..journal.stopped import storage
from ..ports.artifacts import Disposal, Home, Place, Profile, Stowage
from ..ports.context import Console, Context
from ..system import replica
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import bring_back, homes, prune
from .rehearse import alone, check_place, compared, copied, run_of

ARCHIVE = "archive"


def perform(
    where: Place, limits: Limits, options: Options, *, told: str, console: Console, clock: Clock = REAL,
    disk: Disk | None = None,
) -> Report:  # fmt: skip
    """Return the report of a dry run of a cleanup, with how its rehearsal ended; UsageProblem: nothing would return."""
    if options.delete:
        raise UsageProblem("what --delete takes never comes back, so nothing can be rehearsed", "leave out --delete")
    # What is rehearsed has a row, however few of them are shown.
    looking = options._replace(dry_run=True, most_rows=None if options.most_rows is None else sys.maxsize)
    report = prune.perform(where, limits, looking, told=told, console=console, clock=clock, disk=disk)
    report = report._replace(most_rows=options.most_rows)
    if report.error is not None:
        return report
    context = Context(looking, disk or Disk(), console, clock)
    try:
        with homes.opened(where, context) as found:
            ended = _rehearsed(where, found, report.artifacts or (), context)
    except OSError as problem:
        raise storage(problem, where.state) from None
    return report._replace(rehearsal=ended)


def _rehearsed(where: Place, found: Sequence[Home], rows: Iterable[ArtifactRow], context: Context) -> Rehearsal:
    going: dict[str, list[ArtifactRow]] = defaultdict(list)
    left: Counter[str] = Counter()
    by_agent = {home.agent: home for home in found}
    for row in rows:
        if row.status is Status.WOULD_ARCHIVE and by_agent[row.agent].disposal(row.kind) is None:
            going[row.agent].append(row)
        elif row.status in (Status.WOULD_ARCHIVE, Status.WOULD_DELETE, Status.WOULD_EXPIRE):
            left[row.kind] += 1
    lines = tuple(f"{count} of kind {kind}: {_why(kind)}" for kind, count in sorted(left.items()))
    if not going:
        return Rehearsal(0, 0, 0, (), lines)
    check_place(where.state, *(home.root for home in found))
    with replica.folder(context.disk) as root:
        copies = [_Copy(by_agent[agent], root, number) for number, agent in enumerate(sorted(going))]
        files = {one.place_of(row.path): row.path for one in copies for row in going[one.agent]}
        size = copied(context, files, {}, root)
        for one in copies:
            one.hold(going[one.agent], context.clock.seconds())
        differences = _compared(_CopyPlace(where, root, copies), root, context)
    sessions = {row.session_id for of_it in going.values() for row in of_it if row.session_id is not None}
    return Rehearsal(len(sessions), len(files), size, tuple(differences), lines)


def _why(kind: str) -> str:
    return "nothing brings them back" if kind in (ARCHIVE, ROW) else "no rename moves them"


def _compared(place: _CopyPlace, root: str, context: Context) -> list[str]:
    """Put all of it away in the copy, bring it back, and return a line for each difference."""
    before = replica.picture(root)
    options = alone(context.options)
    limits = Limits({rule.name: 0.0 for rule in place.rules})
    done = prune.perform(place, limits, options, told="", console=Console(), clock=context.clock, disk=context.disk)
    failed = [*_failed(done)]
    if (run := run_of(done)) is not None:
        back = bring_back.perform(place, run, (), options, console=Console(), clock=context.clock, disk=context.disk)
        failed += _failed(back)
    return [*failed, *compared(before, replica.picture(root))]


def _failed(report: Report) -> list[str]:
    said = [f"{report.operation} in the copy: {report.error.message}"] if report.error is not None else []
    wrong = [row for row in report.artifacts or () if not is_fine(row, missing_ok=False) or row.status is Status.KEPT]
    return [*said, *(f"{plain(row.path)}: {row.status} in the copy: {row.error or row.why}" for row in wrong)]


class _Copy:
    """A home of nothing but copies of what goes; what protects it was asked of the home itself."""

    def __init__(self, home: Home, root: str, number: int) -> None:
        self._home = home
        self.agent, self.rules = home.agent, home.rules
        self.root = os.path.join(root, f"home-{number}")
        self._held: list[Artifact] = []

    def place_of(self, path: str) -> str:
        """Return where the copy of what is below the home goes."""
        return os.path.join(self.root, os.path.relpath(path, self._home.root))

    def hold(self, rows: Iterable[ArtifactRow], now: float) -> None:
        """Take what was copied for what lies here."""
        for row in rows:
            path = os.path.relpath(row.path, self._home.root)
            stamp = scan.stamp_of(os.lstat(self.place_of(row.path)))
            one = Artifact(row.kind, path, row.session_id, now - (row.age or now), row.size or 0, stamp=stamp)
            self._held.append(self._weighed(one))

    def _weighed(self, one: Artifact) -> Artifact:
        above, _, name = one.path.rpartition("/")
        with scan.opened(self.root, above) as folder:
            if folder is None or not scan.is_folder(folder, name):
                return one
            return one._replace(folder=True, weight=scan.looked_into(self.root, one.path, folder))

    def look(self, limits: Limits) -> Sequence[Artifact]:
        """Return what was copied."""
        return [one for one in self._held if one.kind in limits.ages]

    def doubts(self) -> Sequence[str]:
        """Return nothing."""
        return ()

    def objection(self, artifact: Artifact) -> str:
        """Return nothing: nobody uses a copy."""
        del artifact
        return ""

    def is_of(self, kind: str, path: str) -> bool:
        """Tell what the home says of it."""
        return self._home.is_of(kind, path)

    def disposal(self, kind: str) -> Disposal | None:
        """Return nothing: what no rename moves was not copied."""
        del kind
        return None

    def stowage(self, kind: str) -> Stowage | None:
        """Return nothing, likewise."""
        del kind
        return None

    def end(self) -> Sequence[str]:
        """Do nothing."""
        return ()

    def sessions(self) -> Iterable[SessionLine]:
        """Give nothing."""
        return ()

    def holdings(self) -> Iterable[Held]:
        """Give nothing."""
        return ()

    def usage(self) -> tuple[Sequence[Use], Sequence[str]]:
        """Return nothing."""
        return (), ()

    def close(self) -> None:
        """Do nothing."""


class _CopyPlace:
    """Where the copies of homes are."""

    def __init__(self, where: Place, root: str, copies: Sequence[_Copy]) -> None:
        self.runtime, self.rules, self.options = where.runtime, where.rules, where.options
        self.state = root
        self._copies: Mapping[str, _Copy] = {one.agent: one for one in copies}

    def profiles(self) -> Sequence[Profile]:
        """Return the homes that were copied."""
        return [Profile(one.agent, one.root) for one in self._copies.values()]

    def all_profiles(self) -> Sequence[Profile]:
        """Return the same: there are no others."""
        return self.profiles()

    def is_meant(self, agent: str) -> bool:
        """Tell whether one was copied of that name."""
        return agent in self._copies

    def opened(self, profile: Profile, disk: Disk, clock: Clock) -> Home:
        """Return one of them."""
        del disk, clock
        return self._copies[profile.agent]

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:
        """Return no words: nobody types them."""
        del profile
        return [], []
