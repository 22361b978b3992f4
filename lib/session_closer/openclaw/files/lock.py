"""Hold `sessions.json.lock`, with which OpenClaw up to 2026.4 keeps others out of its index."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from typing import Any

from ...core import durations, late
from ...core.errors import Busy
from ...system import processes
from ...system.clock import REAL, Clock
from ...system.disk import Disk
from ...system.files import put, remove
from ..lockfile import OLD_AFTER, look, read

HOLDER = "session-closer"
STORE_WAIT = 10.0
# OpenClaw itself takes a lock over after 30 s; nobody may reclaim one earlier whose pid is merely invisible.
STALE_AFTER = 30.0
_PAUSE = 0.05
_WRITTEN_AFTER = 1.0
_TOKEN = late.pattern(r"[0-9a-f]{16}")


@contextlib.contextmanager
def store_lock(
    disk: Disk, index: str, wait: float = STORE_WAIT, clock: Clock = REAL, *, there: Iterable[str] | None = None
) -> Iterator[StoreLock]:
    """Hold an index's lock file the way OpenClaw up to 2026.4 does; the caller holds the folder's flock.

    `there`: the locks beside the index, if they were listed since the caller has held that.
    """
    lock = StoreLock(disk, index, clock)
    lock.acquire(wait, there)
    try:
        yield lock
    finally:
        lock.release()


class StoreLock:
    """`sessions.json.lock`, recognised as ours by a random token (inode numbers are no identity everywhere)."""

    def __init__(self, disk: Disk, index: str, clock: Clock = REAL) -> None:
        self._disk = disk
        self._clock = clock
        self._path = lock_path(index)
        self._token = os.urandom(8).hex()
        self._half_made = False

    def acquire(self, wait: float, there: Iterable[str] | None = None) -> None:
        """Publish the lock, complete where the file system can; raise Busy after `wait` seconds."""
        # The caller holds the folder's flock, so whoever wrote another of these was killed.
        left = _fresh_locks(self._path, there)
        fresh = f"{self._path}.{self._token}"
        try:
            put(self._disk, fresh, self._content())
            if not self._clock.until(lambda: self._take(fresh, killed=bool(left)), wait, _PAUSE):
                raise _busy(self._path)
        finally:
            if not (self._half_made and _is_empty(self._path)):
                remove(self._disk, [fresh, *left])

    def _take(self, fresh: str, *, killed: bool) -> bool:
        """Publish the lock in the place of one that is left over; `killed`: a run that was killed may have left it."""
        while not self._publish(fresh):
            if not (reclaimable(self._path) or (killed and self._stays_empty())):
                return False
            self._disk.unlink(self._path)
        return True

    def _publish(self, fresh: str) -> bool:
        try:
            if self._disk.take_name(fresh, self._path):
                return True
            # The lock is empty for an instant: `fresh`, durable beside it, tells that it is ours.
            self._disk.sync_folder(os.path.dirname(fresh))
            self._half_made = True
            descriptor = self._disk.create(self._path)
        except FileExistsError:
            self._half_made = False
            return False
        try:
            self._disk.close(descriptor)
            self._disk.rename(fresh, self._path)
        except BaseException:
            remove(self._disk, [self._path])
            raise
        return True

    def _content(self) -> bytes:
        pid = os.getpid()
        content: dict[str, Any] = {
            "pid": pid,
            "createdAt": self._clock.iso_now(),
            "holder": HOLDER,
            "token": self._token,
        }
        started = processes.start_ticks(pid)
        if started is not None:
            content["starttime"] = started
        return json.dumps(content).encode()

    def _stays_empty(self) -> bool:
        """Tell whether a lock was made and never written: OpenClaw writes its own as soon as it has made it."""
        if not _is_empty(self._path):
            return False
        self._clock.sleep(_WRITTEN_AFTER)
        return _is_empty(self._path)

    def still_ours(self) -> bool:
        """Tell whether nobody has taken the lock over."""
        return read(self._path).get("token") == self._token

    def release(self) -> None:
        """Remove the lock if it is still ours, durable: after a power cut nobody would look for it again."""
        if self.still_ours():
            with contextlib.suppress(FileNotFoundError):
                self._disk.unlink(self._path)
            self._disk.sync_folder(os.path.dirname(self._path))


def lock_path(index: str) -> str:
    """Return where OpenClaw looks for the lock of an index: beside it, in its real folder."""
    return os.path.join(os.path.realpath(os.path.dirname(index)), os.path.basename(index) + ".lock")


def _fresh_locks(lock: str, there: Iterable[str] | None) -> list[str]:
    """Return locks of ours that have not been published, by name: a kill may have left one empty."""
    folder, name = os.path.split(lock)
    found = [other for other in (os.listdir(folder) if there is None else there) if other.startswith(name + ".")]
    return [os.path.join(folder, other) for other in found if _TOKEN.fullmatch(other, len(name) + 1)]


def _is_empty(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_size == 0
    return False


def reclaimable(path: str) -> bool:
    """Tell whether a store lock is provably stale: left by a killed run of ours, or by a process that is no more."""
    lock = look(path)
    if lock is None:
        return False
    # We hold the folder's flock, and a run of ours holds it as long as it lives.
    return lock.content.get("holder") == HOLDER or (lock.is_stale and abs(lock.age) > STALE_AFTER)


def _busy(path: str) -> Busy:
    """Return what to say of a store lock that was waited for: its age, its process, and the way out."""
    lock = look(path)
    again = "run the same command again"
    if lock is None:
        return Busy(f"{path} is taken again and again", again)
    age = f"dated {durations.shown(-lock.age)} ahead" if lock.age <= -1 else f"{durations.shown(lock.age)} old"
    remove = f"rm {shlex.quote(path)}"
    if lock.pid is None:
        late = durations.shown(OLD_AFTER)
        return Busy(
            f"{path}, {age}, names no process",
            f"{again} when it is {late} old; at once, if no OpenClaw runs: {remove}",
        )
    if lock.held is False:
        return Busy(f"{path}, {age}, is of process {lock.pid}, which is not here", f"{again} in {STALE_AFTER:.0f}s")
    who = " ".join(filter(None, (f"process {lock.pid}", processes.called(lock.pid))))
    return Busy(
        f"{path}, {age}, is held by {who}",
        f"{again} when it is done; if process {lock.pid} is no OpenClaw: {remove}",
    )
