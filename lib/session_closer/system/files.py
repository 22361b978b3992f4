"""Whole files: written so that they last, and read without following a link or waiting on a pipe."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
from collections.abc import Iterable

from .disk import ACL, NO_RIGHTS, PRIVATE_FILE, UNKNOWN, Disk

PIECE = 8 << 20
_MORE = 64 << 10
# Linux gives the page cache one stretch of memory for each write, as large as the write: small ones were in use a
# moment ago, the large ones that a virtual machine has to fetch from its host make a write take ten times as long.
_CACHED = 64 << 10
_BLOCK = 4096
# A disk has nothing of larger ones, and room for them is fetched anew for each file.
_DIRECT = 1 << 20
_LARGE = 16 << 20
# The errors which say that there is no file for us: it is gone, or a link, a folder, a socket, or `read` refuses it.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EFBIG)


def put(disk: Disk, path: str, data: bytes | Iterable[bytes], *, like: str | None = None, aside: bool = False) -> None:
    """Create a file with these bytes, durable before it returns; the file `like` gives mode, owner and ACL, else 0600.

    `aside`: nobody reads it soon, so a large one is not to take the page cache from what the gateway reads.
    """
    descriptor = disk.create(path)
    try:
        try:
            for number, part in enumerate((data,) if isinstance(data, bytes) else data):
                view = memoryview(part)
                if aside and not number and len(view) >= _LARGE:
                    view = view[_past_the_cache(disk, descriptor, view) :]
                write_all(disk, descriptor, view, path)
            if like is not None:
                _make_alike(disk, descriptor, path, like)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
    except OSError as problem:
        problem.filename = problem.filename or path
        # Where it cannot be removed, the next run puts it away.
        with contextlib.suppress(OSError):
            disk.unlink(path)
        raise


def _make_alike(disk: Disk, descriptor: int, path: str, like: str) -> None:
    """Give a file the owner, rights and mode of another: nobody else may read it than could read that."""
    old, new = os.stat(like, follow_symlinks=False), os.fstat(descriptor)
    # The folder may hand its own group and its own ACL down.
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        try:
            disk.set_owner(descriptor, old.st_uid, old.st_gid)
        except PermissionError:
            what = f"cannot have the owner {old.st_uid} and the group {old.st_gid} of the old one, use chgrp"
            raise PermissionError(errno.EPERM, what, path) from None
    acl = _acl(like)
    if acl != _acl(descriptor):
        disk.set_acl(descriptor, acl)
    mode = stat.S_IMODE(old.st_mode)
    # Where all files have the mode of the mount, it cannot be set.
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        try:
            disk.set_mode(descriptor, mode)
        except OSError as problem:
            if problem.errno not in NO_RIGHTS:
                raise
            raise PermissionError(errno.EPERM, f"cannot have the mode {mode:o} of the old one", path) from None


def _acl(file: str | int) -> bytes | None:
    """Return a file's ACL, None where it has none, or nobody can have one."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(file, ACL)
    except OSError as problem:
        if problem.errno not in UNKNOWN | {errno.ENODATA}:
            raise
        return None


def write_all(disk: Disk, descriptor: int, view: memoryview, path: str) -> None:
    """Write all of these bytes where an open file stands."""
    while view:
        written = disk.write(descriptor, view[:_CACHED])
        if written <= 0:
            raise OSError(errno.EIO, "nothing was written", path)
        view = view[written:]


def _past_the_cache(disk: Disk, descriptor: int, view: memoryview) -> int:
    """Write whole blocks past the page cache; return how many bytes, 0 where system or file system have no such way.

    It is faster, too, as the bytes go to the disk, which has to have them before we go on, without a copy of all.
    """
    if not _set_direct(descriptor, on=True):
        return 0
    # Such writes start at a whole block on the disk and in memory, where the bytes of an object do not.
    room = memoryview(mmap.mmap(-1, _DIRECT))
    at, whole = 0, len(view) - len(view) % _BLOCK
    try:
        while at < whole:
            piece = view[at : min(at + _DIRECT, whole)]
            room[: len(piece)] = piece
            written = disk.write(descriptor, room[: len(piece)])
            if written <= 0:
                break
            at += written
    except OSError as problem:
        # Larger blocks than we know of, or a write that ended within one: the rest goes the usual way.
        if problem.errno not in UNKNOWN:
            raise
    finally:
        _set_direct(descriptor, on=False)
    return at


