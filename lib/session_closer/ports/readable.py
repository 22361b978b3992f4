"""What a store is to whoever only looks at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.details import Details
    from ..core.model import Session, Snapshot, Traits


class Readable(Protocol):
    """One agent's sessions, to be looked at.

    `index` holds them, `folder` their transcripts and archives, `place` is what we lock, `beside` the folder of an
    index elsewhere, which has transcripts, too, else "". `traits`, `era` ([a-z], 16 letters at most) and `place` are
    properties, or attributes of the class.
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

    def details(self, keys: Iterable[str]) -> Mapping[str, Details]:
        """Return what these sessions are called and have used, by key, as of the last `read`; raise Refused.

        A store that knows nothing of it leaves them out.
        """
        del keys
        return {}
