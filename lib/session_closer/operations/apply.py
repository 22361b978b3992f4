"""Change stores, to close sessions or to bring them back: each of them held, one record, one restart, settled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ..core.errors import CloserError
from ..core.report import Report, RestartResult
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..journal.record import RestartRecord, StoreRecord
from ..journal.stopped import STOPPING, stopped
from ..ports.gateway import Interlude
from ..ports.share import Share
from ..ports.store import Store
from . import summary
from .hold import locked
from .request import Request
from .restart import not_begun, nothing_to_restart, restart_once
from .transaction import Transaction


def _nothing(_agent: str) -> None:
    """Do nothing once a store is let go of."""


class Stage(NamedTuple):
    """What is done to the stores of some agents, in this order: `change` while one is held, `done` after that.

    `change` reads the store and decides again, notes what it is going to do, and does it.
    """

    agents: Iterable[str]
    change: Callable[[Store], None]
    done: Callable[[str], None] = _nothing


class Change(Protocol):
    """What is to become of sessions in the stores of some agents, and what has become of them so far."""

    def stages(self) -> Sequence[Stage]:
        """Return what is done to stores, one stage after the other."""

    def follow_up(self) -> None:
        """Do what goes with that once all stores are changed, ahead of a restart."""

    def look_again(self, share: Share, *, restarted: bool) -> None:
        """Look at a store's share once all stores are changed, and put right, or note, what is otherwise since.

        `restarted`: the restart is over that the run may have owed.
        """

    def restarted(self, result: RestartResult) -> RestartResult:
        """Note what a restart has come to; return how it is told."""

    def end(self, *, early: bool) -> None:
        """Note of all that the run has not come to, or has ended too `early` to know, that it is not done."""

    def report(self, restart: RestartResult, error: CloserError | None = None) -> Report:
        """Return what has become of all of it; `error`: what ended the run, so that the record stays open."""

    def left_undone(self, why: str) -> None:
        """Note that the process that was to do the rest of it has not begun."""

    def settled(self, store: StoreRecord) -> StoreRecord:
        """Return a store's part of the record with what became of each session and file."""


def perform(request: Request, transaction: Transaction, change: Change) -> Report:
    """Carry out a change; where it is ended early the record stays open, and the next changing command finishes it."""
    result, interlude = nothing_to_restart(request.gateway), Interlude()
    try:
        with request.gateway.interlude() as interlude:
            for stage in change.stages():
                for agent in stage.agents:
                    store = request.runtime.stores[agent]
                    with locked(request.runtime, store):
                        stage.change(store)
                    stage.done(agent)
            change.follow_up()
            _look_again(request, transaction, change, restarted=False)
            result = restart_once(request.runtime, transaction)
            _look_again(request, transaction, change, restarted=True)
            result = change.restarted(result)
        change.end(early=False)
        return _settled(request, transaction, change, interlude.result or result)
    except STOPPING as problem:
        error = stopped(problem, request.runtime.root, has_changed=bool(transaction.shares))
    change.end(early=True)
    return change.report(interlude.result or result, error)


def _look_again(request: Request, transaction: Transaction, change: Change, *, restarted: bool) -> None:
    with request.runtime.one_look():
        for share in transaction.shares:
            change.look_again(share, restarted=restarted)


def _settled(request: Request, transaction: Transaction, change: Change, restart: RestartResult) -> Report:
    """Turn the record into the receipt, or leave both to the process that restarts the gateway."""
    report = change.report(restart)
    record, journal = transaction.record, transaction.journal
    if record is None or journal is None:
        return report
    is_recorded = transaction.recorded()
    others = [row for row in report.results if not is_recorded(row.agent, row.key)]
    last = record.but(results=tuple(summary.ended(row, missing_ok=request.options.missing_ok) for row in others))
    owed = RestartRecord(restart.needed, bool(restart.ok), restart.result, restart.detail)
    if restart.result == "handed-off" or any(row.status is Status.DEFERRED for row in report.results):
        stores = tuple(map(change.settled, last.stores))
        journal.write(last.but(stores=stores, restart=owed))
        from . import handoff  # few runs leave something to another process

        why = handoff.start(request.runtime, journal, last.id, request.options)
        if not why:
            return report
        change.left_undone(why)
        again = not_begun(request.gateway, why) if restart.result == "handed-off" else restart
        return _settled(request, transaction, change, again)
    last = last.but(restart=owed, state="done", finished_at=request.clock.iso_now())
    journal.finish(last, map(change.settled, last.stores))
    return report