def _set_direct(descriptor: int, *, on: bool) -> bool:
    """Have the writes of a descriptor pass by the page cache, or not; False where they cannot."""
    flag: int = getattr(os, "O_DIRECT", 0)
    if not flag:
        return False
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | flag if on else flags & ~flag)
    except OSError as problem:
        if problem.errno not in UNKNOWN:
            raise
        return False
    return True


def own(disk: Disk, path: str) -> None:
    """Make a file durable that somebody else has written, and private, where it is ours and a file can be."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        try:
            disk.set_mode(descriptor, PRIVATE_FILE)
        except OSError as problem:
            # Its mode is what it was under its old name, so nobody can read it who could not before.
            if problem.errno not in NO_RIGHTS:
                raise
        disk.sync(descriptor)
    finally:
        os.close(descriptor)


def remove(disk: Disk, paths: Iterable[str]) -> None:
    """Remove files, those that are gone included."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(path)


def is_path(text: str) -> bool:
    """Tell whether a file could have this path at all: what others wrote may hold NUL, or half a surrogate pair."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def real(path: str) -> str:
    """Return a path without links; what could be none as it is."""
    return os.path.realpath(path) if is_path(path) else path


def read(path: str, limit: int) -> tuple[bytes, os.stat_result]:
    """Return the bytes of a regular file and its stat, without following a link or waiting on a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        if found.st_size > limit:
            raise OSError(errno.EFBIG, "is too large", path)
        # A file object would cost a small file more than its bytes do.
        pieces = [os.read(descriptor, found.st_size + 1)]
        while pieces[-1]:
            pieces.append(os.read(descriptor, _MORE))
        return pieces[0] if len(pieces) <= 2 else b"".join(pieces), os.fstat(descriptor)
    finally:
        os.close(descriptor)


def open_within(root: str, path: str) -> int:
    """Return a descriptor of a file or folder, by its path below a folder; OSError for a link on the way."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(root, flags | os.O_DIRECTORY)
    *folders, name = path.split("/")
    for at, part in enumerate((*folders, name)):
        above = descriptor
        try:
            descriptor = os.open(part, flags | (os.O_DIRECTORY if at < len(folders) else 0), dir_fd=above)
        finally:
            os.close(above)
    return descriptor


def is_no_file(problem: OSError) -> bool:
    """Tell whether an error says that there is no file of ours by this name; any other leaves that open."""
    return problem.errno in _NO_FILE


def exists(path: str, *, follow: bool = False) -> bool:
    """Tell whether a name is there; OSError where that cannot be told. `follow`: whether what a link leads to is."""
    return _found(path, follow=follow) is not None


def is_folder(path: str) -> bool:
    """Tell whether a path leads to a folder; OSError where that cannot be told."""
    found = _found(path, follow=True)
    return found is not None and stat.S_ISDIR(found.st_mode)


def is_file(path: str) -> bool:
    """Tell whether a path leads to a regular file; OSError where that cannot be told."""
    found = _found(path, follow=True)
    return found is not None and stat.S_ISREG(found.st_mode)


def nearest(folder: str) -> str:
    """Return a folder, or where it is not there yet the next one above it that is."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder


def listed(path: str) -> list[str]:
    """Return the names in a folder, none where there is no folder."""
    try:
        return os.listdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return []


def listed_whole(path: str) -> list[str]:
    """Return the whole paths of what is in a folder, none where there is no folder, or `path` is empty."""
    return [os.path.join(path, name) for name in listed(path)] if path else []


def sync_folders(disk: Disk, folder: str, names: Iterable[str]) -> None:
    """Make the renames of files durable that are in a folder, or have their whole path for a name."""
    for place in sorted({os.path.dirname(os.path.join(folder, name)) if "/" in name else folder for name in names}):
        if is_folder(place):
            disk.sync_folder(place)


def is_reached(path: str) -> bool:
    """Tell whether somebody else's path leads to anything that we may look at; other errors of the disk are raised."""
    try:
        os.lstat(path)
    except ValueError:
        return False
    except OSError as problem:
        # OpenClaw runs as we do, and cannot reach it either.
        if is_no_file(problem) or problem.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG):
            return False
        raise
    return True


def _found(path: str, *, follow: bool) -> os.stat_result | None:
    try:
        return os.stat(path, follow_symlinks=follow)
    except OSError as problem:
        if problem.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None
