"""A store of sessions as whoever only looks at it knows it, whatever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..core.model import Session, Snapshot, Traits


class Readable(Protocol):
    """One agent's sessions, to be looked at.

    `index` holds them, `folder` their transcripts and archives, `place` is what we lock, `beside` the folder of an
    index elsewhere, which has transcripts, too, else "".
    """

    agent: str
    index: str
    folder: str
    beside: str

    @property
    def traits(self) -> Traits:
        """How it differs from other kinds of store."""

    @property
    def era(self) -> str:
        """The kind of store, as reports and records name it."""

    @property
    def place(self) -> str:
        """The folder of the index."""

    def read(self) -> Snapshot:
        """Return the store as it is now; raise CorruptStore or Refused."""

    def sizes(self, sessions: Sequence[Session], snapshot: Snapshot) -> dict[str, int | None]:
        """Return the bytes of the sessions' transcripts by key, None where they cannot be told; raise Refused."""
