"""What people have sent into a session, which lies in a folder for all sessions; nothing writes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from ..core.export.parts import MEDIA
from ..system import files
from ..system.pieces import opened
from .home import Home

# As a path of this machine or another, or as a name of OpenClaw's own.
_NAMED = re.compile(rb"media(?:://|/|\\\\)inbound(?:/|\\\\)([A-Za-z0-9][A-Za-z0-9._-]{0,200})")


def of(home: Home, transcripts: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the path in a bundle, and the whole path, of each file that a transcript names and that is there."""
    yield from named(home, (line for path in transcripts for line in _lines(path)))


def named(home: Home, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Give the same of what lines name."""
    folder = os.path.join(home.state, "media", "inbound")
    found = {name for line in lines if b"inbound" in line for name in _NAMED.findall(line)}
    for name in sorted(each.decode("ascii") for each in found):
        path = os.path.join(folder, name)
        if os.path.realpath(path) == path and files.is_file(path):
            yield f"{MEDIA}/{name}", path


def _lines(path: str) -> Iterator[bytes]:
    with opened(path) as file:
        yield from file


def version(home: Home) -> str | None:
    """Return the version of OpenClaw that has written the configuration last, None where it does not say so."""
    found = home.setting("meta", "lastTouchedVersion")
    return found if isinstance(found, str) else None
