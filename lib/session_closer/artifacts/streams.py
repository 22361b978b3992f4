"""Files as an export reads them: whole, piece by piece, and told by their look; nothing writes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ..core.errors import Refused
from ..core.export.parts import Stream
from ..system.pieces import chunks


def of_file(name: str, path: str) -> Stream:
    """Return a file as the one of this name in a bundle; Refused where it cannot be read, now or later."""
    try:
        found = os.lstat(path)
    except OSError as problem:
        raise unreadable(path, problem) from None
    return Stream(name, path, found.st_size, lambda: _read(path), stamp=f"{found.st_ino} {found.st_mtime_ns}")


def unreadable(path: str, problem: OSError) -> Refused:
    """Return why a session whose file cannot be read is not exported."""
    return Refused(f"{path} cannot be read: {problem.strerror}", "check the file", name="unreadable")


def _read(path: str) -> Iterator[bytes]:
    try:
        yield from chunks(path)
    except OSError as problem:
        raise unreadable(path, problem) from None
