"""What lies below a home by patterns of paths; no link is followed, on no component of a path. Nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EACCES
from itertools import groupby
from operator import attrgetter
from stat import S_ISDIR, S_ISREG, S_ISVTX

from ..core.artifacts import ELSEWHERE, IMMOVABLE, UNREADABLE, Artifact, Weight
from ..core.patterns import EVERY, Pattern
from ..core.tuples import NamedTuple
from ..system import mounts
from ..system.files import is_no_file, open_within

LINK, DEEP = "it is a link", "it lies too deep"
# A path that is longer than any that the system takes can be made, folder by folder.
# Each folder of a way down is open meanwhile, and a process may have 256 files open.
_LONGEST, DEEPEST = 1024, 100
_CHANGES = os.W_OK | os.X_OK
_NO_WEIGHT = Weight()


class _Place(NamedTuple):
    """A folder that is open, its home, the number of the file system of that, and what is mounted in it."""

    root: str
    path: str
    descriptor: int
    device: int
    mounted: Sequence[str]


def found(root: str, patterns: Sequence[Pattern]) -> Iterator[Artifact]:
    """Give what matches below a home, pattern by pattern, with the owner that its name says, and nothing that keeps it.

    OSError where a folder cannot be read.
    """
    device, mounted = os.stat(root).st_dev, mounts.below(root)
    for folder, some in groupby(patterns, key=attrgetter("folder")):
        # One look at a folder for all patterns of it: there may be very many names.
        wanted = [(pattern, list[Artifact]()) for pattern in some]
        for place in _folders(root, folder):
            _match(root, place, wanted, device=device, mounted=mounted)
        for _, matches in wanted:
            yield from matches


def _folders(root: str, wanted: str) -> list[str]:
    """Return the folders below a home that a path with * stands for."""
    places = [""]
    for part in wanted.split("/"):
        if part == EVERY:
            places = [f"{place}{name}/" for place in places for name in _subfolders(root, place)]
        else:
            places = [f"{place}{part}/" for place in places]
    return [place[:-1] for place in places]


def _subfolders(root: str, place: str) -> list[str]:
    with opened(root, place.rstrip("/")) as descriptor:
        if descriptor is None:
            return []
        with os.scandir(descriptor) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


@contextmanager
def opened(root: str, folder: str) -> Iterator[int | None]:
    """Open a folder below a home; None where there is none, or a link stands on the way."""
    try:
        descriptor = open_within(root, folder) if folder else os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as problem:
        if not is_no_file(problem):
            problem.filename = f"{root}/{folder}".rstrip("/")
            raise
        yield None
        return
    try:
        yield descriptor if S_ISDIR(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _match(
    root: str, folder: str, wanted: Sequence[tuple[Pattern, list[Artifact]]], *, device: int, mounted: Sequence[str]
) -> None:
    """Add to the list of each pattern what matches it in a folder."""
    with opened(root, folder) as descriptor:
        if descriptor is None:
            return
        place = _Place(root, folder, descriptor, device, mounted)
        # What is done for each of very many names is done with as few calls as can be.
        ways = [(pattern.name.fullmatch, pattern, matches.append) for pattern, matches in wanted]
        with os.scandir(descriptor) as entries:
            for entry in entries:
                name = entry.name
                for fits, pattern, add in ways:
                    if (match := fits(name)) is not None and (one := _found(pattern, place, match, entry)) is not None:
                        add(one)
                        break


def _found(pattern: Pattern, place: _Place, match: re.Match[str], entry: os.DirEntry[str]) -> Artifact | None:
    """Return an entry that fits a pattern; None where it is a link, or no folder where one is meant."""
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    mode, at, size, is_folder, weight = status.st_mode, status.st_mtime, status.st_size, pattern.is_folder, _NO_WEIGHT
    if not (S_ISDIR if is_folder else S_ISREG)(mode):
        return None
    device, owner = status.st_dev, match["id"] if match.re.groups else None
    stamp = (device, status.st_ino, size, status.st_mtime_ns, mode)
    if is_folder:
        weight = weighed(place.descriptor, entry.name)
        if place.mounted and any(mounts.is_in(one, f"{place.root}/{place.path}/{entry.name}") for one in place.mounted):
            weight = weight._replace(why=ELSEWHERE)
        size = weight.size
        at = at if pattern.own_time and weight.newest != float("inf") else weight.newest or at
    path, is_elsewhere = f"{place.path}/{entry.name}", device != place.device
    return Artifact(pattern.kind, path, owner, at, size, is_folder, "", stamp, is_elsewhere, weight)


def below(root: str, folder: str) -> Iterator[tuple[str, str]]:
    """Give the path below a folder of a home of all in it that is no folder, and "", or why it is not to be read.

    OSError where a folder cannot be read.
    """
    left = [""]
    while left:
        above = left.pop()
        with opened(root, f"{folder}/{above}".rstrip("/")) as descriptor:
            if descriptor is None:
                # Of a folder that is not there nothing is to be said.
                if above or os.path.lexists(f"{root}/{folder}"):
                    yield above.rstrip("/"), LINK
                continue
            with os.scandir(descriptor) as entries:
                found = sorted((each.name, each.is_dir(follow_symlinks=False), _odd(each)) for each in entries)
        left += [f"{above}{name}/" for name, is_folder, _ in found if is_folder and len(above) < _LONGEST]
        yield from ((f"{above}{name}", why) for name, is_folder, why in found if not is_folder)
        yield from ((f"{above}{name}", DEEP) for name, is_folder, _ in found if is_folder and len(above) >= _LONGEST)


def filled(root: str, folder: str) -> Iterator[str]:
    """Give the path below a folder of a home of each file in it that has any bytes; OSError: it cannot be read."""
    yield from (name for name, why in below(root, folder) if not why and os.lstat(f"{root}/{folder}/{name}").st_size)


def _odd(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return LINK
    return "" if entry.is_file(follow_symlinks=False) else "it is no file"


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells that a file or folder is still the one that was looked at."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode


def is_folder(folder: int, name: str) -> bool:
    """Tell whether a name within an open folder is a folder's, and no link's."""
    try:
        return S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def looked_into(root: str, path: str, folder: int) -> Weight:
    """Return what is in a folder, by its path below a home, which lies in an open one."""
    weight, whole = weighed(folder, path.rpartition("/")[2]), os.path.join(root, path)
    return weight._replace(why=ELSEWHERE) if mounts.below(whole) else weight


def weighed(folder: int, name: str, depth: int = 0) -> Weight:
    """Return what is in a folder within an open one, as far as that is no other file system's.

    Where it is deeper than any that is made in earnest, its time is infinite.
    """
    if depth > DEEPEST:
        return Weight(newest=float("inf"), fixed=True)
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return _NO_WEIGHT
    except OSError as problem:
        if problem.errno != EACCES:
            raise
        return Weight(why=UNREADABLE, fixed=True)
    try:
        return _weighed(descriptor, depth)
    finally:
        os.close(descriptor)


def _weighed(folder: int, depth: int) -> Weight:
    own = os.fstat(folder)
    is_open = os.access(".", _CHANGES, dir_fd=folder, effective_ids=os.access in os.supports_effective_ids)
    # Who changes its path has to change a folder itself, but not those in it.
    total, newest, why, fixed = 0, 0.0, "" if is_open or depth else IMMOVABLE, not is_open
    is_sticky = bool(own.st_mode & S_ISVTX) and os.geteuid() not in (0, own.st_uid)
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except PermissionError:
                # Its names may be listed, and nothing more.
                why = why or UNREADABLE
                continue
            fixed = fixed or (is_sticky and status.st_uid != os.geteuid())
            if status.st_dev != own.st_dev:
                why = ELSEWHERE
            elif S_ISDIR(status.st_mode):
                inner = weighed(folder, entry.name, depth + 1)
                total, newest = total + inner.size, max(newest, inner.newest)
                why, fixed = ELSEWHERE if ELSEWHERE in (why, inner.why) else why or inner.why, fixed or inner.fixed
            else:
                total, newest = total + status.st_size, max(newest, status.st_mtime)
    return Weight(total, newest, why, fixed)
