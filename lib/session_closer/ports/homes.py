"""What places and homes of a runtime that keeps files have in common, for it to take or to inherit."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.errors import UsageProblem
from ..core.patterns import Pattern, is_of
from .artifacts import Disposal, Home, Profile, Stowage

if TYPE_CHECKING:
    from ..core.artifacts import KindRule
    from ..system.clock import Clock
    from ..system.disk import Disk


def folder(environ: Mapping[str, str], named: str) -> str:
    """Return a folder by its whole path without links, ~ being the home of an environment; UsageProblem: no name."""
    if not named.strip():
        raise UsageProblem("--home is empty", "--home DIR")
    home = environ.get("HOME", "").strip() or os.path.expanduser("~")
    return os.path.realpath(home + named[1:] if named == "~" or named.startswith("~/") else named)


@dataclass(frozen=True)
class OneHome:
    """A place with one home, which is all of it; `opens` returns the home as a run sees it."""

    runtime: str
    state: str
    rules: Sequence[KindRule]
    opens: Callable[[Profile, Disk, Clock], Home]
    options: Collection[str] = ()

    def profiles(self) -> tuple[Profile, ...]:
        """Return the one home that there is."""
        return (Profile(self.runtime, self.state),)

    def all_profiles(self) -> tuple[Profile, ...]:
        """Return the same: there is no other."""
        return self.profiles()

    def is_meant(self, agent: str) -> bool:
        """Tell whether this is the home of that name."""
        return agent == self.runtime

    def opened(self, profile: Profile, disk: Disk, clock: Clock) -> Home:
        """Return the home as a run sees it; nothing is read yet."""
        return self.opens(profile, disk, clock)

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:  # noqa: ARG002
        """Return the words of a command line that mean it."""
        return [], ["--runtime", self.runtime, "--home", self.state]


class PatternHome:
    """A home whose things lie where patterns say, and are moved by a rename.

    Who inherits it says what lies there, whose it is and what keeps it. `patterns` are those of all kinds that there
    can be, `rules` their kinds.
    """

    def __init__(self, agent: str, root: str, rules: Sequence[KindRule], patterns: Sequence[Pattern]) -> None:
        self.agent, self.root, self.rules = agent, root, rules
        self._patterns = patterns

    def doubts(self) -> list[str]:
        """Return what is to be said of what was looked at: nothing."""
        return []

    def is_of(self, kind: str, path: str) -> bool:
        """Tell whether a path below it could be one of a kind."""
        return is_of(path, self._patterns, kind)

    def disposal(self, kind: str) -> Disposal | None:
        """Return what takes away artifacts of a kind: what brings them back, too, else a rename does."""
        return self.stowage(kind)

    def stowage(self, kind: str) -> Stowage | None:  # noqa: ARG002
        """Return what brings artifacts of a kind back: a rename does."""
        return None

    def end(self) -> list[str]:
        """Do what is owed once all is put away: nothing is."""
        return []
