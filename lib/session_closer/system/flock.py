"""Keep two closers out of one folder: flock on the folder itself, which leaves no file behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shlex
from collections.abc import Iterator

from ..core.errors import Busy, Refused
from .clock import REAL, Clock

FOLDER_WAIT = 10.0
_PAUSE = 0.05
# The errors of flock where the file system has no locks.
_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)


@contextlib.contextmanager
def folder(path: str, wait: float = FOLDER_WAIT, clock: Clock = REAL) -> Iterator[int]:
    """Hold the flock on a folder's own descriptor (it leaves no file behind); raise Busy after `wait` seconds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not clock.until(lambda: try_flock(descriptor, path), wait, _PAUSE):
            raise _held(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def _held(descriptor: int, path: str) -> Busy:
    """Return what to say of a folder that was waited for: whoever may read it may hold it, too."""
    from . import processes  # psutil, only where somebody has the folder

    for pid in processes.flock_holders(descriptor):
        if stranger := processes.stranger(pid):
            shut = f"so that nobody else can: chmod go-rx {shlex.quote(path)}"
            return Busy(f"{path} is held by process {pid}: {stranger}", f"{shut}; then run the same command again")
    return Busy(f"another session-closer works in {path}", "run the same command again")


def is_free(path: str, wait: float, clock: Clock) -> bool:
    """Tell whether nobody holds the flock on a file, or who does lets go within `wait` seconds; without one: True."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return clock.until(lambda: try_flock(descriptor, path), wait, _PAUSE)
    finally:
        os.close(descriptor)


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
