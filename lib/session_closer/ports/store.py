"""What a store of sessions is to whoever works with it, whatever keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..core.model import PlannedRow
from ..journal.record import StoreRecord
from .interrupted import Interrupted
from .ledger import Ledger
from .readable import Readable
from .share import Share


class Store(Readable, Protocol):
    """One agent's sessions, to be changed: all but the first three are called while its folders are held.

    What takes a record that is not this run's own holds them itself.
    """

    def written(self, rows: Sequence[PlannedRow]) -> set[str]:
        """Return the folders that closing these sessions writes to."""

    def warm(self) -> None:
        """Begin what a change of what was read is going to need, beside whatever else goes on."""

    def has_leftovers(self) -> bool:
        """Tell whether a killed run has left something beside the store."""

    def clean(self) -> None:
        """Put that away."""

    def take_out(self, rows: Sequence[PlannedRow], ledger: Ledger, *, stamp: str, until: float) -> list[str]:
        """Close these sessions: a backup and a record first, then entries, then files; return keys that had gone.

        `stamp` is that of the archive names in the plan, `until` when to stop freeing keys (monotonic clock).
        """

    def follow_up(self, share: Share) -> None:
        """Do what follows the close of sessions once all stores are changed; needs no hold."""

    def is_lent(self, share: Share) -> bool:
        """Tell whether a session uses by now what was put away; needs no hold."""

    def look_again(self, share: Share) -> None:
        """Bring back what a session uses by now."""

    def settled(self, share: Share) -> StoreRecord:
        """Return the record with what became of each session and file."""

    def finish(self, record: StoreRecord, run: Interrupted) -> StoreRecord:
        """Return the record with what became of all that an interrupted run began, once that is rolled forward or back.

        Raises StoreGone; Damaged where what the record needs is not what it was, CloserError where it cannot be done.
        """

    def spare(self, record: StoreRecord) -> StoreRecord:
        """Bring back what a session uses by now; return a finished record without it."""

    def after_restart(self, record: StoreRecord) -> StoreRecord:
        """Return the record with what its gateway has written back, or away, at its restart; raise CloserError."""
