"""The caller's own session, and others that are to stay: which of them there are, by whole keys and by project ids."""

from __future__ import annotations

from ..core import escape, keys
from ..core.errors import CloserError
from ..core.keys import Target
from .request import Look, Request

# Of more agents none is named.
_NAMED = 3


def keys_of(request: Request, found: Look) -> frozenset[str]:
    """Return the keys that the caller's own session may have.

    A project id that names no session of its agent may mean each other agent's: none of them is closed at once.
    """
    own: set[str] = set()
    for name in request.options.own:
        own.update(name.candidates)
        if not _has(found, name.agent, name):
            own.update(key for agent in found.snapshots for key in keys.fitting(name, agent).candidates)
    return frozenset(own)


def note_absent(request: Request, found: Look) -> None:
    """Warn of a session that was named to be spared or to go last, and is not there: a slip may have named it."""
    active = request.wish.rules.active if request.wish.rules is not None else ()
    for option, names in (("--self", request.options.own), ("--active-key", active)):
        for name in names:
            if any(_has(found, agent, name) for agent in found.snapshots):
                continue
            if (slip := keys.slip(name.given, name.agent)) is not None:
                raise slip
            if option != "--self" or not _is_elsewhere(request, found, name):
                request.warn(f"{option} {escape.plain(name.given)}: {_who(request, name)} no such session")


def _has(found: Look, agent: str, name: Target) -> bool:
    """Tell whether an agent whose store was read has a session that a name stands for."""
    snapshot = found.snapshots.get(agent)
    if snapshot is None or (name.exact and name.agent != agent):
        return False
    return any(key in snapshot.sessions for key in keys.fitting(name, agent).candidates)


def _is_elsewhere(request: Request, found: Look, name: Target) -> bool:
    """Tell whether an agent has it that this run is not about; also where nobody can tell."""
    if name.agent in found.snapshots:
        return False
    try:
        store = request.runtime.detect(name.agent)
        there = store.read().sessions if store is not None else {}
    except CloserError:
        return True
    return any(key in there for key in name.candidates)


def _who(request: Request, name: Target) -> str:
    """Return who was looked at, and a verb."""
    agents = [name.agent] if name.exact else sorted({name.agent, *request.wish.agents()})
    if len(agents) > _NAMED:
        return "no agent here has"
    return f"agent {agents[0]} has" if len(agents) == 1 else f"agents {', '.join(agents)} have"
