"""Remove a folder with all that is in it, by open folders only: no link is followed, nor what is mounted there."""

from __future__ import annotations

import errno
import os
import stat

from ..system.disk import Disk
from .engine import IMMOVABLE
from .scan import DEEPEST

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Why something stays, and the rest is removed all the same.
_STAYS = IMMOVABLE | {errno.EACCES, errno.EXDEV}


def removed(disk: Disk, folder: int, name: str, path: str, depth: int = 0) -> OSError | None:
    """Remove a folder within an open one, as far as may be; return the first error that something in it stays for.

    `path` is its whole one. OSError where the disk fails, or somebody writes to the folder meanwhile.
    """
    if depth > DEEPEST:
        return OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), path)
    stays: OSError | None = None
    try:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            device = os.fstat(descriptor).st_dev
            for inner in sorted(os.listdir(descriptor)):
                problem = _gone(disk, descriptor, inner, f"{path}/{inner}", device=device, depth=depth)
                stays = stays or problem
        finally:
            os.close(descriptor)
        if stays is None:
            disk.remove_folder_in(folder, name)
    except FileNotFoundError:
        return stays
    except OSError as problem:
        return stays or _staying(problem, path)
    return stays


def _gone(disk: Disk, folder: int, name: str, path: str, *, device: int, depth: int) -> OSError | None:
    """Remove what has a name in an open folder of a file system; return the error that it stays for."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if found.st_dev != device:
            return OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
        if stat.S_ISDIR(found.st_mode):
            return removed(disk, folder, name, path, depth + 1)
        disk.unlink_in(folder, name)
    except FileNotFoundError:
        return None
    except OSError as problem:
        return _staying(problem, path)
    return None


def _staying(problem: OSError, path: str) -> OSError:
    """Return an error that something stays for, of its whole path; any other is raised."""
    # One that was raised further down has its own.
    if problem.filename is None or not str(problem.filename).startswith("/"):
        problem.filename = path
    if problem.errno not in _STAYS:
        raise problem
    return problem
