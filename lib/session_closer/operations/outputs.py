"""Where what a person has asked for may be written: nobody else can put anything in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ..core.errors import Refused
from ..core.escape import quoted
from ..system import trust
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
    """Make a folder, and those above it that are missing; one of them in which nothing came to lie is removed again."""
    missing: list[str] = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for each in reversed(missing):
            disk.make_folder(each)
            disk.sync_folder(os.path.dirname(each))
        yield
    finally:
        with suppress(OSError):
            for each in missing:
                if not os.listdir(each):
                    disk.remove_folder(each)
