"""Files that may be larger than memory: read piece by piece, or line by line, without following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

PIECE = 1 << 20
_FEW = 64 << 10


def chunks(path: str) -> Iterator[bytes]:
    """Give the bytes of a regular file, a MiB at a time, up to where it ends by then."""
    descriptor = _opened(path)
    try:
        yield from rest(descriptor)
    finally:
        os.close(descriptor)


def rest(descriptor: int) -> Iterator[bytes]:
    """Give what is left to be read of an open file, a MiB at a time."""
    while piece := os.read(descriptor, PIECE):
        yield piece


def head(folder: int, name: str, length: int) -> bytes:
    """Return the first bytes of a file in an open folder; OSError, also where it is a link."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        # pread takes as much memory as it is asked for, and fails for what is no file.
        return os.pread(descriptor, length if length <= _FEW else min(length, os.fstat(descriptor).st_size), 0)
    finally:
        os.close(descriptor)


def opened(path: str) -> BinaryIO:
    """Return a regular file, opened to be read in any lengths, or by its lines."""
    return os.fdopen(_opened(path), "rb", buffering=PIECE)


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return descriptor
