"""Size, time and, where it costs little, hash of the files that a run renames: they make tampering visible."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import stat
import threading
from collections.abc import Callable
from typing import Self, TypeVar

from ..core.budget import FILE_BYTES, HashBudget
from ..core.durable import Move, held
from ..system.files import is_no_file, read
from ..system.pieces import opened

PIECE = 1 << 20
ROOM = 4 << 20
# What is compared stays in the cache of the processor from the read to the comparison.
_COMPARED = 128 << 10
Made = TypeVar("Made")

Stamp = tuple[int, ...]
# Where in a stamp the bytes of the file are.
SIZE = 2


class Folder:
    """A folder whose files are measured; it is open for so long, as a whole path to each costs more than the look."""

    def __init__(self, path: str, budget: HashBudget) -> None:
        self.path, self._budget = path, budget
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        # Where it cannot be opened each look says what there is to say.
        with contextlib.suppress(OSError):
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def live(self, move: Move) -> Move:
        """Return the move with what its file is now, before it is renamed; as it was where there is no file."""
        return self._measured(move.source, move)

    def archived(self, move: Move) -> Move:
        """Return the move with what its archive is now: a run that was cut off may have written on."""
        return self._measured(move.target, move)

    def _measured(self, name: str, move: Move) -> Move:
        # Size and time of a folder say nothing about what is in it.
        if move.folder:
            return move
        try:
            # What lies beside an index has its whole path for a name.
            if self._descriptor is not None:
                found = os.lstat(name, dir_fd=self._descriptor)
            else:
                found = os.lstat(_path(self.path, name))
        except FileNotFoundError:
            return move
        size, mtime_ns = found.st_size, held(found.st_mtime_ns)
        if move.size == size and move.mtime_ns == mtime_ns:
            return move
        digest = None
        if self._budget.files and self._budget.takes(size):
            # Without it the archive is known by its size and time, as a large one is.
            with contextlib.suppress(OSError):
                digest = sha256(_path(self.path, name))
        return Move(move.source, move.target, size, mtime_ns, digest, move.root)


def _path(folder: str, name: str) -> str:
    # What lies beside an index has its whole path for a name, and this is asked of each of ten thousands of files.
    return name if name.startswith("/") else f"{folder}/{name}"


def beside(work: Callable[[], Made]) -> Callable[[], Made]:
    """Begin something in a thread of its own, and return the call that waits for what it returns, or raises.

    It is done when it is asked for where the system lets us have no thread.
    """
    ended: list[Callable[[], Made]] = []
    thread = threading.Thread(target=lambda: ended.append(_end(work)), daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return work

    def wait() -> Made:
        thread.join()
        return ended[0]()

    return wait


def _end(work: Callable[[], Made]) -> Callable[[], Made]:
    """Do something; return what returns its result, or raises its error, again."""
    try:
        made = work()
    except Exception as problem:
        raised = problem

        def again() -> Made:
            raise raised

        return again
    return lambda: made


def done(work: Callable[[], Made]) -> Callable[[], Made]:
    """Do something at once; return the call that gives what it has returned."""
    made = work()
    return lambda: made


class Hash:
    """The SHA-256 of a store; of a large one it is made beside whatever else goes on."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        # A small one is hashed before a thread has begun.
        self._made = (beside if len(raw) > PIECE else done)(lambda: hashlib.sha256(raw).hexdigest())

    def hexdigest(self) -> str:
        """Return the hash when it is made."""
        return self._made()


def holds(path: str, raw: bytes) -> bool:
    """Tell whether a regular file holds exactly these bytes; OSError where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as problem:
        if is_no_file(problem):
            return False
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        at = 0
        # Piece by piece: room for a second store costs more time than the comparison.
        while piece := os.read(descriptor, _COMPARED):
            if not raw.startswith(piece, at):
                return False
            at += len(piece)
        return at == len(raw)
    except OSError as problem:
        problem.filename = problem.filename or path
        raise
    finally:
        os.close(descriptor)


def stamp(path: str) -> Stamp | None:
    """Return what tells that a file is still the one that was read: where it is, its size and times; None: no file.

    One that cannot be looked at has a stamp of its own: that is no reason to think that there is none.
    """
    try:
        found = os.stat(path)
    except OSError as problem:
        return None if is_no_file(problem) else ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def sum_of(path: str, size: int) -> str:
    """Return the hash of a large regular file of so many bytes; OSError where it cannot be read, or is none."""
    made = hashlib.sha256()
    # Each piece may have to wait for another thread, and what a thread has freed stays with the process.
    with opened(path) as file, mmap.mmap(-1, ROOM) as room, memoryview(room) as view:
        # One that has grown may have holes of any size, or be written to without end.
        while os.fstat(file.fileno()).st_size == size:
            got = file.readinto(view)
            if not got:
                return made.hexdigest()
            made.update(view[:got])
    raise OSError(errno.EINVAL, "is of another size", path)


def sha256(path: str) -> str:
    """Return the hash of a small regular file; OSError where it cannot be read."""
    return hashlib.sha256(read(path, FILE_BYTES)[0]).hexdigest()


def change(folder: str, move: Move) -> str | None:
    """Return what is wrong with an archive: gone, unreadable or not what was archived; None where it is the same."""
    path = _path(folder, move.target)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return "is gone"
    if move.size == move.mtime_ns == 0:
        return None
    if found.st_size != move.size:
        return f"has {found.st_size} bytes, {move.size} were archived"
    if move.sha256 is not None:
        try:
            return None if sha256(path) == move.sha256 else "does not hold what was archived"
        except OSError as problem:
            return f"cannot be read: {problem.strerror}"
    return None if held(found.st_mtime_ns) == move.mtime_ns else "was written to since it was archived"
