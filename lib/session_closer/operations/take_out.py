"""Close sessions and put away what a cleanup found: what becomes of each store of a plan while that is held."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from copy import copy
from functools import cached_property
from itertools import chain

from ..core import names
from ..core.errors import CloserError, GatewayNeeded
from ..core.model import Plan, PlannedRow
from ..core.report import Report, RestartResult
from ..core.status import GOING, Route, Status
from ..journal.record import StoreRecord
from ..ports.share import Share
from ..ports.store import Store
from . import summary
from .apply import Stage
from .decide import decide_again
from .hold import locked
from .look import planned_sizes
from .request import Look, Request
from .restart import with_what_it_lists
from .transaction import Transaction


class Closing:
    """A plan that is carried out: what of it is still to be done, and what was decided otherwise under the locks."""

    def __init__(
        self,
        request: Request,
        found: Look,
        plan: Plan,
        transaction: Transaction,
        awaited: MutableMapping[str, Sequence[PlannedRow]] | None = None,
    ) -> None:
        """`awaited`: what goes of several stores, in a plan without rows, and decided upon when its turn comes."""
        self._request, self._found, self._transaction = request, found, transaction
        # A child goes only with its parents; else a store is let go of as soon as it is done, as there may be many.
        self._whole = plan if request.options.with_children else None
        self._left = dict(plan.by_agent) if awaited is None else awaited
        self._deferred = plan.deferred
        self._findings = dict(plan.findings)
        told = tuple(row for row in plan.others if row.status not in GOING)
        self._told = plan._replace(rows=told, findings=self._findings)
        self._staying = plan.others
        self._known = {(row.agent, row.key) for row in self._told.rows}
        self._chores = dict(plan.chores)
        self._part, self._is_awaited = Plan(()), awaited is not None
        # Of a store that was decided upon when its turn came the keys that go.
        self._order: Sequence[str] = ()
        free_for = request.options.free_for
        self._until = math.inf if free_for is None else request.clock.monotonic() + free_for

    def stages(self) -> Sequence[Stage]:
        """Sessions of all agents first, then files that belong to none."""
        return [Stage(self._agents(), self._close, self._closed), Stage(sorted(self._told.tidying), self._tidy)]

    def _agents(self) -> Iterator[str]:
        """Give the agents whose sessions go, parents ahead of their children as far as these are of other agents."""
        order = sorted(self._left) if self._whole is None else list(self._left)
        for agent in self._request.in_turn(order):
            if agent in self._left:
                yield agent

    def _first(self, agent: str) -> Plan:
        """Return the plan that one for this agent may only be less than."""
        return self._whole or self._told._replace(rows=(*self._left[agent], *self._staying))

    def _close(self, store: Store) -> None:
        """Close the sessions of one store, and note what was decided otherwise now that it is held."""
        request, first = self._request, self._first(store.agent)
        store.clean()
        plan, stamp = self._decided(store, first)
        if request.options.export is not None:
            from . import copies  # only where what goes was exported first

            plan = copies.unchanged(store, plan, first)
        request.warn(*plan.warnings)
        gone: set[str] = set()
        if plan.closing:
            gone.update(store.take_out(plan.closing, self._transaction, stamp=stamp, until=self._until))
        known = frozenset(first.others)
        rows = [row for row in plan.others if row not in known]
        rows += [row.but(status=Status.ALREADY_CLOSED) for row in plan.closing if row.key in gone] if gone else []
        self._part = plan._replace(rows=tuple(rows))
        self._tell(self._part)

    def _decided(self, store: Store, first: Plan) -> tuple[Plan, str]:
        """Return the plan that is carried out, and its stamp: the first one where all it was made of is the same."""
        request, found = self._request, self._found
        agent, view = store.agent, found.view
        if Route.FILES not in store.traits.writers:
            # A run may have begun since the first look, and archiving would end it.
            concerned = [agent] if self._whole is None else sorted({*request.wish.agents(), agent})
            view = request.gateway.view(concerned, by_command=True)
        snapshot = store.read()
        # Where the gateway is asked anew, and of an absent name a receipt may say something new, nothing is the same.
        may_hold = all(Route.FILES in each.traits.writers for each in found.stores.values()) and not any(
            row.status in (Status.NOT_FOUND, Status.ALREADY_CLOSED) for row in first.others
        )
        if may_hold and snapshot == found.snapshots.get(agent) and request.runtime.is_lent_as_before(agent):
            return first._replace(rows=tuple(first.by_agent[agent]), findings={}), found.stamp
        stamp = names.free_stamp(request.clock.now(), snapshot.taken)
        now = found._replace(snapshots={agent: snapshot}, view=view, stamp=stamp)
        plan = decide_again(request, now, first)
        if self._is_awaited:
            self._order = [row.key for row in plan.closing]
            if not store.traits.loose_files:
                self._found = found._replace(sizes={**found.sizes, **planned_sizes(request, now, plan)})
        return plan, stamp

    def _tell(self, part: Plan) -> None:
        """Note rows of which something is to be said; what is told of one already stays so."""
        rows = tuple(row for row in part.rows if (row.agent, row.key) not in self._known)
        if rows or part.findings:
            self._known.update((row.agent, row.key) for row in rows)
            self._findings.update(part.findings)
            # What was to go and stays after all was not counted among what stays.
            stay = [row for row in rows if row.session is not None and row.status is not Status.ALREADY_CLOSED]
            self._told = self._told._replace(
                rows=(*self._told.rows, *rows), kept=self._told.kept + len(stay), findings=self._findings
            )

    def _closed(self, agent: str) -> None:
        """Let go of an agent's store; of its children in others those stay whose parents do."""
        if self._whole is not None:
            from . import children  # few runs take them along

            self._whole, staying = children.after(self._whole, agent, self._part, self._transaction.shares)
            self._left = dict(self._whole.by_agent)
            self._tell(staying)
        self._left.pop(agent, None)
        share = self._transaction.shares[-1] if self._transaction.shares else None
        if self._order and share is not None and share.store.agent == agent and share.alike:
            self._findings[agent].fold(self._order, share.told_keys)
        # What is there now stays, so what it uses stays, too.
        self._request.runtime.snapshots.pop(agent, None)
        self._request.runtime.gone(agent)

    def _tidy(self, store: Store) -> None:
        """Do what was planned for the files of one store that belong to no session."""
        from . import cleanup  # only a cleanup touches them

        cleanup.tidy(self._request, self._transaction, store, self._chores)
        self._chores[store.agent] = self._chores[store.agent]._replace(orphans=(), expired=())

    def follow_up(self) -> None:
        """Note the caller's own session, and do what follows the close of sessions."""
        deferred = tuple(row.but(status=Status.DEFERRED) for row in self._deferred)
        if deferred:
            self._transaction.begin()
        self._told = self._told._replace(rows=(*self._told.rows, *deferred), chores=self._chores)
        for share in self._transaction.shares:
            self._found.stores[share.store.agent].follow_up(share)

    def look_again(self, share: Share, *, restarted: bool) -> None:  # noqa: ARG002
        """Bring back what a session has taken into use since (I6, I9): it may be another store's."""
        runtime, store = self._request.runtime, self._found.stores[share.store.agent]
        if store.is_lent(share):
            with locked(runtime, store):
                store.look_again(share)
        if share.record.orphans:
            from . import cleanup  # only a cleanup has any

            if cleanup.is_lent(self._request, share):
                with locked(runtime, store):
                    cleanup.look_again(self._request, share)

    def restarted(self, result: RestartResult) -> RestartResult:
        """Ask a gateway that was not restarted whether it lists what was closed below it."""
        return with_what_it_lists(self._request.gateway, self._transaction, result)

    def end(self, *, early: bool) -> None:
        """Call nothing closed of what was under way, and the rest not reached."""
        if not early:
            return
        shares = self._transaction.shares
        for share in shares:
            share.give_up()
        # Of an agent that was let go of nothing is left.
        under_way = [share for share in shares if share.store.agent in self._left]
        reached = {(share.store.agent, key) for share in under_way for key in share.told_keys()}
        reached.update((row.agent, row.key) for row in self._told.rows)
        rest = (*chain.from_iterable(self._left.values()), *self._deferred)
        lost = [row for row in rest if (row.agent, row.key) not in reached]
        rows = tuple(row.but(status=Status.FAILED, hint="not reached") for row in lost)
        self._told = self._told._replace(rows=(*self._told.rows, *rows), kept=self._told.kept + len(lost))

    def report(self, restart: RestartResult, error: CloserError | None = None) -> Report:
        """Return what became of what was planned."""
        return summary.of(
            self._request,
            self._found,
            self._told,
            self._transaction,
            restart=restart,
            error=error or self._locked_out(),
            unfinished=error is not None,
        )

    def _locked_out(self) -> CloserError | None:
        """Return the error of a run that could do nothing: the gateway let it in, but refused the first deletion."""
        shares, why = self._transaction.shares, self._request.gateway.refuses
        if self._request.options.via != "gateway" or not why or not shares:
            return None
        if any(share.alike or share.closed_keys() for share in shares):
            return None
        return GatewayNeeded(why, "leave out --via gateway")

    def left_undone(self, why: str) -> None:
        """Note that what was to be closed after this command is not: there is no process that would do it."""
        hint = f"{why}: close it later"
        rows = tuple(
            row.but(status=Status.FAILED, hint=hint) if row.status is Status.DEFERRED else row
            for row in self._told.rows
        )
        stay = sum(row.status is Status.DEFERRED for row in self._told.rows)
        self._told = self._told._replace(rows=rows, kept=self._told.kept + stay)

    def settled(self, store: StoreRecord) -> StoreRecord:
        """Return a store's part of the record with what became of its sessions."""
        share = self._shares.get((store.path, store.agent))
        if share is None:
            return store
        # One store at a time: what was let go of is in memory for this alone.
        read = copy(share)
        read.record = share.whole(share.record)
        return self._found.stores[store.agent].settled(read)

    @cached_property
    def _shares(self) -> Mapping[tuple[str, str], Share]:
        return {(share.record.path, share.record.agent): share for share in self._transaction.shares}
