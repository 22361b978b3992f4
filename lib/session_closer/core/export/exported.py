"""What was exported of one session, and by what it can be told whether it has been written to since (pure)."""

from __future__ import annotations

import hashlib

from ...core.tuples import NamedTuple
from .parts import Parts


class Exported(NamedTuple):
    """A session that was exported: `path` is its folder, or its page, `sha256` that of SHA256SUMS, or of the page.

    `mark` is that of the session as it was compared.
    """

    agent: str
    key: str
    path: str
    files: int
    size: int
    sha256: str
    events: int
    mark: str = ""


def mark(parts: Parts) -> str:
    """Return what is the same for as long as nobody writes to a session: of its row, and of the looks of its parts."""
    found = [(stream.name, stream.size, stream.events, stream.stamp) for stream in parts.streams]
    return hashlib.sha256(repr((parts.entry, found)).encode()).hexdigest()
