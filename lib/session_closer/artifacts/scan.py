"""What lies below a home by patterns of paths; no link is followed, on no component of a path. Nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from stat import S_ISDIR, S_ISREG

from ..core.artifacts import Artifact
from ..core.patterns import EVERY, Pattern
from ..core.tuples import NamedTuple
from ..system.files import is_no_file, open_within

LINK, _DEEP = "it is a link", "it lies too deep"
# A path that is longer than any that the system takes can be made, folder by folder.
_LONGEST, _DEEPEST = 1024, 200
_NO_WEIGHT = (0, 0.0)


class _Place(NamedTuple):
    """A folder that is open, and the number of the file system of its home."""

    path: str
    descriptor: int
    device: int


def found(root: str, patterns: Sequence[Pattern]) -> Iterator[Artifact]:
    """Give what matches below a home, pattern by pattern, with the owner that its name says, and nothing that keeps it.

    OSError where a folder cannot be read.
    """
    device = os.stat(root).st_dev
    for folder, some in groupby(patterns, key=attrgetter("folder")):
        # One look at a folder for all patterns of it: there may be very many names.
        wanted = [(pattern, list[Artifact]()) for pattern in some]
        for place in _folders(root, folder):
            _match(root, place, wanted, device)
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
            raise
        yield None
        return
    try:
        yield descriptor if S_ISDIR(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _match(root: str, folder: str, wanted: Sequence[tuple[Pattern, list[Artifact]]], device: int) -> None:
    """Add to the list of each pattern what matches it in a folder."""
    with opened(root, folder) as descriptor:
        if descriptor is None:
            return
        place = _Place(folder, descriptor, device)
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
        size, newest = weight = weighed(place.descriptor, entry.name)
        at = at if pattern.own_time else newest or at
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
        yield from ((f"{above}{name}", _DEEP) for name, is_folder, _ in found if is_folder and len(above) >= _LONGEST)


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


def weighed(folder: int, name: str, depth: int = 0) -> tuple[int, float]:
    """Return the bytes of all files in a folder within an open one, and the time of the newest; 0.0: there is none.

    Where it is deeper than any that is made in earnest, the time is infinite: nobody knows how old the rest is.
    """
    total, newest = 0, 0.0
    if depth > _DEEPEST:
        return total, float("inf")
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return 0, 0.0
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if S_ISDIR(status.st_mode):
                    size, at = weighed(descriptor, entry.name, depth + 1)
                    total, newest = total + size, max(newest, at)
                else:
                    total, newest = total + status.st_size, max(newest, status.st_mtime)
    finally:
        os.close(descriptor)
    return total, newest
