"""What OpenClaw has packed in a database, or beside it, unpacked: whole, or piece by piece."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from ...core.errors import Refused
from ...system.pieces import PIECE


@contextmanager
def _opened(what: str, packed: bytes, remedy: str) -> Iterator[BinaryIO]:
    """Give what was packed as a file; Refused where that is damaged, or cannot be unpacked here."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as problem:
        said = f"this Python ({sys.executable}) cannot unpack {what}: {problem}"
        raise Refused(said, "a Python whose zstd can be imported") from None
    try:
        yield cast(BinaryIO, zstd.ZstdFile(io.BytesIO(packed)))
    except (zstd.ZstdError, EOFError) as problem:
        raise Refused(f"{what} cannot be unpacked: {problem}", remedy) from None


def unpacked(what: str, packed: bytes, *, most: int, remedy: str) -> bytes:
    """Return the text; Refused where it cannot be unpacked here, is damaged, or has more bytes than `most`."""
    with _opened(what, packed, remedy) as file:
        text = file.read(most + 1)
    if len(text) > most:
        raise Refused(f"{what} is larger than {most >> 30} GiB when it is unpacked", remedy)
    return text


def pieces(what: str, packed: bytes, *, remedy: str) -> Iterator[bytes]:
    """Give the text, a MiB at a time; Refused where it cannot be unpacked here, or is damaged."""
    with _opened(what, packed, remedy) as file:
        while piece := file.read(PIECE):
            yield piece
