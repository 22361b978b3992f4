"""The two locks of a file store: flock on its folder among ourselves, `sessions.json.lock` with OpenClaw."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from . import processes
from .errors import Busy
from .files import Disk, put, remove

HOLDER = "session-closer"
FOLDER_WAIT = 10.0
STORE_WAIT = 10.0
# OpenClaw itself takes a lock over after 30 s; nobody may reclaim one earlier whose pid is merely invisible.
STALE_AFTER = 30.0
_PAUSE = 0.05
_TOKEN = re.compile(r"[0-9a-f]{16}")


@contextlib.contextmanager
def folder(path: str, wait: float = FOLDER_WAIT) -> Iterator[int]:
    """Hold the flock on a folder's own descriptor (it leaves no file behind); raise Busy after `wait` seconds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + wait
        while not try_flock(descriptor):
            if time.monotonic() >= deadline:
                raise Busy(f"another session-closer works in {path}", "run the same command again")
            time.sleep(_PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


def try_flock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the flock if it is free."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def store(disk: Disk, index: str, wait: float = STORE_WAIT) -> Iterator[StoreLock]:
    """Hold an index's lock file the way OpenClaw up to 2026.4 does; the caller holds the folder's flock."""
    lock = StoreLock(disk, index)
    lock.acquire(wait)
    try:
        yield lock
    finally:
        lock.release()


class StoreLock:
    """`sessions.json.lock`, recognised as ours by a random token (inode numbers are no identity everywhere)."""

    def __init__(self, disk: Disk, index: str) -> None:
        self._disk = disk
        self._path = lock_path(index)
        self._token = secrets.token_hex(8)

    def acquire(self, wait: float) -> None:
        """Publish the lock complete, by link; raise Busy after `wait` seconds."""
        # The caller holds the folder's flock, so whoever wrote another of these was killed.
        remove(self._disk, _fresh_locks(self._path))
        fresh = f"{self._path}.{self._token}"
        put(self._disk, fresh, self._content())
        try:
            deadline = time.monotonic() + wait
            while not self._publish(fresh):
                if reclaimable(self._path):
                    self._disk.unlink(self._path)
                    continue
                if time.monotonic() >= deadline:
                    raise Busy(f"{self._path} is held by {holder(self._path)}", "run the same command again")
                time.sleep(_PAUSE)
        finally:
            self._disk.unlink(fresh)

    def _publish(self, fresh: str) -> bool:
        try:
            self._disk.link(fresh, self._path)
        except FileExistsError:
            return False
        return True

    def _content(self) -> bytes:
        pid = os.getpid()
        content: dict[str, Any] = {"pid": pid, "createdAt": iso_now(), "holder": HOLDER, "token": self._token}
        started = processes.start_ticks(pid)
        if started is not None:
            content["starttime"] = started
        return json.dumps(content).encode()

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


def _fresh_locks(lock: str) -> list[str]:
    """Return locks of ours that have not been published, by name: a kill may have left one empty."""
    folder, name = os.path.split(lock)
    found = [other for other in os.listdir(folder) if other.startswith(name + ".")]
    return [os.path.join(folder, other) for other in found if _TOKEN.fullmatch(other, len(name) + 1)]


def read(path: str) -> dict[str, Any]:
    """Return what a lock file says; nothing where it is empty, torn or gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        found = json.loads(os.read(descriptor, 65536))
    except (OSError, ValueError, RecursionError):
        return {}
    finally:
        os.close(descriptor)
    return found if isinstance(found, dict) else {}


def reclaimable(path: str) -> bool:
    """Tell whether a store lock is provably stale: left by a killed run of ours, or by a process that is no more."""
    try:
        age = time.time() - os.lstat(path).st_mtime
    except FileNotFoundError:
        return False
    content = read(path)
    if content.get("holder") == HOLDER:
        # We hold the folder's flock, and a run of ours holds it as long as it lives.
        return True
    pid = content.get("pid")
    if type(pid) is int and processes.is_same(pid, content.get("starttime")):
        return False
    return age > STALE_AFTER


def holder(path: str) -> str:
    """Return who holds a lock, for a message."""
    pid = read(path).get("pid")
    return f"process {pid}" if type(pid) is int else "an unknown process"


def run_in_flight(lock_path: str) -> bool:
    """Tell whether a transcript's `.lock` is held by a live process."""
    content = read(lock_path)
    pid = content.get("pid")
    return type(pid) is int and processes.is_same(pid, content.get("starttime"))


def iso_now() -> str:
    """Return the time as JavaScript writes it: 2026-11-21T00:41:24.769Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
