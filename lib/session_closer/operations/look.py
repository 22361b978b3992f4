"""What is there before anything is decided: every store that a wish concerns, read once, without a lock."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from ..core import names
from ..core.errors import CloserError
from ..core.model import Plan
from ..core.status import Route
from .request import Look, Request


class TooMany(Exception):
    """There are more sessions than there is to be room for."""


def look(request: Request, settle: Callable[[str], None] | None, most: float = math.inf) -> Look:
    """Return what is there; of one store of many that cannot be read why. Raises CloserError for one that was named.

    `settle` finishes what interrupted runs have left of an agent that a policy reaches, None where there is nothing.
    Raises TooMany where there are more than `most` sessions: nothing of them is kept then.
    """
    runtime, wish = request.runtime, request.wish
    stores, snapshots = runtime.stores, runtime.snapshots
    unread: dict[str, CloserError] = {}
    sizes: dict[str, Mapping[str, int]] = {}
    for agent in read(request, settle, unread):
        most -= len(snapshots[agent].sessions)
        if most < 0:
            stores.clear()
            snapshots.clear()
            raise TooMany
        _set_down(request, agent)
        sizes.update(measured(request, agent))
    if runtime.context.options.with_children:
        from . import children  # few runs take them along

        def read_one(agent: str) -> None:
            _read(request, agent)
            _set_down(request, agent)

        children.look(request, read_one, settle)
    by_command = any(Route.FILES not in store.traits.writers for store in stores.values())
    agents = wish.agents() if not runtime.context.options.with_children else sorted(snapshots)
    view = request.gateway.view(agents, by_command=by_command)
    taken = chain.from_iterable([found.taken for found in snapshots.values()])
    stamp = names.free_stamp(runtime.context.clock.now(), taken)
    return Look(stores, snapshots, view, sizes, unread, stamp)


def read(request: Request, settle: Callable[[str], None] | None, unread: dict[str, CloserError]) -> Iterator[str]:
    """Give the agents whose store was read, one after the other; of one of many `unread` gets why it cannot be."""
    wish = request.wish
    every = wish.rules is not None and not wish.agent
    for agent in wish.agents():
        try:
            if every and settle is not None and not wish.only_warns():
                settle(agent)
            _read(request, agent)
        except CloserError as problem:
            if not every:
                raise
            if problem.name == "link":
                request.warn(f"{problem.message}: left out")
            else:
                unread[agent] = problem
        else:
            if agent in request.runtime.stores:
                yield agent


def _read(request: Request, agent: str) -> None:
    """Note an agent's store and what is in it."""
    runtime = request.runtime
    if request.rules is not None:
        runtime.check_folders([agent])
    store = runtime.detect(agent)
    if store is None:
        runtime.snapshots[agent] = runtime.absent(agent)
        return
    snapshot = store.read()
    runtime.stores[agent], runtime.snapshots[agent] = store, snapshot


def _set_down(request: Request, agent: str) -> None:
    """Keep less of a store that is one of many, and make ready what changes the only one."""
    store = request.runtime.stores.get(agent)
    if store is None:
        return
    if len(request.wish.agents()) > 1 or request.options.with_children:
        store.rest()
    elif not request.options.dry_run:
        store.warm()


def measured(request: Request, agent: str) -> dict[str, Mapping[str, int]]:
    """Return the bytes of all sessions of a store that was read where a policy chooses by them."""
    if request.rules is None or request.rules.policy.max_disk is None:
        return {}
    store, snapshot = request.runtime.stores[agent], request.runtime.snapshots[agent]
    return {agent: _known(store.sizes(list(snapshot.sessions.values()), snapshot))}


def planned_sizes(
    request: Request, found: Look, plan: Plan, *, changes: bool = False
) -> Mapping[str, Mapping[str, int]]:
    """Return the bytes of what goes, by agent: what a policy takes, and of a database all.

    Files that were named, or that go at once (`changes`), are weighed when they are recorded, ahead of their renames.
    """
    by_policy = request.rules is not None and not changes
    if request.rules is not None and request.rules.policy.max_disk is not None:
        return found.sizes
    sizes = {}
    for agent, store in found.stores.items():
        # One without a file weighs nothing, and there are many.
        weighs = not store.traits.loose_files
        rows = [row for row in plan.by_agent.get(agent, ()) if weighs or (by_policy and row.moves)]
        sessions = [row.session for row in rows if row.session is not None]
        if sessions:
            sizes[agent] = _known(store.sizes(sessions, found.snapshots[agent]))
    return sizes


def _known(sizes: Mapping[str, int | None]) -> dict[str, int]:
    return {key: size for key, size in sizes.items() if size is not None}
