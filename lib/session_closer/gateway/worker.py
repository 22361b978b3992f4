"""The process that outlives the command: it closes the caller's own session, restarts the gateway, ends the record."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from .. import processes
from ..errors import Busy, CloserError
from ..files import Disk
from ..home import Home
from ..journal import Journal
from ..keys import Target
from ..locks import iso_now
from ..model import Options, Outcome, Reason, Report, Status, Wish
from ..record import RestartRecord, RunRecord
from ..report import result
from .find import find
from .restart import restart

_CALLER_SECONDS = 60.0
# A turn may go on for long after the command that was its last act, as agents were told it should be.
TURN_SECONDS = 1800.0
_PAUSE = 2.0


def main(task: Mapping[str, Any], *, begun: int | None = None) -> int:
    """Wait for the caller to end (bounded), do what it left, finish the record, which shows how it ended.

    `begun`: the pipe on which the caller waits to hear that all this is under way.
    """
    where = Home(
        task["state"],
        "worker",
        {**os.environ, "OPENCLAW_CONFIG_PATH": task["config"]},
        url=task["url"],
        token_file=task["tokenFile"],
        gateway_state=task["gatewayState"],
    )
    journal = Journal(Disk(), where.state, task["run"])
    journal.descriptor = int(task["descriptor"])
    record = journal.read()
    if record is None:
        return 1
    if begun is not None:
        with os.fdopen(begun, "wb") as pipe:
            pipe.write(b".")
    _wait_for(int(task["caller"]))
    edited = False
    rows: list[Mapping[str, Any]] = []
    for row in record.results:
        if row.get("status") != Status.DEFERRED:
            rows.append(row)
            continue
        ended, below = _close_own(where, record, row, task)
        edited = edited or below
        rows.append({**row, **ended})
        journal.write(replace(record, results=(*rows, *record.results[len(rows) :])))
    record = replace(record, results=tuple(rows))
    owed = record.restart
    if (owed.result == "handed-off" or edited) and task["restart"] != "never":
        done = restart(where, find(where))
        owed = RestartRecord(True, bool(done.ok), done.result, done.detail)
    journal.finish(replace(record, restart=owed, state="done", finished_at=iso_now()))
    return 0 if owed.done or not owed.needed else 1


def _wait_for(caller: int) -> None:
    deadline = time.monotonic() + _CALLER_SECONDS
    started = processes.start_ticks(caller)
    while processes.is_same(caller, started) and time.monotonic() < deadline:
        time.sleep(0.1)


def _close_own(
    where: Home, record: RunRecord, row: Mapping[str, Any], task: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """Close the caller's own session once its turn has ended; return how it ended, and whether a store was edited."""
    deadline = time.monotonic() + TURN_SECONDS
    wish = Wish(record.operation, (Target(str(row["input"]), str(row["agent"]), (str(row["key"]),)),))
    options = Options(
        via=task["via"], restart="never", reason=task["reason"], archive=bool(task["archive"]), missing_ok=True
    )
    while True:
        late = time.monotonic() > deadline
        ended, again = _tried(where, wish, options, row)
        if late or not again:
            return _ended(ended.row, ended.receipt), ended.below
        time.sleep(_PAUSE)


class _End(NamedTuple):
    """How one try ended: the row, the receipt of its run, and whether a store was edited below its gateway."""

    row: Outcome
    receipt: str | None = None
    below: bool = False


def _tried(where: Home, wish: Wish, options: Options, row: Mapping[str, Any]) -> tuple[_End, bool]:
    """Try once; return how it ended, and whether to try again: its turn goes on, or another closer holds the store."""
    key = str(row["key"])
    try:
        found = _attempt(where, wish, options, row.get("sessionId"))
    except CloserError as problem:
        return _End(_failed(key, problem.message)), isinstance(problem, Busy)
    ended = found.results[0] if found.results else _failed(key, "it is in its store no more")
    if ended.status is Status.REFUSED and ended.reason is Reason.RUNNING:
        return _End(_failed(key, f"its turn did not end within {TURN_SECONDS / 60:.0f} minutes: close it later")), True
    if found.error is not None:
        ended = ended._replace(error=found.error.message)
    return _End(ended, found.receipt, found.restart.needed), isinstance(found.error, Busy)


def _failed(key: str, why: str) -> Outcome:
    return Outcome(key, "", key, Status.FAILED, error=why)


def _attempt(where: Home, wish: Wish, options: Options, session_id: object) -> Report:
    """Try once: a look first, since a session that is running, or that is another one by now, is left alone."""
    from ..executor import execute

    look = execute(where, wish, options._replace(dry_run=True))
    other = "the key is in use again, by another session"
    rows = tuple(
        row._replace(status=Status.CAME_BACK, error=other) if row.session_id not in (None, session_id) else row
        for row in look.results
    )
    if any(row.status in (Status.REFUSED, Status.CAME_BACK) for row in rows):
        return look._replace(results=rows)
    return execute(where, wish, options)


def _ended(row: Outcome, receipt: str | None) -> dict[str, Any]:
    plain = result(row, missing_ok=True)
    kept = ("ok", "status", "reason", "route", "archives", "error")
    return {**{name: plain[name] for name in kept}, "receipt": receipt}
