"""Bring sessions back that were put away: what becomes of each of their stores while that is held."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from ..core.actions import How
from ..core.errors import CloserError
from ..core.report import Outcome, Report, RestartResult, StoreResult
from ..core.status import Status
from ..journal.record import StoreRecord
from ..journal.source import Chosen
from ..ports.share import Share
from ..ports.store import Store
from ..ports.undo import Item, Returns
from ..system import files
from .apply import Stage
from .request import Request
from .transaction import Transaction


class Returning:
    """What is to be brought back, by agent, and what has become of it; `missing` are rows of words without meaning."""

    def __init__(
        self,
        request: Request,
        lots: Mapping[str, Sequence[Chosen]],
        returns: Returns,
        missing: Sequence[Outcome],
        transaction: Transaction,
    ) -> None:
        self._request, self._lots, self._returns = request, lots, returns
        self._missing, self._transaction = missing, transaction
        self._note_taken: Callable[[RestartResult], None] | None = None
        self._is_over = False

    def stages(self) -> Sequence[Stage]:
        """What was deleted last, of all agents: the gateway, which the others may need, is stopped meanwhile."""
        return [
            Stage(self._agents(deleted=deleted), partial(self._bring_back, deleted=deleted))
            for deleted in (False, True)
        ]

    def _agents(self, *, deleted: bool) -> Iterator[str]:
        agents = sorted({item.agent for item in self._returns.wanted() if _is_in(item, deleted=deleted)})
        if not self._request.runtime.own_indexes:
            # Where they share an index, each was closed in what another had left.
            agents.sort(key=lambda agent: max(one.at for one in self._lots[agent]), reverse=True)
        yield from self._request.in_turn(agents)

    def _bring_back(self, store: Store, *, deleted: bool) -> None:
        agent, chosen = store.agent, self._lots[store.agent]
        if not self._returns.rests(agent):
            own = self._returns.of(agent)
            wanted = {item.key for item in own if item.is_wanted and _is_in(item, deleted=deleted)}
            chosen = [one for one in chosen if one.name in wanted]
        store.bring_back(chosen, self._transaction, self._returns)
        self._returns.rest(agent, len(chosen), partial(self._lots.__getitem__, agent))

    def follow_up(self) -> None:
        """Write what leads to sessions that are back."""
        # Of what is alike nothing led to it.
        chosen = [one for agent in self._lots if not self._returns.rests(agent) for one in self._lots[agent]]
        self._note_taken = self._request.runtime.put_back(chosen, self._returns)

    def look_again(self, share: Share, *, restarted: bool) -> None:
        """Note what a gateway that was restarted has not kept."""
        if restarted:
            self._request.runtime.stores[share.store.agent].check_back(share, self._returns)

    def restarted(self, result: RestartResult) -> RestartResult:
        """Note whether it has taken what leads to these sessions."""
        if self._note_taken is not None:
            self._note_taken(result)
        return result

    def end(self, *, early: bool) -> None:  # noqa: ARG002
        """Call the rest not reached, and switch on what was switched off with the sessions that are back."""
        if not self._is_over:
            self._is_over = True
            self._is_found(_is_there)
            self._returns.end()
            self._request.runtime.switch_on(self._returns)

    def expect(self) -> None:
        """Say nothing of transcripts that would come back with sessions of other agents."""
        if any(item.astray for item in self._returns.to_be_seen_to()):
            stores = self._request.runtime.stores
            coming = {
                os.path.join(files.real(stores[item.agent].folder), move.source)
                for item in self._returns
                if item.is_wanted
                for move in item.moves
            }
            self._is_found(coming.__contains__)

    def _is_found(self, is_there: Callable[[str], bool]) -> None:
        found = [item for item in self._returns.to_be_seen_to() if item.astray and is_there(item.astray)]
        whole = [
            item.but(astray="", left=tuple(one for one in item.left if one.kind != "transcript")) for item in found
        ]
        self._returns.decide(whole)

    def report(self, restart: RestartResult, error: CloserError | None = None) -> Report:
        """Return what became of what was to come back."""
        request, transaction = self._request, self._transaction
        # Who looks ahead through several runs asks for each row.
        told, untold = self._returns.outcomes(None if request.options.dry_run else request.options.most_told)
        rows = (*told, *self._missing)
        for share in transaction.shares:
            request.warn(*share.warnings)
        backups = {
            share.record.agent: os.path.join(share.store.place, share.record.backup)
            for share in transaction.shares
            if share.record.backup is not None
        }
        unfinished = transaction.journal if error is not None else None
        return Report(
            operation=request.wish.operation,
            dry_run=request.options.dry_run,
            stores=tuple(
                StoreResult(agent, store.index, store.era, backups.get(agent), hides=store.traits.hides)
                for agent, store in request.runtime.stores.items()
            ),
            results=rows,
            gateway=request.gateway.result(),
            restart=restart,
            receipt=unfinished.path if unfinished is not None else transaction.receipt,
            undo=transaction.undo(request.options) if _is_back(rows) else None,
            warnings=tuple(request.runtime.context.console.warnings),
            error=error,
            untold=untold,
        )

    def left_undone(self, why: str) -> None:
        """Note nothing: only a restart is left to a process, and the report tells of that."""

    def settled(self, store: StoreRecord) -> StoreRecord:
        """Return a store's part of the record with what became of its sessions."""
        returns = self._returns
        ended = (
            session if (status := returns.ended(store.agent, session.key)) is None else session.but(status=str(status))
            for session in self._transaction.whole(store).sessions
        )
        return store.but(sessions=tuple(ended))


def _is_in(item: Item, *, deleted: bool) -> bool:
    """Tell whether a session belongs to what was deleted, or to the rest."""
    return (item.put_away is How.DELETE) is deleted


def _is_there(path: str) -> bool:
    """Tell whether a file is there; of one that cannot be looked at it is not said that it is back."""
    try:
        return files.is_reached(path)
    except OSError:
        return False


def _is_back(rows: Sequence[Outcome]) -> bool:
    """Tell whether a session is back; a file without one is put away again by a cleanup."""
    return any(row.key and row.status is Status.RESTORED for row in rows)
