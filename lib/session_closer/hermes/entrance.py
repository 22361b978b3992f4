"""Where Hermes Agent keeps things: its root, and the profiles below it, each of which is a whole home."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ..core import late
from ..core.artifacts import KindRule
from ..core.errors import UsageProblem
from ..core.escape import quoted
from ..ports.artifacts import Home, Profile
from ..ports.homes import folder
from ..system.clock import Clock
from ..system.disk import Disk
from ..system.files import listed
from .kinds import DATABASE, FOLDERS, RULES

_DEFAULT, _PROFILES = "default", "profiles"
_NAME = late.pattern(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class HermesPlace:
    """One root, or one profile that was named as a home: `said` tells by whom, `only` is the profile that is meant."""

    runtime: ClassVar[str] = "hermes"
    rules: ClassVar[tuple[KindRule, ...]] = RULES
    options: ClassVar[frozenset[str]] = frozenset({"--profile", "--rows"})
    state: str
    said: str
    only: str | None = None

    @property
    def is_profile(self) -> bool:
        """Whether this is a profile, and no root of others."""
        above = os.path.dirname(self.state)
        return os.path.basename(above) == _PROFILES and bool(_NAME.fullmatch(os.path.basename(self.state)))

    def profiles(self) -> tuple[Profile, ...]:
        """Return the homes that are meant: all profiles, or the one that was named; UsageProblem: it is not there."""
        found = self.all_profiles()
        if self.is_profile:
            return found
        if self.only is None:
            # Nobody has ever worked in the others, and there is nothing to be lost.
            return tuple(one for one in found if _was_used(one.root)) or found[:1]
        meant = tuple(one for one in found if self.is_meant(one.agent))
        if not meant:
            what = f"{self.state} has no profile {quoted(self.only)}"
            raise UsageProblem(what, f"--profile with one of {', '.join(one.agent for one in found)}")
        return meant

    def all_profiles(self) -> tuple[Profile, ...]:
        """Return the homes that are there, meant or not: of a profile that was named as a home that alone."""
        if self.is_profile:
            return (Profile(os.path.basename(self.state), self.state),)
        return (Profile(_DEFAULT, self.state), *self._below())

    def is_meant(self, agent: str) -> bool:
        """Tell whether the profile of this name is meant, if there is one."""
        return self.only in (None, agent)

    def _below(self) -> list[Profile]:
        folder = os.path.join(self.state, _PROFILES)
        paths = {name: os.path.join(folder, name) for name in sorted(listed(folder)) if _NAME.fullmatch(name)}
        # A link could lead anywhere, and whoever made it can name what it leads to.
        return [
            Profile(name, path)
            for name, path in paths.items()
            if name != _DEFAULT and os.path.isdir(path) and os.path.realpath(path) == path
        ]

    def opened(self, profile: Profile, disk: Disk, clock: Clock) -> Home:
        """Return a home as a run sees it; nothing is read yet."""
        from .home import HermesHome

        return HermesHome(profile.agent, profile.root, disk, clock)

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:
        """Return the words of a command line that mean it."""
        words = ["--runtime", self.runtime]
        if self.said != "usual":
            words += ["--home", self.state]
        return [], [*words, *(["--profile", profile] if profile is not None else [])]


def _was_used(home: str) -> bool:
    """Tell whether there is anything in a home that a session has left."""
    return any(os.path.lexists(os.path.join(home, name)) for name in (DATABASE, *FOLDERS))


def find(environ: Mapping[str, str], *, named: str | None, profile: str | None) -> HermesPlace:
    """Return the root that an environment and the options of a command line mean; UsageProblem."""
    if named is not None:
        said, path = "--home", named
    elif environ.get("HERMES_HOME", "").strip():
        said, path = "HERMES_HOME", environ["HERMES_HOME"].strip()
    else:
        said, path = "usual", "~/.hermes"
    found = HermesPlace(folder(environ, path), said, profile)
    if profile is not None and not _NAME.fullmatch(profile):
        raise UsageProblem(f"{quoted(profile)} is no profile", "--profile NAME: lower case letters, digits, - and _")
    if profile is not None and found.is_profile and profile != os.path.basename(found.state):
        raise UsageProblem(f"{found.state} is itself a profile, and not {quoted(profile)}", "leave out one of them")
    return found
