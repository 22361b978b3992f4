"""Export sessions of a runtime that keeps files, by their ids. Nothing in a home is changed, so none is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from ..artifacts import settings
from ..core.errors import CloserError, Refused
from ..core.export.exported import Exported
from ..core.export.parts import Parts
from ..core.export.result import Export, ExportReport, Unexported
from ..core.model import Status
from ..core.wish import Options
from ..journal.stopped import storage
from ..ports.artifacts import Exporting, Place, Profile
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import export, homes
from .bundles import Whose

_OTHER = "a folder of your own, outside of these homes"


def execute(
    where: Place,
    exporting: Exporting,
    ids: Sequence[str],
    ask: Export,
    options: Options,
    *,
    disk: Disk | None = None,
    console: Console | None = None,
    clock: Clock = REAL,
) -> ExportReport:
    """Return what became of each session, in each profile that has it; CloserError where nothing could be begun."""
    homes.check(where)
    context = Context(options, disk or Disk(), console or Console(), clock)
    context.console.warn(*homes.exposure(where))
    profiles = where.profiles()
    try:
        folder = export.own_folder(ask.folder, _OTHER)
        export.check_outside(ask.folder, [where.state, *(profile.root for profile in profiles)], _OTHER)
        work = _Work(context, where, exporting, ask._replace(folder=folder))
        export.warn_of(context, work.ask, hint=export.HINT)
        rows = [row for given in dict.fromkeys(ids) for row in work.all_of(given)]
    except OSError as problem:
        raise storage(problem, where.state) from None
    exported = tuple(row for row in rows if isinstance(row, Exported))
    failed = tuple(row for row in rows if isinstance(row, Unexported))
    return ExportReport(folder, exported, failed, tuple(context.console.warnings))


class _Work(NamedTuple):
    """One run on its way."""

    context: Context
    where: Place
    exporting: Exporting
    ask: Export

    def all_of(self, given: str) -> Iterator[Exported | Unexported]:
        """Export a session of every profile that has it; say why not where none has, or nobody can tell."""
        found, unread = [], []
        for profile in self.where.profiles():
            try:
                if self.exporting.parts(profile.root, given, self.context.clock) is not None:
                    found.append(profile)
            except CloserError as problem:
                unread.append(Unexported(given, profile.agent, given, Status.REFUSED, problem.message))
        yield from (self._one(profile, given) for profile in found)
        yield from unread
        if not found and not unread:
            why = f"no such session; see them with: {self.context.options.see}"
            yield Unexported(given, "", given, Status.NOT_FOUND, why)

    def _one(self, profile: Profile, given: str) -> Exported | Unexported:
        names = self.exporting.SETTINGS if self.ask.redact else ()
        try:
            secrets = settings.secrets(profile.root, names)
        except Refused as problem:
            return Unexported(given, profile.agent, given, Status.REFUSED, problem.message)

        @contextmanager
        def read() -> Iterator[Parts]:
            found = self.exporting.parts(profile.root, given, self.context.clock)
            if found is None:
                raise Refused("it is not in its home any more", "look again with list-sessions", name="gone")
            yield found._replace(secrets=secrets) if secrets else found

        whose = Whose(profile.agent, given, given, self.where.runtime, self.where.runtime)
        return export.written(self.context, self.ask, whose, given, read)
