"""A cleanup of very many sessions, store by store: what goes is found ahead, and decided upon when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core import keys, names
from ..core.ending import is_fine
from ..core.model import GatewayView, Going, Plan, PlannedRow, Snapshot
from ..core.status import Life, Route, Status
from ..core.tuples import NamedTuple
from . import summary
from .decide import decide_again, decide_ahead
from .look import measured, planned_sizes, read
from .request import Look, Request
from .restart import foreseen

if TYPE_CHECKING:
    from ..core.errors import CloserError
    from ..core.findings import Findings
    from ..core.report import Outcome, Remainder, Report
    from ..ports.store import Store
    from .transaction import Transaction


# A plan of so many sessions takes about 90 MiB, and saves a fifth of the time.
MOST = 64_000


class Awaited(MutableMapping[str, Sequence[PlannedRow]]):
    """What is to be closed, by agent: rows that are made when they are asked for, with no session and no files."""

    def __init__(self, going: Mapping[str, Going]) -> None:
        self._going = dict(going)

    def __getitem__(self, agent: str) -> Sequence[PlannedRow]:
        return [PlannedRow(key, agent, key, Status.WOULD_CLOSE) for key in self._going[agent].keys]

    def __setitem__(self, agent: str, rows: Sequence[PlannedRow]) -> None:
        self._going[agent] = Going.of(rows)

    def __delitem__(self, agent: str) -> None:
        del self._going[agent]

    def __iter__(self) -> Iterator[str]:
        return iter(self._going)

    def __len__(self) -> int:
        return len(self._going)


class Ahead(NamedTuple):
    """What was found of all stores: a plan without rows, what goes, and the folders that closing it writes to."""

    found: Look
    plan: Plan
    going: Mapping[str, Going]
    written: Collection[str]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many sessions go, by agent."""
        return {agent: len(own.keys) for agent, own in self.going.items()}


def is_possible(request: Request) -> bool:
    """Tell whether a run may go from store to store: it is a policy's about several, and needs them one by one."""
    options = request.options
    several = request.rules is not None and len(request.wish.agents()) > 1
    return several and not options.with_children and options.export is None


def look(request: Request, settle: Callable[[str], None] | None) -> Ahead:
    """Return what goes of each store, with as little of it as there may be many; `settle`: as of a look at all."""
    runtime, moment = request.runtime, request.clock.now()
    unread: dict[str, CloserError] = {}
    sizes: dict[str, Mapping[str, int]] = {}
    going: dict[str, Going] = {}
    findings: dict[str, Findings] = {}
    counts: dict[str, int] = {}
    written: dict[str, None] = {}
    views = _Views(request)
    for agent in read(request, settle, unread):
        store, snapshot = runtime.stores[agent], runtime.snapshots[agent]
        sizes.update(measured(request, agent))
        stamp = names.free_stamp(moment, snapshot.taken)
        plan, _ = decide_ahead(request, Look({agent: store}, {agent: snapshot}, views.of(store), sizes, {}, stamp))
        findings[agent] = plan.findings[agent].bare()
        counts[snapshot.path] = len(snapshot.sessions)
        if plan.closing:
            going[agent] = Going.of(plan.closing)
            written.update(dict.fromkeys(sorted(store.written(plan.closing))))
            views.keep(going[agent])
        store.forget()
        if not views.tells(snapshot):
            del runtime.snapshots[agent]
    runtime.going(going)
    with runtime.one_look():
        # From here on only what has changed is read again.
        for agent in going:
            runtime.lent(agent)
    kept = sum(counts.values()) - sum(len(own.keys) for own in going.values())
    found = Look(dict(runtime.stores), dict(runtime.snapshots), views.kept(), sizes, unread)
    return Ahead(found, Plan((), kept=kept, findings=findings), going, written)


class _Views:
    """What the gateway says of the sessions of each store, and, in the end, of those that go."""

    def __init__(self, request: Request) -> None:
        self._gateway = request.gateway
        self._now = request.gateway.view(())
        self._known: set[str] = set()
        rules = request.rules
        self._spared = list(rules.active) if rules is not None else []
        self._named = {name.agent for name in self._spared}

    def of(self, store: Store) -> GatewayView:
        """Return what it says of one store."""
        if self._now.life is not Life.DOWN:
            by_command = Route.FILES not in store.traits.writers
            self._now = self._gateway.view([store.agent], by_command=by_command)
        return self._now

    def tells(self, snapshot: Snapshot) -> bool:
        """Tell whether a store may be needed to say that a session which is to stay is there."""
        names = [(name, keys.fitting(name, snapshot.agent)) for name in self._spared if not name.exact]
        there = [name for name, own in names if any(key in snapshot.sessions for key in own.candidates)]
        # The first that has it is enough, of however many.
        self._spared = [name for name in self._spared if name not in there]
        return bool(there) or snapshot.agent in self._named

    def keep(self, going: Going) -> None:
        """Keep which of these it lists; none of them has a run in flight, or it would not go."""
        self._known.update(key for key in going.keys if key in self._now.known)

    def kept(self) -> GatewayView:
        """Return what was kept."""
        return self._now._replace(known=frozenset(self._known), active=frozenset())


def read_again(store: Store) -> Snapshot:
    """Return what is in a store now, and keep nothing of it."""
    snapshot = store.read()
    store.forget()
    return snapshot


def told(request: Request, ahead: Ahead, transaction: Transaction, error: CloserError | None) -> Report:
    """Return the report of a run that changes nothing."""
    runtime, left = request.runtime, request.options.most_rows
    rows: list[Outcome] = []
    untold: list[Remainder] = []
    counted: dict[str, dict[str, Any]] = {}
    routes: set[Route] = set()
    awaited, bare = Awaited(ahead.going), ahead.plan
    with runtime.one_look():
        for agent, store in ahead.found.stores.items():
            plan = bare._replace(rows=())
            one = ahead.found
            if agent in awaited:
                snapshot = store.read()
                stamp = names.free_stamp(request.clock.now(), snapshot.taken)
                one = one._replace(snapshots={agent: snapshot}, stamp=stamp)
                plan = decide_again(request, one, bare._replace(rows=tuple(awaited[agent])))
                plan = plan._replace(chores=bare.chores)
                request.warn(*plan.warnings)
                routes.update(row.route for row in plan.closing if store.traits.restarts)
                one = one._replace(sizes={**one.sizes, **planned_sizes(request, one, plan)})
                store.forget()
            part = summary.part(request, one, plan, agent, left)
            rows += part.rows
            untold += part.untold
            counted.update(part.counted)
            left = None if left is None else max(0, left - sum(is_fine(row, missing_ok=False) for row in part.rows))
    restart = foreseen(runtime, routes if error is None else (), usable=ahead.found.view.usable)
    told = summary.Part(rows, untold, counted)
    return summary.of(request, ahead.found, ahead.plan, transaction, restart=restart, error=error, ahead=told)
