"""Run records on disk: open while a run lasts, receipts afterwards; everything through Disk."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from . import locks, record
from .files import Disk, put, read, remove
from .record import Damaged, RunRecord

ROOT = "session-closer"
_OPEN, _RECEIPTS, _RECORD, _TEMP = "open", "receipts", "record.json", "record.json.tmp"
_LIMIT = 256 << 20


def new_id(moment: datetime) -> str:
    """Return an id that sorts by time: 20261121T004124.769Z-1a2b3c4d."""
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


def root(state: str) -> str:
    """Return our own folder in a state directory."""
    return os.path.join(state, ROOT)


def folders(state: str) -> tuple[str, str, str]:
    """Return our own folders in a state directory."""
    own = root(state)
    return own, os.path.join(own, _OPEN), os.path.join(own, _RECEIPTS)


def receipt_path(state: str, run: str) -> str:
    """Return where a run's receipt is, or will be."""
    return os.path.join(root(state), _RECEIPTS, run + ".json")


class Journal:
    """The record of a run that is under way; its folder's flock tells others that the run is alive."""

    def __init__(self, disk: Disk, state: str, run: str) -> None:
        self._disk = disk
        self._state = state
        self._run = run
        self._folder = os.path.join(root(state), _OPEN, run)
        self.descriptor = -1

    def begin(self, first: RunRecord) -> None:
        """Create the folder, take its flock and write the record, durable before anything else changes."""
        for folder in (root(self._state), os.path.join(root(self._state), _OPEN), self._folder):
            with contextlib.suppress(FileExistsError):
                self._disk.make_folder(folder)
                self._disk.sync_folder(os.path.dirname(folder))
        self.take()
        self.write(first)

    def take(self) -> bool:
        """Take the flock on the record's folder; False where another process is at it."""
        if self.descriptor < 0:
            self.descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return locks.try_flock(self.descriptor)

    def write(self, now: RunRecord) -> None:
        """Replace the record, durable before it returns."""
        temp = os.path.join(self._folder, _TEMP)
        remove(self._disk, [temp])
        put(self._disk, temp, record.encode(now))
        self._disk.rename(temp, os.path.join(self._folder, _RECORD))
        self._disk.sync_folder(self._folder)

    def read(self) -> RunRecord | None:
        """Return the record, None where the run died before it wrote one; raise Damaged."""
        try:
            raw, _ = read(os.path.join(self._folder, _RECORD), _LIMIT)
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise Damaged(str(problem)) from None
        found = record.decode(raw)
        if found.id != self._run or found.state_dir != self._state:
            raise Damaged("belongs to another run")
        return found

    def finish(self, last: RunRecord) -> str:
        """Turn the record into the receipt, in one rename; return the receipt's path."""
        target = receipt_path(self._state, self._run)
        folder = os.path.dirname(target)
        with contextlib.suppress(FileExistsError):
            self._disk.make_folder(folder)
            self._disk.sync_folder(root(self._state))
        self.write(last)
        self._disk.rename(os.path.join(self._folder, _RECORD), target)
        self._disk.sync_folder(folder)
        self.drop()
        return target

    def drop(self) -> None:
        """Remove the run's folder: nothing is left in it that anybody needs."""
        remove(self._disk, [os.path.join(self._folder, name) for name in (_TEMP, _RECORD)])
        self._disk.remove_folder(self._folder)
        self.release()

    def release(self) -> None:
        """Let go of the flock; the folder stays for whoever finishes the run."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def open_runs(state: str) -> list[str]:
    """Return the ids of runs that have not ended, oldest first."""
    try:
        with os.scandir(os.path.join(root(state), _OPEN)) as found:
            return sorted(e.name for e in found if record.is_id(e.name) and e.is_dir(follow_symlinks=False))
    except OSError:
        return []


def _unfinished(state: str) -> Iterator[bytes]:
    for run in open_runs(state):
        with contextlib.suppress(OSError):
            yield read(os.path.join(root(state), _OPEN, run, _RECORD), _LIMIT)[0]


def receipts(state: str) -> Iterator[bytes]:
    """Return the bytes of every receipt, newest first."""
    folder = os.path.join(root(state), _RECEIPTS)
    try:
        found = os.listdir(folder)
    except OSError:
        return
    for name in sorted(found, reverse=True):
        if name.endswith(".json") and record.is_id(name[:-5]):
            with contextlib.suppress(OSError):
                yield read(os.path.join(folder, name), _LIMIT)[0]


def closed_before(state: str, wanted: Sequence[tuple[str, str]], *, unfinished: bool) -> dict[tuple[str, str], str]:
    """Return, for those of the wanted (agent, key) that a receipt shows as closed, the session id they had.

    The wanted are in no store, so `unfinished` runs that were about to close them have done so.
    """
    missing = {pair: json.dumps(pair[1]).encode() for pair in wanted}
    found: dict[tuple[str, str], str] = {}
    for raw in itertools.chain(_unfinished(state) if unfinished else (), receipts(state)):
        hits = [pair for pair, needle in missing.items() if needle in raw]
        if hits:
            with contextlib.suppress(Damaged):
                closed = _closed(record.decode(raw))
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
