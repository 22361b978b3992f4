"""The words by which sessions are referred to, and the databases in which they may be."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ...system.files import exists
from ..home import Home

# The databases that all agents shared before there was one (2026.5).
_SHARED = (("tasks", "runs.sqlite"), ("flows", "registry.sqlite"))


def words(sessions: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Return the words by which sessions (key, session id) are referred to, each with the key it stands for."""
    known = list(sessions)
    # Of two sessions with one id the first, and a key is nobody else's id.
    return {session_id: key for key, session_id in reversed(known) if session_id} | {key: key for key, _ in known}


def databases(home: Home, agent: str) -> list[str]:
    """Return the paths of the databases that may speak of an agent's sessions, as far as they are there."""
    shared = (os.path.join(home.state, folder, name) for folder, name in _SHARED)
    return [path for path in (home.database(agent), home.state_database, *shared) if exists(path, follow=True)]
