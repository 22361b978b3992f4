"""The process that outlives the command: it closes the caller's own session, restarts the gateway, ends the record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.errors import Busy, ChangedUnderneath, CloserError, GatewayNeeded
from ..core.keys import Target
from ..core.report import Outcome, Report, RestartResult
from ..core.status import GOING, PUT_AWAY, Life, Reason, Route, Status
from ..core.tuples import NamedTuple
from ..core.wish import Options, Wish
from ..journal.journal import Journal
from ..journal.record import Ended, RestartRecord, RunRecord, StoreRecord
from ..ports.context import Context
from ..ports.runtime import Runtime
from ..system import processes
from ..system.clock import REAL, Clock
from ..system.disk import Disk
from . import summary
from .restart import wait_for_last_write
from .task import Task, decoded

if TYPE_CHECKING:
    from ..ports.runtime import Place

_CALLER_SECONDS = 60.0
# A turn may go on for long after the command that was its last act, as agents were told it should be.
TURN_SECONDS = 1800.0
TURN_PAUSE = 2.0
# What is over by itself as a rule, and keeps a session open until then.
_PASSING = (Busy, ChangedUnderneath, GatewayNeeded)
_PLANNED = GOING | {Status.WOULD_ARCHIVE}


def main(text: str, *, begun: int | None = None, clock: Clock = REAL) -> int:
    """Wait for the caller to end (bounded), do what it left, finish the record, which shows how it ended.

    `begun`: the pipe on which the caller waits to hear that all this is under way.
    """
    task = decoded(text)
    journal = Journal(Disk(), task.root, task.run)
    journal.descriptor = task.descriptor
    record = journal.read()
    if record is None:
        return 1
    if begun is not None:
        with os.fdopen(begun, "wb") as pipe:
            pipe.write(b".")
    from . import runtimes  # the caller waits no longer, and there is time until it ends

    where = runtimes.from_task(task.place)
    _wait_for(task.caller, clock)
    record, ends = _closed(where, journal, record, task, clock=clock)
    record = _restarted(where, record, ends, task, clock=clock)
    owed = record.restart
    journal.finish(record.but(state="done", finished_at=clock.iso_now()))
    return 0 if owed.done or not owed.needed else 1


def _closed(
    where: Place, journal: Journal, record: RunRecord, task: Task, *, clock: Clock
) -> tuple[RunRecord, list[RestartResult]]:
    """Close what was left, one by one; return the record, written after each, and the restarts that this took."""
    ends = []
    for at, row in enumerate(record.results):
        if row.status == Status.DEFERRED:
            ended, restarted = _close_own(where, record, row, task.options(), clock=clock)
            ends.append(restarted)
            record = record.but(results=(*record.results[:at], ended, *record.results[at + 1 :]))
            journal.write(record)
    return record, ends


def _restarted(
    where: Place, record: RunRecord, ends: Sequence[RestartResult], task: Task, *, clock: Clock
) -> RunRecord:
    """Restart the gateway if the caller left that and no run since has; look again at what the caller has changed."""
    owed, begun = record.restart, clock.monotonic()
    late = [end for end in ends if end.needed]
    owes = owed.result == "handed-off" and not any(end.ok for end in late) and task.may_restart
    if not late and not owes:
        return record
    from . import runtimes

    runtime = runtimes.found(where, Context(task.options(), clock=clock))
    if owes:
        late.append(runtime.gateway.restart())
        wait_for_last_write(begun, clock)
    return record.but(
        stores=tuple(_looked_at(runtime, store) for store in record.stores),
        restart=RestartRecord(True, bool(late[-1].ok), late[-1].result, late[-1].detail),
    )


def _looked_at(runtime: Runtime, store: StoreRecord) -> StoreRecord:
    try:
        return runtime.recorded(store).after_restart(store)
    except (CloserError, OSError):
        return store  # what it says was so when the caller looked


def _wait_for(caller: int, clock: Clock) -> None:
    started = processes.start_ticks(caller)
    clock.until(lambda: not processes.is_same(caller, started), _CALLER_SECONDS, 0.1)


def _close_own(
    where: Place, record: RunRecord, row: Ended, options: Options, *, clock: Clock
) -> tuple[Ended, RestartResult]:
    """Close the caller's own session once its turn has ended; return how it ended, and the restart that this took."""
    deadline = clock.monotonic() + TURN_SECONDS
    wish = Wish(record.operation, (Target(row.given, row.agent, (row.key,)),))
    while True:
        late = clock.monotonic() > deadline
        ended, again = _tried(where, wish, options, row, clock=clock)
        if late or not again:
            return _ended(row, ended), ended.restart
        clock.sleep(TURN_PAUSE)


class _End(NamedTuple):
    """How one try ended: the row, the receipt of its run, and the restart that it took."""

    row: Outcome
    receipt: str | None = None
    restart: RestartResult = RestartResult()


def _tried(where: Place, wish: Wish, options: Options, row: Ended, *, clock: Clock) -> tuple[_End, bool]:
    """Try once; return how it ended, and whether to try again.

    That is where its turn goes on, or another closer holds the store, or somebody keeps writing to it, or the gateway
    does not answer: it may be restarting.
    """
    key = row.key
    try:
        found = _attempt(where, wish, options, row.session_id, clock=clock)
    except CloserError as problem:
        return _End(_failed(key, problem.message)), isinstance(problem, _PASSING)
    ended = found.results[0] if found.results else _failed(key, "it is in its store no more")
    if ended.status is Status.REFUSED and ended.reason is Reason.RUNNING:
        return _End(_failed(key, f"its turn did not end within {TURN_SECONDS / 60:.0f} minutes: close it later")), True
    if found.error is not None and ended.status not in PUT_AWAY:
        # What was only planned has not been done.
        status = Status.FAILED if ended.status in _PLANNED else ended.status
        ended = ended._replace(status=status, error=found.error.message)
    return _End(ended, found.receipt, found.restart), isinstance(found.error, _PASSING)


def _failed(key: str, why: str) -> Outcome:
    return Outcome(key, "", key, Status.FAILED, error=why)


def _attempt(where: Place, wish: Wish, options: Options, session_id: object, *, clock: Clock) -> Report:
    """Try once: a look first, since a session that is running, or that is another one by now, is left alone."""
    from .close import execute

    look = execute(where, wish, options._replace(dry_run=True), clock=clock)
    if look.gateway and look.gateway.life is not Life.DOWN and any(row.route is Route.FILES for row in look.results):
        # What a run writes last of all would bring back what was taken out of the file before.
        wait_for_last_write(clock.monotonic(), clock)
        look = execute(where, wish, options._replace(dry_run=True), clock=clock)
    other = "the key is in use again, by another session"
    rows = tuple(
        row._replace(status=Status.CAME_BACK, error=other) if row.session_id not in (None, session_id) else row
        for row in look.results
    )
    if any(row.status in (Status.REFUSED, Status.CAME_BACK) for row in rows):
        return look._replace(results=rows)
    return execute(where, wish, options, clock=clock)


def _ended(row: Ended, end: _End) -> Ended:
    found = summary.ended(end.row, missing_ok=True)
    of_row = found.but(given=row.given, agent=row.agent, key=row.key, session_id=row.session_id)
    return of_row.but(late=True, receipt=end.receipt)
