"""The only module that writes, renames or removes files: the seam for every fault that tests inject."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_PIECE = 8 << 20
_MORE = 64 << 10
_BLOCK = 4096
_LARGE = 16 << 20
_SWAP = 2
_ACL = "system.posix_acl_access"
_EXCLUSIVE = 4 if sys.platform == "darwin" else 1
# What a file system says to a call that it does not have.
_UNKNOWN = frozenset((errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP))
# Some deny what they do not have: vfat and FUSE links with EPERM, Android with EACCES. A folder that may not be
# written says so to whatever is tried instead.
_NO_LINK = _UNKNOWN | {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV}
_NO_RIGHTS = _UNKNOWN | {errno.EPERM}
# Gone, or a link, a folder, a socket, what `read` refuses: whatever else fails says nothing about the file.
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EFBIG)


class Disk:
    """Each method is one step that a kill or an error can separate from the next; errors are OSError.

    Paths are plain strings. Methods that name a folder take paths within one folder.
    """

    def make_folder(self, path: str) -> None:
        """Create one private folder."""
        os.mkdir(path, PRIVATE_FOLDER)

    def remove_folder(self, path: str) -> None:
        """Remove one empty folder."""
        os.rmdir(path)

    def create(self, path: str) -> int:
        """Return a descriptor of a new private file; one that exists is an error."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of the data; return how many bytes."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Bring a file's bytes to the platter; macOS needs F_FULLFSYNC for that, which only its own disks have."""
        if sys.platform == "darwin":
            import fcntl

            try:
                fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            except OSError as problem:
                if problem.errno not in _UNKNOWN | {errno.ENOTTY}:
                    raise
            else:
                return
        _fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def set_mode(self, descriptor: int, mode: int) -> None:
        """Set a file's mode."""
        os.fchmod(descriptor, mode)

    def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
        """Set a file's owner and group."""
        os.fchown(descriptor, uid, gid)

    def set_acl(self, descriptor: int, acl: bytes | None) -> None:
        """Give a file these further rights of others (Linux), None: none."""
        if acl is None:
            os.removexattr(descriptor, _ACL)
        else:
            os.setxattr(descriptor, _ACL, acl)

    def set_times(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        """Set a file's times; a file system that lets nobody set them is left as it is."""
        try:
            os.utime(path, ns=(atime_ns, mtime_ns))
        except OSError as problem:
            if problem.errno not in _NO_RIGHTS:
                raise

    def rename(self, source: str, target: str) -> None:
        """Rename, replacing what is there."""
        os.rename(source, target)

    def rename_new(self, source: str, target: str) -> None:
        """Rename; FileExistsError where the target exists."""
        if self.take_name(source, target):
            return
        # A placeholder would keep no writer out either, and a kill would leave an empty archive or backup (I4, I5).
        os.lstat(source)
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, target)
        self.rename(source, target)

    def take_name(self, source: str, target: str) -> bool:
        """Rename in a way that cannot replace, FileExistsError where the target exists.

        False, and nothing done, where the file system has no such way.
        """
        try:
            if self.rename_exclusive(source, target):
                return True
            if not self.link(source, target):
                return False
        except FileExistsError:
            # Killed between link and unlink, a file has both names.
            if not _has_both(source, target):
                raise
        self.unlink(source)
        return True

    def rename_exclusive(self, source: str, target: str) -> bool:
        """Rename in one step, FileExistsError where the target exists; False, and nothing done, where it cannot."""
        return _rename_with(source, target, exchange=False)

    def exchange(self, one: str, other: str) -> bool:
        """Swap two files in one step; False, and nothing done, where the file system cannot."""
        return _rename_with(one, other, exchange=True)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def link(self, source: str, target: str) -> bool:
        """Give a file a second name, FileExistsError where that exists; False, and nothing done, where it cannot."""
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as problem:
            if problem.errno not in _NO_LINK:
                raise
            return False
        return True

    def sync_folder(self, path: str) -> None:
        """Make renames within a folder durable; a file system without it is left as it is."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _fsync(descriptor)
        finally:
            os.close(descriptor)


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as problem:
        # Ignoring is fine as such a file system keeps nothing in order at all.
        if problem.errno not in _UNKNOWN | {errno.EBADF}:
            raise


def put(disk: Disk, path: str, *data: bytes, like: str | None = None, aside: bool = False) -> None:
    """Create a file with these bytes, durable before it returns; the file `like` gives mode, owner and ACL, else 0600.

    `aside`: nobody reads it soon, so a large one is not to take the page cache from what the gateway reads.
    """
    descriptor = disk.create(path)
    try:
        try:
            for number, part in enumerate(data):
                view = memoryview(part)
                if aside and not number and len(view) >= _LARGE:
                    view = view[_past_the_cache(disk, descriptor, view) :]
                _write(disk, descriptor, view, path)
            if like is not None:
                _make_alike(disk, descriptor, path, like)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
    except OSError as problem:
        problem.filename = problem.filename or path
        # What is left of the file is put away by the next run, too.
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
            if problem.errno not in _NO_RIGHTS:
                raise
            raise PermissionError(errno.EPERM, f"cannot have the mode {mode:o} of the old one", path) from None


def _acl(file: str | int) -> bytes | None:
    """Return a file's ACL, None where it has none, or nobody can have one."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(file, _ACL)
    except OSError as problem:
        if problem.errno not in _UNKNOWN | {errno.ENODATA}:
            raise
        return None


