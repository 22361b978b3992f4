"""Open homes of files for a run, held against other closers; none that is not ours alone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack

from ..core.errors import Refused
from ..journal import history
from ..ports.artifacts import Home, Place, Profile
from ..ports.context import Context
from ..system import flock, owned


def check(roots: Sequence[str]) -> None:
    """Refuse homes of which one, or a folder of ours in it, belongs to somebody else or is a link."""
    own = [folder for root in roots for folder in _folders(root)]
    owned.check([*roots, *own])
    for folder in own:
        if os.path.islink(folder):
            raise Refused(f"{folder} is a link to {os.path.realpath(folder)}", "replace it by a folder", name="link")


def _folders(root: str) -> list[str]:
    """Return the folders of ours in a home."""
    return [*history.folders(root), f"{root}/{history.ARCHIVES}", f"{root}/{history.EXPORTS}"]


def enter(where: Place, profiles: Iterable[Profile], context: Context, held: ExitStack) -> list[Home]:
    """Open homes until `held` is left, each held unless nothing is going to be changed."""
    profiles, homes = list(profiles), []
    for profile in () if context.options.dry_run else sorted(profiles, key=lambda one: one.root):
        held.enter_context(flock.folder(profile.root, clock=context.clock))
    for profile in profiles:
        home = where.opened(profile, context.disk, context.clock)
        held.callback(home.close)
        homes.append(home)
    return homes


def others(where: Place, paths: Collection[str], context: Context, held: ExitStack) -> list[Home]:
    """Open the same way the homes at these paths that are there, meant or not, and in use or not."""
    found = [profile for profile in where.all_profiles() if profile.root in paths] if paths else []
    check([profile.root for profile in found])
    return enter(where, found, context, held)
