"""Whether a state directory may be worked in: it is there, ours alone, and nothing in it is left half done."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..core.errors import Refused
from ..journal import history, writable
from ..journal.stopped import storage
from . import owner
from .environment import STATE_NAMES
from .home import Home


def check_place(where: Home, agents: list[str]) -> None:
    """Refuse a state directory that is not there, or is not ours alone."""
    owner.check_owner(where, [*history.folders(where.state)])
    if not os.path.isdir(where.state):
        raise Refused(
            f"there is no state directory {where.state} ({where.said})", "--state-dir DIR", name="no_state_dir"
        )
    try:
        older = owner.older_layout(where)
    except OSError as problem:
        raise storage(problem, where.state) from None
    if older is not None:
        raise older
    for folder in history.folders(where.state):
        if os.path.islink(folder):
            raise Refused(f"{folder} is a link to {os.path.realpath(folder)}", "replace it by a folder", name="link")
    owner.check_folders(where, agents)


def exposure(where: Home) -> list[str]:
    """Return a line for each folder that others may write to, and one where nothing here is of OpenClaw."""
    return [*owner.exposure(where, history.folders(where.state)), *strangeness(where)]


def strangeness(where: Home) -> list[str]:
    """Return a line where nothing in a state directory is OpenClaw's: an empty list would be taken for its answer."""
    if os.path.isdir(os.path.join(where.state, "agents")) or os.path.exists(where.config_path):
        return []
    inner = os.path.join(where.state, STATE_NAMES[0])
    meant = inner if os.path.isdir(inner) else "another --state-dir"
    return [f"{where.state} holds neither agents nor openclaw.json: {meant} may be meant"]


def check_unfinished(where: Home, agents: Sequence[str]) -> list[str]:
    """Return a line for each interrupted run; Refused where what they left of these agents could not be finished."""
    left = history.interrupted(where.state)
    if left:
        history.check_records(where.state, agents)
        indexes = [where.index(agent) for agent in agents]
        problem = writable.refusal(where.state, map(os.path.dirname, indexes), indexes)
        if problem is not None:
            raise problem
    return left
