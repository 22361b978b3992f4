"""Homes of a runtime that keeps files: whether they are ours, held against other closers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from ..core.errors import Refused
from ..journal import history
from ..ports.artifacts import Home, Place
from ..ports.context import Context
from ..system import trust
from . import held_homes


def check(where: Place) -> None:
    """Refuse a place that is not there, or is not ours alone."""
    if not os.path.isdir(where.state):
        raise Refused(f"there is no folder {where.state}", "--home DIR", name="no_home")
    held_homes.check([where.state, *(profile.root for profile in where.profiles())])


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
    with ExitStack() as held:
        homes = held_homes.enter(where, where.profiles(), context, held)
        if context.options.dry_run:
            context.console.warn(*history.interrupted(where.state))
        else:
            from . import recover_homes  # only what changes homes finishes what was left

            context.console.warn(*recover_homes.recovered(where, homes, context))
        yield homes
