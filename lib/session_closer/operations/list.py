"""Look at the stores of one agent or of all for a list; nothing is written and no `openclaw` is started."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from ..core import keys, selection
from ..core.errors import CloserError, Refused, UnknownAgent
from ..core.model import GatewayView, Life, Snapshot
from ..core.report import StoreResult
from ..core.selection import Chosen, Listing, Row, Wanted
from ..core.transcripts import is_running
from ..journal import history
from ..openclaw import access, migration, owner, registers, stores
from ..openclaw.files.store import FileStore
from ..openclaw.gateway import client, connection
from ..openclaw.home import Home
from ..ports.store import Readable
from ..system import files
from ..system.clock import REAL, Clock


class Part(NamedTuple):
    """A store as one agent has it; `agent` is None for what is nobody's own in a store for all agents."""

    agent: str | None
    store: Readable
    snapshot: Snapshot


@dataclass(slots=True)
class _Look:
    """What has been found so far; `shared` is the file for all agents, once it has been read."""

    home: Home
    clock: Clock
    parts: list[Part] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    shared: FileStore | None = None


def look(where: Home, wanted: Wanted, clock: Clock = REAL) -> Listing:
    """Return the sessions that are wanted; CloserError where there is no list."""
    access.check_place(where, [] if wanted.agent is None else [wanted.agent])
    gateway = connection.meet(where, looking_only=True, clock=clock)
    try:
        found = _Look(where, clock, warnings=owner.exposure(where, history.folders(where.state)))
        agents = [wanted.agent] if wanted.store is None else where.agents_with(wanted.store)
        if len(agents) == 1 and agents[0] is not None:
            _look_at_one(found, agents[0])
        else:
            # Of all agents, or of one file for all of them.
            _look_at_all(found)
        if wanted.store is not None:
            real = os.path.realpath(wanted.store)
            found.parts = [part for part in found.parts if os.path.realpath(part.store.index) == real]
        if gateway.found.life is not Life.UP:
            found.warnings += migration.left_behind(where, [part.store for part in found.parts])
        everything = ((at, one) for at, part in enumerate(found.parts) for one in part.snapshot.sessions.values())
        chosen, total = selection.select(everything, wanted, int(clock.seconds() * 1000))
        shown = {found.parts[one.place].agent for one in chosen}
        view = client.view(gateway, sorted(agent for agent in shown if agent is not None))
        rows = _rows(found, chosen, view)
    finally:
        gateway.close()
    named = dict.fromkeys((part.store.agent, part.store.index, part.store.era) for part in found.parts)
    return Listing(
        tuple(StoreResult(agent, path, era) for agent, path, era in named),
        tuple(rows),
        total,
        wanted.limit,
        gateway.result(),
        tuple(found.warnings),
    )


def _look_at_one(found: _Look, agent: str) -> None:
    with _readable():
        _take(found, agent)
    if not found.parts:
        known = found.home.known_agents()[0]
        there = ", ".join(known) or "none"
        if agent not in known:
            raise UnknownAgent(f"there is no agent {agent} here; agents: {there}", "--agent with one of them")
        found.warnings.append(f"agent {agent} has no sessions here; agents: {there}")


def _look_at_all(found: _Look) -> None:
    agents, notes = found.home.known_agents()
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
    store = FileStore(found.home, agents[0] if agents else keys.DEFAULT_AGENT)
    try:
        with _readable():
            if not files.exists(store.index):
                return set()
            snapshot = store.read()
    except CloserError as problem:
        found.warnings.append(f"the store of all agents is left out: {problem.message}")
        return set()
    found.shared = store
    return {agent for agent in map(keys.agent_of, snapshot.sessions) if agent is not None}


def _take(found: _Look, agent: str, *, own: bool = True) -> None:
    """Read an agent's store, if it has one; without `own` its share of the file for all has been read."""
    store = stores.detect(found.home, agent)
    if store is None or (isinstance(store, FileStore) and not own and found.shared is None):
        return
    real = os.path.realpath(store.index)
    twin = next((part for part in found.parts if os.path.realpath(part.store.index) == real), None)
    if twin is not None and (own or not isinstance(store, FileStore)):
        raise Refused(f"its sessions are those of agent {twin.agent}", name="link")
    if isinstance(store, FileStore) and found.shared is not None:
        store.document = found.shared.document
    snapshot = store.read()
    if isinstance(store, FileStore) and not snapshot.own_index:
        mine = {key: one for key, one in snapshot.sessions.items() if keys.agent_of(key) == agent}
        snapshot = snapshot._replace(sessions=mine)
    found.parts.append(Part(agent, store, registers.marked(found.home, snapshot, found.clock.seconds())))


def _take_rest(found: _Look, shared: FileStore) -> None:
    """Add what no agent can be asked for: bare keys, and keys of agents that cannot be."""
    assert shared.document is not None
    rest = {
        key: member.row
        for key, member in shared.document.members.items()
        if not keys.is_agent_id(keys.agent_of(key) or "")
    }
    if rest:
        found.parts.append(Part(None, shared, Snapshot("", shared.index, "", rest, own_index=False)))


def _rows(found: _Look, chosen: Sequence[Chosen], view: GatewayView) -> list[Row]:
    by_place = defaultdict(list)
    for one in chosen:
        by_place[one.place].append(one.session)
    sizes: dict[int, dict[str, int | None]] = {}
    for place, shown in by_place.items():
        agent, store, snapshot = found.parts[place]
        try:
            # Whose folder holds the transcript of a bare key in a file for all agents, nobody knows.
            with _readable():
                sizes[place] = {} if agent is None else store.sizes(shown, snapshot)
        except CloserError as problem:
            found.warnings.append(f"the sizes of agent {agent} cannot be told: {problem.message}")
            sizes[place] = {}
    return [
        Row(
            found.parts[one.place].agent,
            one.session,
            one.kind,
            one.age,
            sizes[one.place].get(one.session.key),
            is_running(one.session, found.parts[one.place].snapshot, view),
        )
        for one in chosen
    ]


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        what = f"{problem.filename} cannot be read: {problem.strerror}"
        raise Refused(what, "check it", name="unreadable") from None
