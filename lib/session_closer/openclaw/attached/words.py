"""The words by which sessions are referred to, the databases in which they may be, and the names of several."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...core.effects import Attached
from ...system.files import exists
from ..home import Home

if TYPE_CHECKING:
    from ...core.model import Session

# The databases that all agents shared before there was one (2026.5).
_SHARED = (("tasks", "runs.sqlite"), ("flows", "registry.sqlite"))
# Of things of one kind so many are named.
_SHOWN = 3


def words(sessions: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """Return the words by which sessions (key, session id) are referred to, each with the key it stands for."""
    known = list(sessions)
    # Of two sessions with one id the first, and a key is nobody else's id.
    return {session_id: key for key, session_id in reversed(known) if session_id} | {key: key for key, _ in known}


def meant(
    some: Collection[str], sessions: Mapping[str, Iterable[tuple[str, str | None]]]
) -> dict[str, tuple[str, str]]:
    """Return those of some words that mean one of these sessions, by agent, with the agent and key of the first."""
    owners: dict[str, tuple[str, str]] = {}
    for agent, own in sessions.items():
        for word, key in words(own).items():
            if word in some:
                owners.setdefault(word, (agent, key))
    return owners


def named(sessions: Iterable[Session]) -> Iterator[tuple[str, str | None]]:
    """Give of each session its key, and its session id, None where it cannot be told by that."""
    return ((session.key, session.session_id if session.id_usable else None) for session in sessions)


def databases(home: Home, agent: str) -> list[str]:
    """Return the paths of the databases that may speak of an agent's sessions, as far as they are there."""
    shared = (os.path.join(home.state, folder, name) for folder, name in _SHARED)
    return [path for path in (home.database(agent), home.state_database, *shared) if exists(path, follow=True)]


def listed(kind: str, names: Sequence[str]) -> Attached:
    """Return things of one kind as one, by the names of the first of them."""
    shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return Attached(kind, names[0], shown if len(names) > 1 else "", len(names))
