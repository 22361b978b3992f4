"""What every export of a session of OpenClaw has besides what its store tells: what was sent into it; nothing writes.

That lies in a folder for all sessions.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

from ..artifacts.streams import of_file
from ..core import late
from ..core.export.parts import MEDIA, LeftOut, Parts, Stream, lines
from ..core.export.redaction import secrets_in
from ..system import files
from .home import Home

# As a path of this machine or another, or as a name of OpenClaw's own.
_NAMED = late.pattern(rb"media(?:://|/|\\\\)inbound(?:/|\\\\)([A-Za-z0-9][A-Za-z0-9._-]{0,200})")


def taken(
    home: Home, entry: bytes, streams: Sequence[Stream], left_out: Sequence[LeftOut], *, with_media: bool
) -> Parts:
    """Return a session as an export takes it: these streams, and the files that they name of those sent into it."""
    sent = [*_sent(home, streams)] if with_media else []
    missing = [] if with_media else [LeftOut("media", "not asked for: --media")]
    version = home.setting("meta", "lastTouchedVersion")
    known = version if isinstance(version, str) else None
    return Parts(entry, [*streams, *sent], [*left_out, *missing], known, secrets_in(home.config))


def _sent(home: Home, streams: Iterable[Stream]) -> Iterator[Stream]:
    folder = os.path.join(home.state, "media", "inbound")
    said = (line for stream in streams for line in lines(stream.chunks()) if b"inbound" in line)
    found = {name for line in said for name in _NAMED.findall(line)}
    for name in sorted(each.decode("ascii") for each in found):
        path = os.path.join(folder, name)
        if os.path.realpath(path) == path and files.is_file(path):
            yield of_file(f"{MEDIA}/{name}", path)
