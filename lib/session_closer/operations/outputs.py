"""Where what a person has asked for may be written: nobody else can put anything in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import Refused
from ..core.escape import quoted
from ..system import files, trust
from ..system.disk import Disk


def own_folder(folder: str, remedy: str) -> str:
    """Return a folder as a whole path without links; Refused, with a remedy, where it is not, or will not be, ours."""
    path = os.path.abspath(folder)
    if (link := trust.foreign_link(path)) is not None:
        raise Refused(f"{quoted(link)} is a link of somebody else", remedy, name="output")
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        raise Refused(f"{quoted(there)} is no folder", remedy, name="output")
    status = os.stat(there)
    # Where anybody may make files, but nobody may rename those of others, a folder of our own is ours.
    is_shared = there != path and bool(status.st_mode & stat.S_ISVTX) and trust.is_trusted(status.st_uid)
    if not is_shared and (why := trust.objection(status)):
        raise Refused(f"{quoted(there)}: {why}", remedy, name="output")
    return os.path.realpath(path)


@contextmanager
def made(disk: Disk, folder: str) -> Iterator[None]:
    """Make a folder, and those above it that are missing; those of ours in which nothing came to lie are removed again.

    Another run may make them, or remove its own, at the same time.
    """
    ours: list[str] = []
    try:
        while not os.path.isdir(folder):
            _make_next(disk, folder, ours)
        yield
    finally:
        # One that holds anything is not removed.
        with suppress(OSError):
            for each in reversed(ours):
                disk.remove_folder(each)


def _make_next(disk: Disk, folder: str, ours: list[str]) -> None:
    """Make the topmost folder of a path that is missing, and note it."""
    above = files.nearest(folder)
    missing = os.path.join(above, os.path.relpath(folder, above).split(os.sep)[0])
    try:
        disk.make_folder(missing)
    except FileExistsError:
        if os.path.lexists(missing) and not os.path.isdir(missing):
            raise
        return
    except FileNotFoundError:
        if os.path.isdir(above):
            raise
        return
    ours.append(missing)
    disk.sync_folder(above)
