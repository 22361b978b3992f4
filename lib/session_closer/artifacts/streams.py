"""Files as an export reads them: whole, piece by piece, and told by their look; nothing writes."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator

from ..core.errors import Refused
from ..core.export.parts import Stream
from ..system.files import open_within
from ..system.pieces import chunks, rest


def of_file(name: str, path: str) -> Stream:
    """Return a file as the one of this name in a bundle; Refused where it cannot be read, now or later."""
    try:
        found = os.lstat(path)
    except OSError as problem:
        raise unreadable(path, problem) from None
    return _stream(name, path, found, lambda: chunks(path))


def within(name: str, root: str, path: str) -> Stream:
    """Return the same of a file below a folder, on the way to which no link is followed, now or later; Refused."""
    whole = f"{root}/{path}"
    try:
        descriptor = open_within(root, path)
        try:
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise unreadable(whole, problem) from None
    return _stream(name, whole, found, lambda: _pieces(root, path))


def unreadable(path: str, problem: OSError) -> Refused:
    """Return why a session whose file cannot be read is not exported."""
    return Refused(f"{path} cannot be read: {problem.strerror or problem}", "check the file", name="unreadable")


def _stream(name: str, path: str, found: os.stat_result, read: Callable[[], Iterator[bytes]]) -> Stream:
    def again() -> Iterator[bytes]:
        try:
            yield from read()
        except OSError as problem:
            raise unreadable(path, problem) from None

    return Stream(name, path, found.st_size, again, stamp=f"{found.st_ino} {found.st_mtime_ns}")


def _pieces(root: str, path: str) -> Iterator[bytes]:
    descriptor = open_within(root, path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        yield from rest(descriptor)
    finally:
        os.close(descriptor)
