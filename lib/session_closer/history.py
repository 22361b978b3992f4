"""What earlier runs left below `<state dir>/session-closer/`: open runs and receipts. Nothing here writes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from . import locks, names, trust
from .errors import Refused
from .files import read

if TYPE_CHECKING:
    from .record import RunRecord

ROOT = "session-closer"
OPEN, RECEIPTS, RECORD = "open", "receipts", "record.json"
# The prefix of a run's folder until its record is complete.
UNBORN = "new-"
LIMIT = 256 << 20
_HIDDEN = (errno.EACCES, errno.EPERM, errno.EIO)


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
    return (raw for _, _, raw in named_records(state))


def named_records(state: str) -> Iterator[tuple[str, str, bytes]]:
    """Return the same with each run's id and path; Refused where one is there that may not be read."""
    for run in open_runs(state):
        yield from _record(run, record_path(state, run))
    folder = os.path.join(root(state), RECEIPTS)
    for name in sorted(_listed(folder), reverse=True):
        if name.endswith(".json") and names.is_run_id(name[:-5]):
            yield from _record(name[:-5], os.path.join(folder, name))


def _record(run: str, path: str) -> Iterator[tuple[str, str, bytes]]:
    try:
        raw, status = read(path, LIMIT)
    except OSError as problem:
        # A folder, a pipe, a link: never ours. What is ours and hidden may be what is asked for.
        if problem.errno in _HIDDEN:
            raise _unreadable(path, problem) from None
        return
    if not trust.is_trusted(status.st_uid):
        raise Refused(f"{path} belongs to uid {status.st_uid}, so it is none of ours", "remove it", name="owner")
    yield run, path, raw


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as problem:
        if problem.errno in _HIDDEN:
            raise _unreadable(folder, problem) from None
        return []


def _unreadable(path: str, problem: OSError) -> Refused:
    return Refused(f"{path} cannot be read: {problem.strerror}", "check who owns it", name="unreadable")


def open_runs(state: str) -> list[str]:
    """Return the ids of runs that have not ended, oldest first."""
    folder = os.path.join(root(state), OPEN)
    return sorted(name for name in _listed(folder) if names.is_run_id(name) and _is_folder(os.path.join(folder, name)))


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def unborn_runs(state: str) -> list[str]:
    """Return the folders of runs that are just beginning, or were killed then."""
    found = _listed(os.path.join(root(state), OPEN))
    return sorted(name for name in found if name.startswith(UNBORN) and names.is_run_id(name.removeprefix(UNBORN)))


def interrupted(state: str) -> list[str]:
    """Return a line for every run that has not ended and that no process works on."""
    return [
        f"run {run} was interrupted: the next changing command finishes it"
        for run in open_runs(state)
        if is_left(state, run)
    ]


def is_left(state: str, run: str) -> bool:
    """Tell whether a run that has not ended is there, and no process works on it."""
    try:
        descriptor = os.open(os.path.join(root(state), OPEN, run), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared: a look must not keep a changing command from the run.
        return locks.try_flock(descriptor, shared=True)
    finally:
        os.close(descriptor)


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
