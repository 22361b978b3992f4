"""What git writes into one file of all that is at a ref: whose it is, at which commit, and whether it is whole."""

from __future__ import annotations

import hashlib
import os

from ..core import late
from ..core.tuples import NamedTuple
from ..system import pieces

_HEAD_BYTES = 256
_PIECE = 8 << 20
_HEAD = late.pattern(
    rb"# v[23] git bundle\n(?:@object-format=(sha1|sha256)\n)?([0-9a-f]{40,64}) refs/hermes/([0-9a-f]{16})\n\n"
)


class Head(NamedTuple):
    """The project whose bundle it is, the commit that its ref was at, how it hashes, and where its objects begin."""

    project_id: str
    tip: str
    hashed: str
    end: int


def head(path: str) -> Head | None:
    """Return what a bundle is of, None where it is none of one project; OSError."""
    found = _HEAD.match(pieces.piece(path, 0, _HEAD_BYTES))
    return Head(found[3].decode(), found[2].decode(), (found[1] or b"sha1").decode(), found.end()) if found else None


def is_whole(path: str) -> bool:
    """Tell whether a bundle has the bytes that git has written: its last ones are a hash of those before; OSError."""
    found = head(path)
    if found is None:
        return False
    reckoned = hashlib.new(found.hashed, usedforsecurity=False)
    at, size = found.end, os.lstat(path).st_size - reckoned.digest_size
    while at < size and (data := pieces.piece(path, at, min(_PIECE, size - at))):
        reckoned.update(data)
        at += len(data)
    return at == size and pieces.piece(path, size, reckoned.digest_size) == reckoned.digest()
