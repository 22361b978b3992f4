"""Look at the stores of one agent or of all for a list; nothing is written and nothing is started."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core import durations, kinds, selection
from ..core.details import NOTHING, Details
from ..core.errors import CloserError
from ..core.report import StoreResult
from ..core.selection import Listing, Match, Row
from ..core.transcripts import is_running
from ..core.wish import Options
from ..core.words import Sort
from ..ports.context import Context
from ..system.clock import REAL, Clock
from . import runtimes

if TYPE_CHECKING:
    from ..core.model import GatewayView
    from ..core.wanted import Wanted
    from ..ports.runtime import Part, Place, Runtime


def look(where: Place, wanted: Wanted, clock: Clock = REAL, *, undo: str = "restore-sessions") -> Listing:
    """Return the sessions that are wanted; CloserError where there is no list. `undo` is the command that restores."""
    runtimes.check_place(where, [] if wanted.agent is None else [wanted.agent])
    runtime = runtimes.opened(where, Context(Options(dry_run=True, undo=undo), clock=clock))
    now = clock.seconds()
    try:
        runtime.context.console.warn(*runtime.exposure())
        parts = runtime.parts(wanted.agent, wanted.store)
        facts = _Facts(runtime, parts)
        matches = selection.matching([part.snapshot.sessions for part in parts], wanted, int(now * 1000))
        if wanted.words or wanted.label is not None:
            facts.tell(matches)
            matches = [one for one in matches if selection.is_called(one.session, facts.details(one), wanted)]
        if wanted.sort is Sort.SIZE:
            facts.measure(matches)
        elif wanted.sort is Sort.TOKENS:
            facts.tell(matches)
        figure = facts.size if wanted.sort is Sort.SIZE else facts.tokens
        shown = selection.ordered(matches, wanted, int(now * 1000), figure)
        agents = {parts[one.place].agent for one in shown}
        view = runtime.gateway.view(sorted(agent for agent in agents if agent is not None))
        facts.tell(shown)
        facts.measure(shown)
        rows = [_row(one, parts[one.place], facts, view, now) for one in shown]
    finally:
        runtime.close()
    named = dict.fromkeys((part.store.agent, part.store.index, part.store.era) for part in parts)
    return Listing(
        tuple(StoreResult(agent, path, era) for agent, path, era in named),
        tuple(rows),
        len(matches),
        wanted,
        runtime.gateway.result(),
        tuple(runtime.context.console.warnings),
    )


class _Facts:
    """What sessions are called and how large they are, asked of each store once."""

    def __init__(self, runtime: Runtime, parts: Sequence[Part]) -> None:
        self._runtime, self._parts = runtime, parts
        self._details: dict[int, Mapping[str, Details]] = {}
        self._sizes: dict[int, Mapping[str, int | None]] = {}

    def details(self, match: Match) -> Details:
        """Return what a session is called and has used, as far as it was asked for."""
        return self._details.get(match.place, {}).get(match.key, NOTHING)

    def size(self, match: Match) -> int | None:
        """Return the bytes of a session's transcript, None where nobody can tell."""
        return self._sizes.get(match.place, {}).get(match.key)

    def tokens(self, match: Match) -> int | None:
        """Return the tokens that a session has used, None where its entry does not say."""
        return self.details(match).total_tokens

    def tell(self, matches: Iterable[Match]) -> None:
        """Ask the stores what these sessions are called and have used."""
        for place, those in _by_place(matches):
            if place not in self._details:
                self._details[place] = self._parts[place].store.details([one.key for one in those])

    def measure(self, matches: Iterable[Match]) -> None:
        """Ask the stores how large these sessions are."""
        for place, those in _by_place(matches):
            agent, store, snapshot = self._parts[place]
            if place in self._sizes:
                continue
            try:
                # Whose folder holds the transcript of a bare key in a file for all agents, nobody knows.
                self._sizes[place] = {} if agent is None else store.sizes([one.session for one in those], snapshot)
            except CloserError as problem:
                self._runtime.context.console.warn(f"the sizes of agent {agent} cannot be told: {problem.message}")
                self._sizes[place] = {}


def _by_place(matches: Iterable[Match]) -> Iterable[tuple[int, list[Match]]]:
    found: dict[int, list[Match]] = defaultdict(list)
    for one in matches:
        found[one.place].append(one)
    return found.items()


def _row(match: Match, part: Part, facts: _Facts, view: GatewayView, now: float) -> Row:
    return Row(
        part.agent,
        match.session,
        kinds.of(match.session),
        durations.since(match.updated_at, now),
        facts.size(match),
        is_running(match.session, part.snapshot, view),
        facts.details(match),
    )
