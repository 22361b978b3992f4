"""A database that others write, read as it is on disk, in memory: beside it nothing is made, and no writer waits."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from .files import open_within

_MOST_BYTES = 1 << 28
# Its writer may have left anything in it, a query without an end included.
_MOST_STEPS = 50_000_000


@contextmanager
def opened(root: str, path: str) -> Iterator[sqlite3.Connection | None]:
    """Open a copy, in memory, of a database that nobody is writing; None where there is none; OSError, sqlite3.Error.

    SQLite itself would make files beside one that is not closed in order, and finish what its writer has begun.
    """
    raw = _bytes(root, path)
    if raw is None:
        yield None
        return
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(raw)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
        connection.set_progress_handler(lambda: 1, _MOST_STEPS)
        yield connection


def _bytes(root: str, path: str) -> bytes | None:
    try:
        descriptor = open_within(root, path)
    except FileNotFoundError:
        return None
    try:
        before = _still(root, path, descriptor)
        if not 0 < before[0] <= _MOST_BYTES:
            raise OSError(f"it has {before[0]} bytes")
        raw = os.pread(descriptor, before[0], 0)
        if _still(root, path, descriptor) != before or len(raw) != before[0]:
            raise OSError("it is being written to")
        return raw
    finally:
        os.close(descriptor)


def _still(root: str, path: str, descriptor: int) -> tuple[int, int, bytes]:
    """Return what tells that nothing was written meanwhile; OSError where a writer has begun, and not ended."""
    for side in ("-journal", "-wal"):
        try:
            os.close(open_within(root, path + side))
        except FileNotFoundError:
            continue
        raise OSError(f"it has a {side[1:]}")
    found = os.fstat(descriptor)
    return found.st_size, found.st_mtime_ns, os.pread(descriptor, 100, 0)


def stamp(path: str) -> object:
    """Return what tells that a database, and what its writer has begun, are as they were."""
    return [_stamp(each) for each in (path, f"{path}-journal", f"{path}-wal")]


def _stamp(path: str) -> object:
    try:
        found = os.lstat(path)
    except OSError as problem:
        return problem.errno
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
