"""What earlier runs left below `<state dir>/session-closer/`: open runs and receipts. Nothing here writes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import locks, names
from .files import read

if TYPE_CHECKING:
    from .record import RunRecord

ROOT = "session-closer"
OPEN, RECEIPTS, RECORD = "open", "receipts", "record.json"
# The prefix of a run's folder until its record is complete.
UNBORN = "new-"
LIMIT = 256 << 20


def root(state: str) -> str:
    """Return our own folder in a state directory."""
    return os.path.join(state, ROOT)


def folders(state: str) -> tuple[str, str, str]:
    """Return our own folders in a state directory."""
    own = root(state)
    return own, os.path.join(own, OPEN), os.path.join(own, RECEIPTS)


def receipt_path(state: str, run: str) -> str:
    """Return where a run's receipt is, or will be."""
    return os.path.join(root(state), RECEIPTS, run + ".json")


def record_path(state: str, run: str) -> str:
    """Return where the record of a run is while it lasts."""
    return os.path.join(root(state), OPEN, run, RECORD)


def all_records(state: str) -> Iterator[bytes]:
    """Return the bytes of every record: of runs that have not ended, then every receipt, newest first."""
    yield from _unfinished(state)
    yield from receipts(state)


def open_runs(state: str) -> list[str]:
    """Return the ids of runs that have not ended, oldest first."""
    try:
        with os.scandir(os.path.join(root(state), OPEN)) as found:
            return sorted(e.name for e in found if names.is_run_id(e.name) and e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def unborn_runs(state: str) -> list[str]:
    """Return the folders of runs that are just beginning, or were killed then."""
    try:
        found = os.listdir(folders(state)[1])
    except OSError:
        return []
    return sorted(name for name in found if name.startswith(UNBORN) and names.is_run_id(name.removeprefix(UNBORN)))


def interrupted(state: str) -> list[str]:
    """Return a line for every run that has not ended and that no process works on."""
    found = []
    for run in open_runs(state):
        with contextlib.suppress(OSError):
            descriptor = os.open(os.path.join(folders(state)[1], run), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Shared: a look must not keep a changing command from the run.
                if locks.try_flock(descriptor, shared=True):
                    found.append(f"run {run} was interrupted: the next changing command finishes it")
            finally:
                os.close(descriptor)
    return found


def _unfinished(state: str) -> Iterator[bytes]:
    for run in open_runs(state):
        with contextlib.suppress(OSError):
            yield read(record_path(state, run), LIMIT)[0]


def receipts(state: str) -> Iterator[bytes]:
    """Return the bytes of every receipt, newest first."""
    folder = os.path.join(root(state), RECEIPTS)
    try:
        found = os.listdir(folder)
    except OSError:
        return
    for name in sorted(found, reverse=True):
        if name.endswith(".json") and names.is_run_id(name[:-5]):
            with contextlib.suppress(OSError):
                yield read(os.path.join(folder, name), LIMIT)[0]


def closed_before(state: str, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return, for those of the wanted (agent, key) that a receipt shows as closed, the session id they had.

    The wanted are in no store, so runs that have not ended and were about to close them have done so. Those come first:
    a run that ends meanwhile is found among the receipts.
    """
    from .record import Damaged, decode  # only a key that is in no store needs it

    missing = {pair: json.dumps(pair[1]).encode() for pair in wanted}
    found: dict[tuple[str, str], str] = {}
    for raw in all_records(state):
        hits = [pair for pair, needle in missing.items() if needle in raw]
        if hits:
            with contextlib.suppress(Damaged):
                closed = _closed(decode(raw))
                for pair in hits:
                    if pair in closed:
                        found[pair] = closed[pair]
                        del missing[pair]
        if not missing:
            break
    return found


def _closed(run: RunRecord) -> dict[tuple[str, str], str]:
    return {
        (store.agent, session.key): session.session_id or ""
        for store in run.stores
        for session in store.sessions
        if session.status == "closed" or run.state == "open"
    }


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)
