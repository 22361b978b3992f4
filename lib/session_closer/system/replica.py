"""Copies of files and folders that share nothing with them, in a private folder that no run leaves behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping

from ..core.tuples import NamedTuple
from .disk import Disk
from .files import PIECE, is_no_file, put, write_all
from .flock import folder as held
from .flock import try_flock

_PREFIX = "copy-"


class Shape(NamedTuple):
    """What tells two files apart: its kind and mode, of a file its bytes, too, by their hash, and its time in ns."""

    mode: int
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""


@contextlib.contextmanager
def folder(disk: Disk) -> Iterator[str]:
    """Give the path of a private, empty folder for temporary files, removed at the end with all that is in it.

    What runs that were killed have left of theirs is removed first.
    """
    home = place()
    made, descriptor = _made(disk, home)
    try:
        yield made
    finally:
        _remove(made)
        os.close(descriptor)
        with contextlib.suppress(OSError):
            disk.remove_folder(home)


def place() -> str:
    """Return the folder in which copies are made."""
    return os.path.join(os.path.realpath(tempfile.gettempdir()), f"session-closer-{os.getuid()}")


def _made(disk: Disk, home: str) -> tuple[str, int]:
    """Return a new folder in one that is ours alone, and a descriptor that holds it."""
    with contextlib.suppress(FileExistsError):
        disk.make_folder(home)
    found = os.lstat(home)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise OSError(errno.EPERM, "is no private folder of ours", home)
    # Whoever looks for what is left holds this one, so nobody's fresh copy is taken for one.
    with held(home):
        _sweep(home)
        made = tempfile.mkdtemp(prefix=_PREFIX, dir=home)
        descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try_flock(descriptor, made)
    return made, descriptor


def _sweep(home: str) -> None:
    for name in os.listdir(home):
        path = os.path.join(home, name)
        if not name.startswith(_PREFIX):
            continue
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if try_flock(descriptor, path):
                _remove(path)
        finally:
            os.close(descriptor)


def _remove(path: str) -> None:
    # A folder that nobody may write to is copied as such, and is to go all the same.
    for place, folders, _ in os.walk(path):
        for name in folders:
            if not os.path.islink(inner := os.path.join(place, name)):
                Disk().set_mode_of(inner, 0o700)
    shutil.rmtree(path)


def room(path: str) -> int:
    """Return how many bytes may still be written below a folder."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def weight(path: str) -> int:
    """Return the bytes of a file, or of all files in a folder; no link is followed."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size
    return sum(os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(path) for name in names)


def copy(disk: Disk, source: str, target: str) -> None:
    """Copy a file, or a folder with all that is in it, with modes and times; a link is copied as one.

    Where the file system can, both share blocks until one is written to; never an inode.
    """
    folders = []
    todo = [(source, target)]
    while todo:
        here, there = todo.pop()
        found = os.lstat(here)
        if stat.S_ISDIR(found.st_mode):
            disk.make_folder(there)
            folders.append((there, found))
            todo += [(os.path.join(here, name), os.path.join(there, name)) for name in os.listdir(here)]
        elif stat.S_ISLNK(found.st_mode):
            disk.make_link(os.readlink(here), there)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(disk, here, there)
        elif stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            disk.make_special(there, found.st_mode)
            disk.set_mode_of(there, stat.S_IMODE(found.st_mode))
        else:
            raise OSError(errno.ENOTSUP, "is a device", here)
    # What is in it changes a folder's time, and needs its rights.
    for there, found in reversed(folders):
        disk.set_mode_of(there, stat.S_IMODE(found.st_mode))
        disk.set_times(there, found.st_atime_ns, found.st_mtime_ns)


def _copy_file(disk: Disk, source: str, target: str) -> None:
    opened = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(opened)
        made = disk.create(target)
        try:
            if not disk.clone(opened, made):
                while piece := os.read(opened, PIECE):
                    write_all(disk, made, memoryview(piece), target)
            disk.set_mode(made, stat.S_IMODE(found.st_mode))
        finally:
            disk.close(made)
    finally:
        os.close(opened)
    disk.set_times(target, found.st_atime_ns, found.st_mtime_ns)


def write(disk: Disk, target: str, data: bytes, like: str) -> None:
    """Write a file of ours with the mode of another."""
    put(disk, target, data)
    disk.set_mode_of(target, stat.S_IMODE(os.stat(like).st_mode))


def make_folders(disk: Disk, path: str, root: str) -> None:
    """Make a private folder, and those above it below a root that is there."""
    missing = []
    while path != root and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        disk.make_folder(each)


def picture(root: str) -> Mapping[str, Shape]:
    """Return what all that lies below a folder is like, by its path from there; no link is followed."""
    found: dict[str, Shape] = {}
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            path = os.path.join(place, name)
            found[os.path.relpath(path, root)] = _shape(path)
    return found


def _shape(path: str) -> Shape:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return Shape(status.st_mode, sha256=os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return Shape(status.st_mode)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Shape(status.st_mode, status.st_size, status.st_mtime_ns, digest)


def is_gone(problem: OSError) -> bool:
    """Tell whether an error says that what was to be copied is not there any more."""
    return is_no_file(problem)
