"""The record of the run that is under way, on disk; everything through Disk."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import datetime

from . import locks, record
from .files import Disk, put, read, remove
from .history import LIMIT, OPEN, RECORD, receipt_path, root
from .record import Damaged, RunRecord

_TEMP = "record.json.tmp"


def new_id(moment: datetime) -> str:
    """Return an id that sorts by time: 20261121T004124.769Z-1a2b3c4d."""
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{secrets.token_hex(4)}"


class Journal:
    """The record of a run that is under way; its folder's flock tells others that the run is alive."""

    def __init__(self, disk: Disk, state: str, run: str) -> None:
        self._disk = disk
        self._state = state
        self._run = run
        self._folder = os.path.join(root(state), OPEN, run)
        self.descriptor = -1

    def begin(self, first: RunRecord) -> None:
        """Create the folder, take its flock and write the record, durable before anything else changes."""
        for folder in (root(self._state), os.path.join(root(self._state), OPEN), self._folder):
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
        self._disk.rename(temp, os.path.join(self._folder, RECORD))
        self._disk.sync_folder(self._folder)

    def read(self) -> RunRecord | None:
        """Return the record, None where the run died before it wrote one; raise Damaged."""
        try:
            raw, _ = read(os.path.join(self._folder, RECORD), LIMIT)
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
        self._disk.rename(os.path.join(self._folder, RECORD), target)
        self._disk.sync_folder(folder)
        self.drop()
        return target

    def drop(self) -> None:
        """Remove the run's folder: nothing is left in it that anybody needs."""
        remove(self._disk, [os.path.join(self._folder, name) for name in (_TEMP, RECORD)])
        self._disk.remove_folder(self._folder)
        self.release()

    def release(self) -> None:
        """Let go of the flock; the folder stays for whoever finishes the run."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
