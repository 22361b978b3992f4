"""A runtime's own SQLite database: opened to read only while others write to it, asked again after short errors."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

from ..core.errors import Busy, CloserError, Refused
from ..core.tuples import NamedTuple
from ..system import trust
from ..system.clock import Clock

Answer = TypeVar("Answer")

_BUSY_SECONDS = 3.0
# Beside a writer a reader may get short errors of the disk, too.
_PAUSES = (0.1, 0.3, 1.0)
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_PASSING = _LOCKED | {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL}
_ROOMLESS = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL})
_PRIMARY = 0xFF
# What SQLite takes beside a database that it reads.
_LEAST_ROOM = 64 << 10


class Steps(NamedTuple):
    """What to do next where a database is not there, where it cannot be read, and where the disk is full."""

    absent: str
    damaged: str
    room: str = "free 64 KB, and run the same command again"


class File(NamedTuple):
    """A database by its path, and what is said where it cannot be read."""

    path: str
    steps: Steps
    clock: Clock

    def check(self, find: Callable[[], os.stat_result]) -> None:
        """Refuse one that cannot be found, is empty, or is somebody else's; `find` returns its stat, or OSError."""
        try:
            found = find()
        except OSError as problem:
            what = f"{self.path} cannot be read: {problem.strerror}"
            raise Refused(what, self.steps.absent, name="no_database") from None
        if not trust.is_trusted(found.st_uid):
            what = f"{self.path} belongs to uid {found.st_uid}"
            raise Refused(what, "run this as that user", name="foreign_database")
        if not found.st_size:
            raise Refused(f"{self.path} is empty", self.steps.damaged, name="empty_database")

    def connected(self) -> sqlite3.Connection:
        """Return a connection that reads only; sqlite3.Error."""
        # What was committed may be in the -wal alone, which `immutable` does not see.
        address = f"file:{quote(self.path)}?mode=ro"
        return sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)

    def asked(self, work: Callable[[], Answer]) -> Answer:
        """Return what work finds, tried again after what passes; CloserError where it cannot be read."""
        for pause in _PAUSES:
            try:
                return work()
            except sqlite3.Error as problem:
                if _code(problem) not in _PASSING:
                    raise self.said(problem) from None
                self.clock.sleep(pause)
        try:
            return work()
        except sqlite3.Error as problem:
            raise self.said(problem) from None

    def said(self, problem: sqlite3.Error) -> CloserError:
        """Return what is said of an error of SQLite."""
        if _code(problem) in _LOCKED:
            return Busy(f"{self.path} is locked: {problem}", "run the same command again", name="locked_database")
        if _code(problem) in _ROOMLESS and _is_full(self.path):
            # SQLite reads nothing before it has made the small file in which readers and writers agree.
            return Refused(f"{self.path} cannot be read: the disk is full", self.steps.room, name="no_room")
        return Refused(f"{self.path} cannot be read: {problem}", self.steps.damaged, name="damaged_database")


def _code(problem: sqlite3.Error) -> int:
    return getattr(problem, "sqlite_errorcode", 0) & _PRIMARY


def _is_full(path: str) -> bool:
    try:
        found = os.statvfs(os.path.dirname(path))
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _LEAST_ROOM
