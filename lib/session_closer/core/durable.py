"""What is kept in the records of runs: values with a form of their own in JSON, which no output shares (pure)."""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec

# A size, an offset or a time past this could not be given to the system.
MOST = 1 << 62
Number = Annotated[int, msgspec.Meta(gt=-MOST, lt=MOST)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=MOST)]


def held(nanoseconds: int) -> int:
    """Return a time since 1970 as a record can hold it: one after 2116 is the last that it can."""
    return nanoseconds if -MOST < nanoseconds < MOST else MOST - 1 if nanoseconds > 0 else 1 - MOST


# The root that has transcripts, and the one of a move that names no other.
SESSIONS = "sessions"


# Nothing in a record refers back to it, so the collector has no circle to look for.
class Durable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", gc=False):
    """A value of a record: its members have the names of its fields, `mtimeNs` for `mtime_ns`, and no others."""

    def but(self, **changes: Any) -> Self:
        """Return the same value with other fields."""
        return msgspec.structs.replace(self, **changes)


class Move(Durable, frozen=True):
    """One file, or `folder`, to be archived, by names in one of its store's `root`s; size in bytes, 0: not looked at.

    What lies beside an index elsewhere has its whole path for a name. `sha256` is None where reading the file would
    have cost too much.
    """

    source: str
    target: str
    size: Number = 0
    mtime_ns: Number = 0
    sha256: str | None = None
    root: str = SESSIONS
    folder: bool = False
