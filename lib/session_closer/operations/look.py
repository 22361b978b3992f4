"""What is there before anything is decided: every store that a wish concerns, read once, without a lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from ..core import names
from ..core.errors import CloserError
from ..core.model import Plan, Route, Snapshot
from .request import Look, Request

if TYPE_CHECKING:
    from ..ports.store import Store


def look(request: Request, settle: Callable[[str], None] | None) -> Look:
    """Return what is there; of one store of many that cannot be read why. Raises CloserError for one that was named.

    `settle` finishes what interrupted runs have left of an agent that a policy reaches, None where there is nothing.
    """
    runtime, wish = request.runtime, request.wish
    stores, snapshots = runtime.stores, runtime.snapshots
    every = wish.rules is not None and not wish.agent
    unread: dict[str, CloserError] = {}
    sizes: dict[str, Mapping[str, int]] = {}
    for agent in wish.agents():
        try:
            if every and settle is not None and not wish.only_warns():
                settle(agent)
            _read(request, agent)
            if agent in stores:
                sizes.update(_measured(request, stores[agent], snapshots[agent]))
        except CloserError as problem:
            if not every:
                raise
            if problem.name == "link":
                request.warn(f"{problem.message}: left out")
            else:
                unread[agent] = problem
    if runtime.context.options.with_children:
        from . import children  # few runs take them along

        children.look(request, partial(_read, request), settle)
    by_command = any(Route.FILES not in store.traits.writers for store in stores.values())
    agents = wish.agents() if not runtime.context.options.with_children else sorted(snapshots)
    view = request.gateway.view(agents, by_command=by_command)
    taken = chain.from_iterable([found.taken for found in snapshots.values()])
    stamp = names.free_stamp(runtime.context.clock.now(), taken)
    return Look(stores, snapshots, view, sizes, unread, stamp)


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
    if len(request.wish.agents()) > 1 or request.options.with_children:
        store.rest()
    elif not request.options.dry_run:
        store.warm()


def _measured(request: Request, store: Store, snapshot: Snapshot) -> dict[str, Mapping[str, int]]:
    """Return the bytes of all sessions of a store where a policy chooses by them."""
    if request.rules is None or request.rules.policy.max_disk is None:
        return {}
    return {store.agent: _known(store.sizes(list(snapshot.sessions.values()), snapshot))}


def planned_sizes(request: Request, found: Look, plan: Plan) -> Mapping[str, Mapping[str, int]]:
    """Return the bytes of what goes, by agent: what a policy takes, and of a database all.

    Files that were named are weighed when they are recorded, ahead of their renames.
    """
    by_policy = request.rules is not None
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
