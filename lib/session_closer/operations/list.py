"""Look at the stores of one agent or of all for a list; nothing is written and nothing is started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ..core import selection
from ..core.errors import CloserError
from ..core.model import GatewayView
from ..core.report import StoreResult
from ..core.selection import Chosen, Listing, Row, Wanted
from ..core.transcripts import is_running
from ..core.wish import Options
from ..ports.context import Context
from ..ports.runtime import Part, Place, Runtime
from ..system.clock import REAL, Clock
from . import runtimes


def look(where: Place, wanted: Wanted, clock: Clock = REAL) -> Listing:
    """Return the sessions that are wanted; CloserError where there is no list."""
    runtimes.check_place(where, [] if wanted.agent is None else [wanted.agent])
    runtime = runtimes.opened(where, Context(Options(dry_run=True), clock=clock))
    try:
        runtime.context.console.warn(*runtime.exposure())
        parts = runtime.parts(wanted.agent, wanted.store)
        everything = ((at, one) for at, part in enumerate(parts) for one in part.snapshot.sessions.values())
        chosen, total = selection.select(everything, wanted, int(clock.seconds() * 1000))
        shown = {parts[one.place].agent for one in chosen}
        view = runtime.gateway.view(sorted(agent for agent in shown if agent is not None))
        rows = _rows(runtime, parts, chosen, view)
    finally:
        runtime.close()
    named = dict.fromkeys((part.store.agent, part.store.index, part.store.era) for part in parts)
    return Listing(
        tuple(StoreResult(agent, path, era) for agent, path, era in named),
        tuple(rows),
        total,
        wanted.limit,
        runtime.gateway.result(),
        tuple(runtime.context.console.warnings),
    )


def _rows(runtime: Runtime, parts: Sequence[Part], chosen: Sequence[Chosen], view: GatewayView) -> list[Row]:
    by_place = defaultdict(list)
    for one in chosen:
        by_place[one.place].append(one.session)
    sizes: dict[int, dict[str, int | None]] = {}
    for place, shown in by_place.items():
        agent, store, snapshot = parts[place]
        try:
            # Whose folder holds the transcript of a bare key in a file for all agents, nobody knows.
            sizes[place] = {} if agent is None else store.sizes(shown, snapshot)
        except CloserError as problem:
            runtime.context.console.warn(f"the sizes of agent {agent} cannot be told: {problem.message}")
            sizes[place] = {}
    return [
        Row(
            parts[one.place].agent,
            one.session,
            one.kind,
            one.age,
            sizes[one.place].get(one.session.key),
            is_running(one.session, parts[one.place].snapshot, view),
        )
        for one in chosen
    ]
