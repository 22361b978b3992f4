"""Where NanoClaw keeps things: the folder that its host runs in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ..core.errors import UsageProblem
from ..ports import homes
from ..ports.artifacts import Home, Profile
from ..system.clock import Clock
from ..system.disk import Disk
from ..system.files import read
from . import kinds

_NAME = "nanoclaw"
_PACKAGE_BYTES = 1 << 20


def find(environ: Mapping[str, str], *, named: str | None, profile: str | None) -> homes.OneHome:
    """Return the folder that is named, or the one we stand in if its package.json is NanoClaw's; UsageProblem."""
    if profile is not None:
        raise UsageProblem("a NanoClaw has no profiles", "leave out --profile")
    if named is None and not _is_root(os.curdir):
        raise UsageProblem("this folder is no NanoClaw's", "--home DIR, the folder with its package.json")
    state = homes.folder(environ, os.curdir if named is None else named)
    return homes.OneHome(_NAME, state, kinds.layout_of(state).rules, _opened)


def _opened(profile: Profile, _: Disk, clock: Clock) -> Home:
    from .home import NanoclawHome  # sqlite3, only for a home that is looked at

    return NanoclawHome(profile.agent, profile.root, clock)


def _is_root(folder: str) -> bool:
    try:
        package = json.loads(read(os.path.join(folder, "package.json"), _PACKAGE_BYTES)[0])
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(package, dict) and package.get("name") == _NAME
