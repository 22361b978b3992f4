"""Export sessions of a runtime that keeps files, by their ids. Nothing in a home is changed, so none is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from ..artifacts import settings
from ..core.errors import CloserError, Refused
from ..core.export.exported import Exported
from ..core.export.parts import LeftOut, Parts
from ..core.export.result import Export, ExportReport, Unexported
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.wish import Options
from ..journal.stopped import storage
from ..ports.artifacts import Away, Exporting, Place, Profile
from ..ports.context import Console, Context
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import export, homes, outputs
from .bundles import Given, Whose

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
    context = Context(options, disk or Disk(), console or Console(), clock)
    try:
        work = begun(where, exporting, ask, context)
        rows = [row for given in dict.fromkeys(ids) for row in work.all_of(given)]
    except OSError as problem:
        raise storage(problem, where.state) from None
    return work.told(rows)


def begun(where: Place, exporting: Exporting, ask: Export, context: Context) -> Work:
    """Return a run that exports sessions of homes, once all is said that there is to be said ahead of it; CloserError.

    OSError where the file system fails.
    """
    homes.check(where)
    context.console.warn(*homes.exposure(where))
    return Work(context, where, exporting, ask._replace(folder=checked_folder(where, ask.folder)))


def checked_folder(where: Place, folder: str) -> str:
    """Return a folder for bundles as a whole path; Refused where it is none that bundles may be in."""
    real = outputs.own_folder(folder, _OTHER)
    export.check_outside(folder, [where.state, *(profile.root for profile in where.profiles())], _OTHER)
    return real


class Reader:
    """Reads one session of a home, each time anew; `origins` are where its streams are from, `is_absent`: it is none.

    `left_out` is what is in none of them, `away`: its files are those that a run has put away.
    """

    def __init__(
        self, exporting: Exporting, root: str, session_id: str, clock: Clock, away: Away | None = None
    ) -> None:
        self._read = partial(exporting.parts, root, session_id, clock, away)
        self.origins: set[str] = set()
        self.left_out: Sequence[LeftOut] = ()
        self.is_absent = False

    @contextmanager
    def __call__(self) -> Iterator[Parts]:
        """Give it; Refused where it is none."""
        found = self._read()
        if found is None:
            self.is_absent = not self.origins
            raise Refused("it is not in its home any more", "look again with list-sessions", name="gone")
        self.origins.update(stream.origin for stream in found.streams)
        self.left_out = found.left_out
        yield found


class Work(NamedTuple):
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
        yield from (self.one(profile, given) for profile in found)
        yield from unread
        if not found and not unread:
            why = f"no such session; see them with: {self.context.options.see}"
            yield Unexported(given, "", given, Status.NOT_FOUND, why)

    def one(self, profile: Profile, given: str, away: Away | None = None) -> Exported | Unexported:
        """Export one session of a home; `away`: its files are those that a run has put away."""
        names = self.exporting.SETTINGS if self.ask.redact else ()
        try:
            secrets = settings.secrets(profile.root, names)
        except Refused as problem:
            return Unexported(given, profile.agent, given, Status.REFUSED, problem.message)
        reader = Reader(self.exporting, profile.root, given, self.context.clock, away)

        @contextmanager
        def read() -> Iterator[Parts]:
            with reader() as found:
                yield found._replace(secrets=secrets) if secrets else found

        return self.written(profile.agent, given, read)

    def written(self, agent: str, given: str, read: Given) -> Exported | Unexported:
        """Export what is read of a session of an agent; return why it was not where that cannot be done."""
        return export.written(self.context, self.ask, self._whose(agent, given), given, read)

    def looked(self, agent: str, given: str, read: Given) -> Unexported | None:
        """Return why what is read of a session of an agent cannot be exported, as far as a look can tell."""
        return export.looked(self.ask, self._whose(agent, given), given, read)

    def _whose(self, agent: str, given: str) -> Whose:
        return Whose(agent, given, given, self.where.runtime, self.where.runtime)

    def told(self, rows: Sequence[Exported | Unexported]) -> ExportReport:
        """Return what became of all of it."""
        return export.told(self.context, self.ask, rows)
