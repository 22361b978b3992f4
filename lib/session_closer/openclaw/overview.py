"""All stores of a state directory, or one of them, for a list; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..core import hints, keys, lazy
from ..core.errors import CloserError, Refused, UnknownAgent
from ..core.model import Snapshot
from ..core.status import Life
from ..ports.runtime import Part
from ..system import files
from . import migration, owner, registers, roster, stores
from .files.store import FileStore

if TYPE_CHECKING:
    from ..core.model import Session
    from ..system.clock import Clock
    from .home import Home
    from .installation import Installation


class _Look:
    """What has been found so far; `shared` is the file for all agents, once it has been read, `all` what is in it.

    `undo` is the command that restores.
    """

    def __init__(self, home: Home, clock: Clock, undo: str) -> None:
        self.home, self.clock, self.undo = home, clock, undo
        self.parts: list[Part] = []
        self.warnings: list[str] = []
        self.shared: FileStore | None = None
        self.all: Mapping[str, Session] = {}


def parts(here: Installation, agent: str | None, store: str | None) -> list[Part]:
    """Return the stores of one agent, of one path, or of all agents; CloserError where there is no list."""
    found = _Look(here.home, here.context.clock, here.options.undo)
    agents = [agent] if store is None else here.home.agents_with(store)
    if len(agents) == 1 and agents[0] is not None:
        _look_at_one(found, agents[0])
    else:
        # Of all agents, or of one file for all of them.
        _look_at_all(found)
    if store is not None:
        real = os.path.realpath(store)
        found.parts = [part for part in found.parts if os.path.realpath(part.store.index) == real]
    if here.gateway.found.life is not Life.UP:
        found.warnings += migration.left_behind(here.home, [part.store for part in found.parts])
    here.warn(*found.warnings)
    return found.parts


def _look_at_one(found: _Look, agent: str) -> None:
    with _readable():
        _take(found, agent)
    if not found.parts:
        known = found.home.known_agents()[0]
        if agent not in known:
            raise UnknownAgent(agent, known)
        found.warnings.append(hints.no_sessions(agent, known))


def _look_at_all(found: _Look) -> None:
    agents, notes = roster.known(found.home)
    found.warnings += notes
    named: set[str] = set()
    own = found.home.has_own_indexes()
    if not own:
        named = _read_shared(found, agents)
    for agent in sorted({*agents, *filter(keys.is_agent_id, named)}):
        try:
            with _readable():
                owner.check_folders(found.home, [agent])
                _take(found, agent, own=own)
        except CloserError as problem:
            found.warnings.append(f"agent {agent} is left out: {problem.message}")
    if found.shared is not None:
        _take_rest(found, found.shared)


def _read_shared(found: _Look, agents: Sequence[str]) -> set[str]:
    """Read the file for all agents, if it is there, once; return the agents that its keys name."""
    store = _opened(found.home, agents[0] if agents else keys.DEFAULT_AGENT)
    try:
        with _readable():
            if not files.exists(store.index):
                return set()
            snapshot = store.read()
    except CloserError as problem:
        found.warnings.append(f"the store of all agents is left out: {problem.message}")
        return set()
    found.shared, found.all = store, snapshot.sessions
    return {agent for agent in map(keys.agent_of, snapshot.sessions) if agent is not None}


def _take(found: _Look, agent: str, *, own: bool = True) -> None:
    """Read an agent's store, if it has one; without `own` its share of the file for all has been read."""
    store = stores.detect(found.home, agent)
    if store is None:
        from . import lost  # nearly every agent has one

        found.warnings += filter(None, [lost.said(found.home, agent, found.undo)])
    if store is None or (isinstance(store, FileStore) and not own and found.shared is None):
        return
    real = os.path.realpath(store.index)
    twin = next((part for part in found.parts if os.path.realpath(part.store.index) == real), None)
    if twin is not None and (own or not isinstance(store, FileStore)):
        raise Refused(f"its sessions are those of agent {twin.agent}", name="link")
    if isinstance(store, FileStore):
        store = _opened(found.home, agent)
        if found.shared is not None:
            store.begin_with(found.shared)
    snapshot = store.read()
    if isinstance(store, FileStore) and not snapshot.own_index:
        mine = lazy.among(snapshot.sessions, [key for key in snapshot.sessions if keys.agent_of(key) == agent])
        snapshot = snapshot._replace(sessions=mine)
    found.parts.append(Part(agent, store, registers.marked(found.home, snapshot, found.clock.seconds())))


def _take_rest(found: _Look, shared: FileStore) -> None:
    """Add what no agent can be asked for: bare keys, and keys of agents that cannot be."""
    rest = lazy.among(found.all, [key for key in found.all if not keys.is_agent_id(keys.agent_of(key) or "")])
    if rest:
        found.parts.append(Part(None, shared, Snapshot("", shared.index, "", rest, own_index=False)))


def _opened(home: Home, agent: str) -> FileStore:
    """Return an agent's file store; of a large one a session is made of those rows alone that are asked for."""
    store = FileStore(home, agent)
    if not store.is_large():
        return store
    from .files.glance import Glance  # its import takes longer than a small store

    return Glance(home, agent)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        what = f"{problem.filename} cannot be read: {problem.strerror}"
        raise Refused(what, "check it", name="unreadable") from None
