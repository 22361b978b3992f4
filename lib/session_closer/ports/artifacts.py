"""What a runtime is that keeps files and no store of ours to change: its homes, what lies in them, what protects it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..core.tuples import NamedTuple

if TYPE_CHECKING:
    from ..core.artifacts import Artifact, KindRule, Limits
    from ..core.export.parts import Parts
    from ..core.listed import Held, SessionLine, Use
    from ..system.clock import Clock
    from ..system.disk import Disk


class Profile(NamedTuple):
    """One home of a place: its agent's name, and its whole path."""

    agent: str
    root: str


class Disposal(Protocol):
    """What takes away artifacts of a kind that no rename can move; `folder` is one of ours, for what is kept of one."""

    def stow(self, artifact: Artifact, folder: str) -> bool:
        """Take one away; False, and nothing done, where it has changed; Refused where it cannot be."""

    def whereabouts(self, path: str, folder: str) -> str:
        """Finish what a kill has cut short: "away", "live" or "gone"; asked again it changes nothing; Refused."""


class Stowage(Disposal, Protocol):
    """What brings them back from that folder, too."""

    def restow(self, path: str, folder: str) -> str:
        """Bring one back: "live", "taken" where it is there again, "gone": its archive is not whole; Refused."""

    def is_live(self, path: str) -> bool:
        """Tell whether it is there now."""

    def obstacle(self, path: str, folder: str) -> str:
        """Return why it could not be brought back now from that folder, "" where it could."""

    def discard(self, artifact: Artifact) -> bool:
        """Delete one for good; False, and nothing done, where it has changed; Refused where it cannot be."""


class Home(Protocol):
    """One home as a run sees it; what it has read is kept until `close`.

    `agent` is its name, `root` the folder below which all of it is, without links, `rules` the kinds that there can be.
    """

    agent: str
    root: str
    rules: Sequence[KindRule]

    def look(self, limits: Limits) -> Sequence[Artifact]:
        """Return what lies here of the kinds that the limits name, and what keeps it.

        CloserError where that cannot be told: then nothing is touched.
        """

    def doubts(self) -> Sequence[str]:
        """Return what is to be said of what was looked at, in lines."""

    def objection(self, artifact: Artifact) -> str:
        """Return why an artifact may not go after all, since it was looked at: in a word, "" where it may."""

    def is_of(self, kind: str, path: str) -> bool:
        """Tell whether a path below it could be one of a kind: a record may say anything."""

    def disposal(self, kind: str) -> Disposal | None:
        """Return what takes away artifacts of a kind, None where a rename does."""

    def stowage(self, kind: str) -> Stowage | None:
        """Return the same where it brings them back, too: of each such kind whose rule says that it returns."""

    def end(self) -> Sequence[str]:
        """Do what is owed once when all is put away; return a line for each thing that went otherwise."""

    def sessions(self) -> Iterable[SessionLine]:
        """Return a line for each session that is known here; CloserError."""

    def holdings(self) -> Iterable[Held]:
        """Return all that sessions have left here, whatever its age; CloserError."""

    def usage(self) -> tuple[Sequence[Use], Sequence[str]]:
        """Return what else takes room here besides artifacts, and what could be done about it, in lines."""

    def close(self) -> None:
        """Let go of what is open."""


class Place(Protocol):
    """Where a runtime of this kind keeps things, as a command line names it: not looked at yet."""

    @property
    def runtime(self) -> str:
        """The runtime's name."""

    @property
    def state(self) -> str:
        """The folder that is named, below which our records are; without links."""

    @property
    def rules(self) -> Sequence[KindRule]:
        """The kinds of artifact, in the order in which they are named."""

    @property
    def options(self) -> Collection[str]:
        """The options, of those that only some runtimes of this kind know, that mean something for this one."""

    def profiles(self) -> Sequence[Profile]:
        """Return the homes that are meant; UsageProblem where one is named that is not there."""

    def all_profiles(self) -> Sequence[Profile]:
        """Return the homes that are there, meant or not."""

    def is_meant(self, agent: str) -> bool:
        """Tell whether the home of this name is meant, if there is one."""

    def opened(self, profile: Profile, disk: Disk, clock: Clock) -> Home:
        """Return a home as a run sees it; nothing is read yet."""

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:
        """Return the words of a command line that mean it: those ahead of the command, and options."""


class Away(NamedTuple):
    """What a run has put away of a home: the folder that has it by the paths that it had there.

    `rows` is the folder in which the rows of a session are that went, "": they did not.
    """

    archive: str
    rows: str = ""


class Exporting(Protocol):
    """What the module `parts` of such a runtime's package has.

    `SETTINGS` are the files of a home that may hold secrets, some of which may not be there.
    """

    SETTINGS: Sequence[str]

    def parts(self, home: str, session_id: str, clock: Clock, away: Away | None = None) -> Parts | None:
        """Return one session as a home has it now, None where it has nothing of it; CloserError.

        `away`: its files are those that a run has put away.
        """

    def named(self, root: str, path: str) -> Sequence[str]:
        """Return the sessions that something below a folder is of by its name alone, or by those of what is in it."""


class Entrance(Protocol):
    """What the module `entrance` of such a runtime's package has."""

    def find(self, environ: Mapping[str, str], *, named: str | None, profile: str | None) -> Place:
        """Return the place that an environment and the options of a command line mean; UsageProblem."""
