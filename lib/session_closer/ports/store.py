"""What a store of sessions is to whoever works with it, whatever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..core.model import Session, Snapshot


class Store(Protocol):
    """One agent's sessions; `index` holds them, `folder` their transcripts and archives, `place` what we lock.

    `beside` is the folder of an index elsewhere, which has transcripts, too, else "".
    """

    agent: str
    index: str
    folder: str
    beside: str

    @property
    def era(self) -> str:
        """The kind of store, as in STORES."""

    @property
    def place(self) -> str:
        """The folder of the index."""

    def read(self) -> Snapshot:
        """Return the store as it is now; raise CorruptStore or Refused."""

    def sizes(self, sessions: Sequence[Session], snapshot: Snapshot) -> dict[str, int | None]:
        """Return the bytes of the sessions' transcripts by key, None where they cannot be told; raise Refused."""
