"""Whom we believe: ourselves and root; what anybody else has made, or may write, counts for nothing."""

from __future__ import annotations

import os
import stat

ROOT = 0
# More links than any system follows on the way to one file.
_MOST_STEPS = 4096


def is_trusted(uid: int) -> bool:
    """Tell whether what a user says or makes counts as our own."""
    return uid in (ROOT, os.geteuid())


def objection(status: os.stat_result) -> str:
    """Return why a file or folder is not ours or root's alone, "" where it is."""
    if not is_trusted(status.st_uid):
        return f"it belongs to uid {status.st_uid}"
    return "others may write to it" if is_open(status) else ""


def is_open(status: os.stat_result) -> bool:
    """Tell whether others than its owner may write to a file or folder, by its mode."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid, status.st_uid)


def _is_own_group(gid: int, uid: int) -> bool:
    """Tell whether a group is what many systems give to each user, of the user's name: nobody else is in it."""
    import grp
    import pwd

    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(uid)
    except KeyError:
        return False
    return group.gr_gid == user.pw_gid and group.gr_name == user.pw_name and set(group.gr_mem) <= {user.pw_name}


def foreign_link(path: str) -> str | None:
    """Return the first link on the way to where a path leads that is neither ours nor root's, None where all are."""
    here, left = "/", path.split("/")[::-1]
    for _ in range(_MOST_STEPS):
        if not left:
            break
        name = left.pop()
        whole = os.path.dirname(here) if name == ".." else os.path.join(here, name)
        try:
            status = os.lstat(whole)
            target = os.readlink(whole) if stat.S_ISLNK(status.st_mode) else None
        except OSError:
            return None
        if target is None:
            here = whole
        elif not is_trusted(status.st_uid):
            return whole
        else:
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]
    return None


def program_objection(path: str) -> str:
    """Return why a program may not be run on the word of a process, "" where it may."""
    try:
        real = os.path.realpath(path)
        found = [(each, objection(os.stat(each))) for each in (real, os.path.dirname(real))]
    except OSError as problem:
        return f"{path} cannot be looked at: {problem.strerror}"
    return next((f"{each}: {why}" for each, why in found if why), "")
