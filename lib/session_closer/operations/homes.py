"""Homes of a runtime that keeps files: whether they are ours, held against other closers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..core.errors import Refused
from ..journal import history
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from ..system import flock, owned, trust
from . import home_folders


def check(where: Place) -> None:
    """Refuse a place that is not there, or is not ours alone."""
    if not os.path.isdir(where.state):
        raise Refused(f"there is no folder {where.state}", "--home DIR", name="no_home")
    roots = [profile.root for profile in where.profiles()]
    own = [folder for root in (where.state, *roots) for folder in _folders(root)]
    owned.check([where.state, *roots, *own])
    for folder in own:
        if os.path.islink(folder):
            raise Refused(f"{folder} is a link to {os.path.realpath(folder)}", "replace it by a folder", name="link")


def _folders(root: str) -> list[str]:
    """Return the folders of ours in a home."""
    return [*history.folders(root), f"{root}/{home_folders.ARCHIVES}", f"{root}/{home_folders.EXPORTS}"]


def exposure(where: Place) -> list[str]:
    """Return a line for each home that others may write to."""
    said = []
    for root in dict.fromkeys((where.state, *(profile.root for profile in where.profiles()))):
        why = trust.objection(os.stat(root))
        if why:
            said.append(f"{root}: {why}: whoever may write there decides what is put away; chmod go-w")
    return said


@contextmanager
def opened(where: Place, context: Context) -> Iterator[list[Home]]:
    """Open the homes that are meant; a run that changes them holds each, with no interrupted run left."""
    dry_run, profiles = context.options.dry_run, where.profiles()
    with ExitStack() as held:
        for profile in () if dry_run else sorted(profiles, key=lambda one: one.root):
            held.enter_context(flock.folder(profile.root, clock=context.clock))
        homes = []
        for profile in profiles:
            home = where.opened(profile, context.disk, context.clock)
            held.callback(home.close)
            homes.append(home)
        if dry_run:
            context.console.warn(*history.interrupted(where.state))
        else:
            from . import recover_homes  # only what changes homes finishes what was left

            context.console.warn(*recover_homes.recovered(where, homes, context))
        yield homes
