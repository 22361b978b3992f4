"""Where NanoClaw keeps things: the folder that its host runs in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ..core.artifacts import KindRule
from ..core.errors import UsageProblem
from ..ports.artifacts import Home, Profile
from ..system.clock import Clock
from ..system.disk import Disk
from ..system.files import read
from . import kinds

_NAME = "nanoclaw"
_PACKAGE_BYTES = 1 << 20


@dataclass(frozen=True)
class NanoclawPlace:
    """One root, and no others below it."""

    runtime: ClassVar[str] = _NAME
    state: str

    @property
    def rules(self) -> Sequence[KindRule]:
        """The kinds of artifact of the version that is there."""
        return kinds.layout_of(self.state).rules

    def profiles(self) -> tuple[Profile, ...]:
        """Return the one home that there is."""
        return (Profile(_NAME, self.state),)

    def opened(self, profile: Profile, disk: Disk, clock: Clock) -> Home:  # noqa: ARG002
        """Return the home as a run sees it; nothing is read yet."""
        from .home import NanoclawHome  # sqlite3, only for a home that is looked at

        return NanoclawHome(profile.agent, profile.root, clock)

    def meant_by(self, profile: str | None) -> tuple[list[str], list[str]]:  # noqa: ARG002
        """Return the words of a command line that mean it."""
        return [], ["--runtime", self.runtime, "--home", self.state]


def find(environ: Mapping[str, str], *, named: str | None, profile: str | None) -> NanoclawPlace:
    """Return the folder that is named, or the one we stand in if its package.json is NanoClaw's; UsageProblem."""
    if profile is not None:
        raise UsageProblem("a NanoClaw has no profiles", "leave out --profile")
    if named is not None and not named.strip():
        raise UsageProblem("--home is empty", "--home DIR")
    if named is None and not _is_root(os.curdir):
        raise UsageProblem("this folder is no NanoClaw's", "--home DIR, the folder with its package.json")
    home = environ.get("HOME", "").strip() or os.path.expanduser("~")
    path = os.curdir if named is None else named
    path = home + path[1:] if path == "~" or path.startswith("~/") else path
    return NanoclawPlace(os.path.realpath(path))


def _is_root(folder: str) -> bool:
    try:
        package = json.loads(read(os.path.join(folder, "package.json"), _PACKAGE_BYTES)[0])
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(package, dict) and package.get("name") == _NAME
