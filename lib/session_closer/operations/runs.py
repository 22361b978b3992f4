"""The runs of a place: a list of them, and one in full; nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

from ..core.errors import CloserError
from ..core.report import Report
from ..core.shown import RunPart, RunShown
from ..core.wish import Options
from ..journal import history, receipts, runs
from ..journal.codec import decode
from ..journal.record import HOME, Damaged, RunRecord, StoreRecord
from ..journal.source import restores
from ..journal.written import read_record
from ..system.clock import Clock

# What can be brought back of a run, given its id, as a report of a look.
Check = Callable[[str], Report]
_Now = Mapping[tuple[str, str], tuple[str, str | None]]


def listed(state: str, report: Report, most: int | None, clock: Clock) -> Report:
    """Return a report with the first `most` receipts below a state directory, or a home; None: with all."""
    rows = runs.listed(state)
    shown = tuple(row._replace(age=runs.age(row, clock.now())) for row in rows[:most])
    return report._replace(receipts=shown, receipts_total=len(rows))


def before(state: str, run: str, options: Options) -> str:
    """Return one line for who asked for the latest run, all of which is back: which one before it is not."""
    rows = [row for row, record, _ in runs.records(state) if record is not None and not restores(record.stores)]
    older = rows[[row.id for row in rows].index(run) + 1 :] if run in {row.id for row in rows} else []
    left = next((row.id for row in older if row.closed > row.restored), None)
    if left is None:
        return f"run {run} is back already; so is all that was closed before"
    return f"run {run} is back already; the run before it that is not is undone with: {options.undo} {left}"


def shown(state: str, which: str, report: Report, check: Check, clock: Clock) -> Report:
    """Return a report with one run in full: what it did, and what a restore would make of each part of it now."""
    row, record = receipts.named(state, which)
    row = row._replace(age=runs.age(row, clock.now()))
    if record is None:
        return report._replace(run=RunShown(row, None, "", -1, -1, "", ()))
    parts = [*_parts(record), *_others(state, record)]
    why: str | None = None
    warnings: tuple[str, ...] = ()
    now: _Now = {}
    try:
        looked = check(row.id)
        now, warnings = _now(looked), looked.warnings
    except CloserError as problem:
        why = problem.message
    told = tuple(_with_now(one, now) for one in parts)
    by = record.by
    found = RunShown(row, record.finished_at, record.tool, by.uid, by.pid, by.host, told, why)
    return report._replace(run=found, warnings=warnings)


def _now(looked: Report) -> _Now:
    """Return by agent and key, or path, what a restore would make of it, and why."""
    found = {(row.agent, row.key or row.given): (str(row.status), row.error) for row in looked.results}
    found |= {(row.agent, row.path): (str(row.status), row.error) for row in looked.artifacts or ()}
    return found


def _with_now(part: RunPart, now: _Now) -> RunPart:
    names = (part.key, part.path, os.path.basename(part.path or ""))
    found = next((now[part.agent, name] for name in names if name and (part.agent, name) in now), None)
    return part if found is None else part._replace(now=found[0], error=found[1])


def _parts(record: RunRecord) -> Iterator[RunPart]:
    for store in record.stores:
        for session in store.sessions:
            archives = tuple(_path(store, move.root, move.target) for move in session.moves)
            size = sum(move.size for move in session.moves) if session.moves else None
            yield RunPart(
                store.agent, session.key, None, session.session_id, session.status, size=size, archives=archives
            )
        for move in store.orphans:
            status = "restored" if store.restores else "archived"
            away = (_path(store, move.root, move.target),)
            yield RunPart(
                store.agent, None, _path(store, move.root, move.source), None, status, "file", move.size, away
            )
        for one in store.artifacts:
            path = os.path.join(store.roots[HOME], one.path)
            yield RunPart(store.agent, None, path, one.session_id, one.status, one.kind, one.size)


def _path(store: StoreRecord, root: str, name: str) -> str:
    # What lies beside an index elsewhere has its whole path for a name.
    return os.path.join(store.roots.get(root, ""), name)


def _others(state: str, record: RunRecord) -> Iterator[RunPart]:
    """Give what no store's record speaks of: refused, not there, or closed later for the caller."""
    for row in record.results:
        part = RunPart(row.agent, row.key or row.given, None, row.session_id, row.status, error=row.error)
        later = _later(state, row.receipt) if row.receipt is not None else []
        own = next((one for one in later if (one.agent, one.key) == (part.agent, part.key)), part)
        yield part._replace(size=own.size, archives=own.archives)


def _later(state: str, receipt: str) -> list[RunPart]:
    """Return what the process that outlived a command has done, nothing where its receipt cannot be read any more."""
    run = os.path.basename(receipt).removesuffix(".json")
    try:
        return list(_parts(decode(read_record(history.receipt_path(state, run)).raw)))
    except (OSError, Damaged):
        return []
