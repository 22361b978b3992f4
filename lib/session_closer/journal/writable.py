"""Whether what a run is going to write could be written, asked of the file system without writing."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from collections.abc import Iterable, Sequence

from ..core.errors import Refused
from ..system import files, mounts
from . import history

_MODE = os.W_OK | os.X_OK


def refusal(state: str, folders: Iterable[str], indexes: Sequence[str] = ()) -> Refused | None:
    """Return why a run could not keep its record, change these folders, or replace these files; None where it could.

    A folder that is not there yet counts as the one that it would be made in.
    """
    _, opened, receipts = history.folders(state)
    for folder in dict.fromkeys(map(_there, (opened, receipts, *folders))):
        if _is_read_only(folder):
            return _refused(folder, errno.EROFS, "mount it for writing")
        if not os.access(folder, _MODE, effective_ids=os.access in os.supports_effective_ids):
            return _refused(folder, errno.EACCES, "give its owner the right to write there")
    return next(filter(None, map(_of_strange_group, indexes)), None) or _mounted(indexes)


def _mounted(paths: Sequence[str]) -> Refused | None:
    """Return why a file cannot be replaced that is mounted by itself, as containers do with single files."""
    for path in mounts.of_themselves(paths):
        what = f"nothing was changed: {path} is mounted by itself: no file can take its place"
        remedy = f"mount {shlex.quote(os.path.dirname(path))} in its place, then run the same command again"
        return Refused(what, remedy, name="unwritable")
    return None


def _of_strange_group(path: str) -> Refused | None:
    """Return why a file cannot be replaced: it has a group that nobody but root, or a member, can give to another."""
    try:
        own, above = os.stat(path), os.stat(os.path.dirname(path))
    except OSError:
        # Whoever reads it says why it cannot be read.
        return None
    # A folder may hand its own group down.
    hands_down = sys.platform == "darwin" or above.st_mode & stat.S_ISGID
    groups = {os.getegid(), *os.getgroups(), *([above.st_gid] if hands_down else [])}
    if os.geteuid() == 0 or own.st_gid in groups:
        return None
    what = f"nothing was changed: {path} has the group {own.st_gid}, which you are not in: no other can have it"
    remedy = f"as root: chgrp {os.getegid()} {shlex.quote(path)}; then run the same command again"
    return Refused(what, remedy, name="unwritable")


def _there(path: str) -> str:
    while not files.exists(path, follow=True) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _is_read_only(folder: str) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        # Where a file system cannot say it, what it permits has the last word.
        return False


def _refused(folder: str, number: int, remedy: str) -> Refused:
    what = f"nothing was changed: {folder} cannot be written: {os.strerror(number)}"
    return Refused(what, f"{remedy}, then run the same command again", name="unwritable")