def _write(disk: Disk, descriptor: int, view: memoryview, path: str) -> None:
    while view:
        written = disk.write(descriptor, view[:_PIECE])
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
    room = memoryview(mmap.mmap(-1, _PIECE))
    at, whole = 0, len(view) - len(view) % _BLOCK
    try:
        while at < whole:
            piece = view[at : min(at + _PIECE, whole)]
            room[: len(piece)] = piece
            written = disk.write(descriptor, room[: len(piece)])
            if written <= 0:
                break
            at += written
    except OSError as problem:
        # Larger blocks than we know of, or a write that ended within one: the rest goes the usual way.
        if problem.errno not in _UNKNOWN:
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
        if problem.errno not in _UNKNOWN:
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
            # Whoever may read it could do so under its old name.
            if problem.errno not in _NO_RIGHTS:
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


def _has_both(source: str, target: str) -> bool:
    """Tell whether two names are one file's; not where one of them is gone by now."""
    try:
        one, other = os.lstat(source), os.lstat(target)
    except FileNotFoundError:
        return False
    # Where there are no links, numbers of inodes may be made up, and two files can have the same.
    return os.path.samestat(one, other) and one.st_nlink > 1


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
    for place in sorted({os.path.dirname(os.path.join(folder, name)) for name in names}):
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


def piece(path: str, offset: int, length: int) -> bytes:
    """Return so many bytes of a regular file; fewer where it is shorter."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", path)
        # As much room is taken as is asked for, and what a record says may be anything.
        return os.pread(descriptor, max(0, min(length, found.st_size - offset)), offset)
    finally:
        os.close(descriptor)


def _rename_with(source: str, target: str, *, exchange: bool) -> bool:
    call = _native_rename()
    if call is None:
        return False
    code = call(os.fsencode(source), os.fsencode(target), _SWAP if exchange else _EXCLUSIVE)
    if code == 0:
        return True
    if code in _UNKNOWN:
        return False
    raise OSError(code, os.strerror(code), source, None, target)


@cache
def _native_rename() -> Callable[[bytes, bytes, int], int] | None:
    """Return renameat2 (Linux) or renamex_np (macOS) as a call that gives an errno, None where there is neither."""
    import ctypes  # only what changes a store renames

    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        function: Any = getattr(libc, "renamex_np", None)
        ahead: tuple[Any, ...] = ()
        types: list[Any] = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint]
    else:
        function = getattr(libc, "renameat2", None)
        ahead = (-100,)
        types = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    if function is None:
        return None
    function.argtypes = types
    function.restype = ctypes.c_int

    def call(source: bytes, target: bytes, flag: int) -> int:
        ends = (*ahead, source, *ahead, target)
        ctypes.set_errno(0)
        return 0 if function(*ends, flag) == 0 else ctypes.get_errno()

    return call
