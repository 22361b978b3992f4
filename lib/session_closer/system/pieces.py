"""Files that may be larger than memory: read piece by piece, or line by line, without following a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from io import BufferedReader, FileIO

PIECE = 1 << 20
_FEW = 64 << 10
# Of small pieces that lie one behind the other so much is read at once.
_AHEAD = 64 << 10


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


def opened(path: str) -> BufferedReader:
    """Return a regular file, opened to be read in any lengths, or by its lines."""
    return BufferedReader(FileIO(_opened(path)), PIECE)


def piece(path: str, offset: int, length: int) -> bytes:
    """Return so many bytes of a regular file; fewer where it is shorter."""
    with Pieces() as held:
        return held.of(path, offset, length)


class Pieces:
    """Pieces of regular files; the file that the last one was of stays open until the `with` has ended."""

    _path, _descriptor, _size = "", -1, 0

    def __init__(self) -> None:
        # Fresh memory for each piece would cost more than the piece.
        self._room = memoryview(b"")
        self._at, self._filled = 0, 0

    def __enter__(self) -> Pieces:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._path, self._descriptor = "", -1
        self._at, self._filled = 0, 0

    def of(self, path: str, offset: int, length: int) -> bytes:
        """Return so many bytes of a file; fewer where it is shorter."""
        length = self._there(path, offset, length)
        return os.pread(self._descriptor, length, offset)

    def shown(self, path: str, offset: int, length: int) -> memoryview:
        """Return the same without a copy, until the next piece is shown."""
        length = self._there(path, offset, length)
        if not self._at <= offset <= self._at + self._filled - length:
            if len(self._room) < max(length, _AHEAD):
                self._room = memoryview(bytearray(max(length, _AHEAD)))
            # Not every system has preadv.
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            self._at, self._filled = offset, os.readv(self._descriptor, [self._room])
        begin = offset - self._at
        return self._room[begin : min(begin + length, self._filled)]

    def _there(self, path: str, offset: int, length: int) -> int:
        """Open a file unless it is, and return how many of these bytes it has: what was tampered with asks for any."""
        if path != self._path:
            self._open(path)
        return max(0, min(length, self._size - offset))

    def _open(self, path: str) -> None:
        self.__exit__()
        self._descriptor = _opened(path)
        self._path, self._size = path, os.fstat(self._descriptor).st_size


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", path)
    return descriptor
