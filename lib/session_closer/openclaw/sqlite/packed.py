"""What OpenClaw has packed in a database, or beside it, unpacked: whole, or not at all."""

from __future__ import annotations

import io
import sys

from ...core.errors import Refused


def unpacked(what: str, packed: bytes, *, most: int, remedy: str) -> bytes:
    """Return the text; Refused where it cannot be unpacked here, is damaged, or has more bytes than `most`."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError as problem:
        said = f"this Python ({sys.executable}) cannot unpack {what}: {problem}"
        raise Refused(said, "a Python whose zstd can be imported") from None
    try:
        text = zstd.ZstdFile(io.BytesIO(packed)).read(most + 1)
    except (zstd.ZstdError, EOFError) as problem:
        raise Refused(f"{what} cannot be unpacked: {problem}", remedy) from None
    if len(text) > most:
        raise Refused(f"{what} is larger than {most >> 30} GiB when it is unpacked", remedy)
    return text
