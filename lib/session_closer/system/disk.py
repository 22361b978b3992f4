"""The only module that changes files: each step that a kill or an error can separate from the next is one method."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

Answer = TypeVar("Answer")

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_SWAP = 2
# What `os.fsencode` makes of a name, without a call of it for each of ten thousands.
_NAMES = sys.getfilesystemencoding()
# FICLONE.
_CLONE = 0x40049409
ACL = "system.posix_acl_access"
_EXCLUSIVE = 4 if sys.platform == "darwin" else 1
# The folder that a path begins in where no open one is named (AT_FDCWD).
_HERE = -2 if sys.platform == "darwin" else -100
# The errors of a call that the file system, or the system, does not have.
UNKNOWN = frozenset((errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP))
# A file system without links may say that they are not permitted: vfat and FUSE with EPERM, Android with EACCES. Where
# the folder itself may not be written, whatever is tried in the place of a link fails as well.
_NO_LINK = UNKNOWN | {errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV}
NO_RIGHTS = UNKNOWN | {errno.EPERM}


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
                if problem.errno not in UNKNOWN | {errno.ENOTTY}:
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

    def set_mode_of(self, path: str, mode: int) -> None:
        """Set the mode of a file or folder of ours, by its path."""
        os.chmod(path, mode)

    def make_link(self, text: str, path: str) -> None:
        """Create a symbolic link."""
        os.symlink(text, path)

    def make_special(self, path: str, mode: int) -> None:
        """Create a pipe or a socket that nobody has opened, as `mode` says."""
        if stat.S_ISFIFO(mode):
            # Of macOS only root may have the other.
            os.mkfifo(path)
        else:
            os.mknod(path, mode)

    def clone(self, source: int, target: int) -> bool:
        """Let an empty file share the blocks of another until one is written to; False where that cannot be (Linux)."""
        if sys.platform != "linux":
            return False
        import fcntl

        try:
            fcntl.ioctl(target, _CLONE, source)
        except OSError as problem:
            if problem.errno not in UNKNOWN | {errno.EXDEV, errno.ENOTTY, errno.EPERM, errno.EBADF, errno.ETXTBSY}:
                raise
            return False
        return True

    def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
        """Set a file's owner and group."""
        os.fchown(descriptor, uid, gid)

    def set_acl(self, descriptor: int, acl: bytes | None) -> None:
        """Give a file these further rights of others (Linux), None: none."""
        if acl is None:
            os.removexattr(descriptor, ACL)
        else:
            os.setxattr(descriptor, ACL, acl)

    def set_times(self, path: str, atime_ns: int, mtime_ns: int) -> None:
        """Set a file's times; a file system that lets nobody set them is left as it is."""
        try:
            os.utime(path, ns=(atime_ns, mtime_ns))
        except OSError as problem:
            if problem.errno not in NO_RIGHTS:
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
            # A run that was killed between link and unlink has left the file with both names.
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

    def let(self, work: Callable[[], Answer]) -> Answer:
        """Let another program change files: all that it does is one step."""
        return work()

    def make_folder_in(self, folder: int, name: str) -> None:
        """Create one private folder in one that is open."""
        os.mkdir(name, PRIVATE_FOLDER, dir_fd=folder)

    def remove_folder_in(self, folder: int, name: str) -> None:
        """Remove one empty folder from one that is open."""
        os.rmdir(name, dir_fd=folder)

    def unlink_in(self, folder: int, name: str) -> None:
        """Remove a file from a folder that is open."""
        os.unlink(name, dir_fd=folder)

    def move_new(self, folder: int, source: str, target: int, name: str) -> None:
        """Rename from one open folder into another; FileExistsError where the name is taken there."""
        if self.move_exclusive(folder, source, target, name):
            return
        os.stat(source, dir_fd=folder, follow_symlinks=False)
        if _is_in(target, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), source, None, name)
        self.move(folder, source, target, name)

    def move_exclusive(self, folder: int, source: str, target: int, name: str) -> bool:
        """Do that in one step; False, and nothing done, where the file system cannot."""
        return _rename_with(source, name, exchange=False, folders=(folder, target))

    def move(self, folder: int, source: str, target: int, name: str) -> None:
        """Rename from one open folder into another, replacing what is there."""
        os.rename(source, name, src_dir_fd=folder, dst_dir_fd=target)

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
        # A file system without fsync keeps no order of writes at all, so nothing is lost by going on.
        if problem.errno not in UNKNOWN | {errno.EBADF}:
            raise


def _has_both(source: str, target: str) -> bool:
    """Tell whether two names are one file's; not where one of them is gone by now."""
    try:
        one, other = os.lstat(source), os.lstat(target)
    except FileNotFoundError:
        return False
    # Where there are no links, numbers of inodes may be made up, and two files can have the same.
    return os.path.samestat(one, other) and one.st_nlink > 1


def _is_in(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _rename_with(source: str, target: str, *, exchange: bool, folders: tuple[int, int] = (_HERE, _HERE)) -> bool:
    native = _native_rename()
    if native is None:
        return False
    call, last_errno = native
    one, other = source.encode(_NAMES, "surrogateescape"), target.encode(_NAMES, "surrogateescape")
    if call(folders[0], one, folders[1], other, _SWAP if exchange else _EXCLUSIVE) == 0:
        return True
    code = last_errno()
    if code in UNKNOWN:
        return False
    raise OSError(code, os.strerror(code), source, None, target)


@cache
def _native_rename() -> tuple[Callable[[int, bytes, int, bytes, int], int], Callable[[], int]] | None:
    """Return renameat2 (Linux) or renameatx_np (macOS) and what gives its errno, None where there is neither."""
    import ctypes  # only what changes a store renames

    libc = ctypes.CDLL(None, use_errno=True)
    function: Any = getattr(libc, "renameatx_np" if sys.platform == "darwin" else "renameat2", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    return function, ctypes.get_errno
