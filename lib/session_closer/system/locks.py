"""The two locks of a file store: flock on its folder among ourselves, `sessions.json.lock` with OpenClaw."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..core import durations
from ..core.errors import Busy, Refused
from . import processes, trust
from .files import Disk, is_no_file, put, remove

HOLDER = "session-closer"
FOLDER_WAIT = 10.0
STORE_WAIT = 10.0
# OpenClaw itself takes a lock over after 30 s; nobody may reclaim one earlier whose pid is merely invisible.
STALE_AFTER = 30.0
# Where nobody can tell whose it is, OpenClaw takes a transcript's lock for a stale one then.
OLD_AFTER = 1800.0
_PAUSE = 0.05
_WRITTEN_AFTER = 1.0
# What flock says where there is none.
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)
_TOKEN = re.compile(r"[0-9a-f]{16}")


@contextlib.contextmanager
def folder(path: str, wait: float = FOLDER_WAIT) -> Iterator[int]:
    """Hold the flock on a folder's own descriptor (it leaves no file behind); raise Busy after `wait` seconds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + wait
        while not try_flock(descriptor, path):
            if time.monotonic() >= deadline:
                raise _held(descriptor, path)
            time.sleep(_PAUSE)
        yield descriptor
    finally:
        os.close(descriptor)


def _held(descriptor: int, path: str) -> Busy:
    """Return what to say of a folder that was waited for: whoever may read it may hold it, too."""
    for pid in processes.flock_holders(descriptor):
        if stranger := processes.stranger(pid):
            shut = f"so that nobody else can: chmod go-rx {shlex.quote(path)}"
            return Busy(f"{path} is held by process {pid}: {stranger}", f"{shut}; then run the same command again")
    return Busy(f"another session-closer works in {path}", "run the same command again")


def try_flock(descriptor: int, path: str, *, shared: bool = False) -> bool:
    """Take the flock on an open folder if it is free; raise Refused where its file system has none."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as problem:
        if problem.errno not in _NO_FLOCK:
            raise
        raise Refused(
            f"{path} cannot be locked, so two closers could not be kept apart: {problem.strerror}",
            "mount its file system with locks (flock), or keep the state directory on one that has them",
            name="no_locks",
        ) from None
    return True


def unlockable(path: str) -> Refused | None:
    """Return why no change could be made in a folder: its file system has no flock. Nothing is waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try_flock(descriptor, path, shared=True)
    except Refused as problem:
        return problem
    finally:
        os.close(descriptor)
    return None


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
        self._half_made = False

    def acquire(self, wait: float) -> None:
        """Publish the lock, complete where the file system can; raise Busy after `wait` seconds."""
        # The caller holds the folder's flock, so whoever wrote another of these was killed.
        left = _fresh_locks(self._path)
        fresh = f"{self._path}.{self._token}"
        try:
            put(self._disk, fresh, self._content())
            deadline = time.monotonic() + wait
            while not self._publish(fresh):
                if reclaimable(self._path) or (left and _stays_empty(self._path)):
                    self._disk.unlink(self._path)
                    continue
                if time.monotonic() >= deadline:
                    raise _busy(self._path)
                time.sleep(_PAUSE)
        finally:
            if not (self._half_made and _is_empty(self._path)):
                remove(self._disk, [fresh, *left])

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


def _is_empty(path: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.lstat(path).st_size == 0
    return False


def _stays_empty(path: str) -> bool:
    """Tell whether a lock was made and never written: OpenClaw writes its own as soon as it has made it."""
    if not _is_empty(path):
        return False
    time.sleep(_WRITTEN_AFTER)
    return _is_empty(path)


def read(path: str) -> dict[str, Any]:
    """Return what a lock file says; nothing where it is empty, torn, no file or gone. OSError: it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _content(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        if is_no_file(problem):
            return {}
        problem.filename = problem.filename or path
        raise


def _content(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.read(descriptor, 65536))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Lock(NamedTuple):
    """A lock file that is there: what it says, its age in seconds, and whether the process that it names holds it.

    `held` is None where that cannot be told: no process is named, or one that lives and whose start the lock does not
    hold. `age` is below 0 for a date ahead of the clock.
    """

    content: dict[str, Any]
    age: float
    held: bool | None

    @property
    def pid(self) -> int | None:
        """The process that it names."""
        pid = self.content.get("pid")
        return pid if type(pid) is int else None

    @property
    def is_stale(self) -> bool:
        """Whether it protects nothing any more, as OpenClaw sees it."""
        return self.age > OLD_AFTER if self.held is None else not self.held


def look(path: str, start: str = "starttime") -> Lock | None:
    """Return a lock file as it is now, None where there is none; `start` is its word for its process's start."""
    try:
        date = os.lstat(path).st_mtime
    except FileNotFoundError:
        return None
    return _judged(read(path), date, start)


def _judged(content: dict[str, Any], written: float, start: str) -> Lock:
    date = _moment(content.get("createdAt"), written)
    pid = content.get("pid")
    held = processes.holds(pid, content.get(start), date) if type(pid) is int else None
    return Lock(content, time.time() - date, held)


def of_gateways(folder: str) -> Iterator[tuple[str, Lock | None, str]]:
    """Return path, lock and "" for each lock file of a gateway in a folder, or why it, or the folder, says nothing.

    What is looked at is what has been opened, so that nobody puts another in its place meanwhile.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as problem:
        if os.path.lexists(folder):
            yield folder, None, f"it cannot be opened as a folder: {problem.strerror}"
        return
    try:
        if why := trust.objection(os.fstat(place)):
            yield folder, None, why
            return
        for name in sorted(os.listdir(place)):
            if name.startswith("gateway.") and name.endswith(".lock"):
                yield os.path.join(folder, name), *_trusted(name, place)
    finally:
        os.close(place)


def _trusted(name: str, place: int) -> tuple[Lock | None, str]:
    """Return what a lock file in an open folder says, or why it does not count."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except OSError as problem:
        return None, "" if isinstance(problem, FileNotFoundError) else f"it cannot be opened: {problem.strerror}"
    try:
        status = os.fstat(descriptor)
        why = trust.objection(status)
        return (None, why) if why else (_judged(_content(descriptor), status.st_mtime, "startTime"), "")
    except OSError as problem:
        return None, f"it cannot be read: {problem.strerror}"
    finally:
        os.close(descriptor)


def _moment(text: object, other: float) -> float:
    """Return a date as OpenClaw writes it in seconds since 1970, the other one where it is none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if found is None:
        return other
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)).total_seconds()


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


def run_in_flight(path: str) -> bool:
    """Tell whether a transcript's `.lock` is held: not by a process that is gone or another one, nor for too long."""
    lock = look(path)
    return lock is not None and not lock.is_stale


def iso_now() -> str:
    """Return the time as JavaScript writes it: 2026-11-21T00:41:24.769Z."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
