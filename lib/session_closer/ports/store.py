"""A store of sessions to whoever changes it, whatever keeps it: what is asked of it, and who keeps the record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from ..core.errors import Refused
from ..core.tuples import NamedTuple
from ..journal.record import Damaged, RestartRecord, StoreRecord
from .readable import Readable
from .share import Share

if TYPE_CHECKING:
    from ..core.budget import HashBudget
    from ..core.export.parts import Parts
    from ..core.model import PlannedRow, Session, Snapshot
    from ..journal.source import Chosen, ChosenSession
    from .undo import Item, Returns


class Ledger(Protocol):
    """What one run does to which stores: its record while it lasts, its receipt afterwards."""

    @property
    def id(self) -> str:
        """The run's id; there is one once something has been noted."""

    @property
    def started_at(self) -> str:
        """When the run began, ISO 8601, UTC."""

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""

    @property
    def shares(self) -> list[Share]:
        """The shares of the stores that were changed, in the order in which they were begun."""

    @property
    def hashes(self) -> HashBudget:
        """How much of what is renamed may still be hashed."""

    def note(self, store: StoreRecord) -> None:
        """Write what is known of a store: durable before it returns."""

    def note_first(self, store: StoreRecord) -> None:
        """Write it ahead of the first change of a store; where that fails, its backup goes again."""

    def rest(self, share: Share) -> None:
        """Let go of a finished store's rows, and of what the record says of its sessions: that is durable."""

    def whole(self, store: StoreRecord) -> StoreRecord:
        """Return a store's part of the record with what was let go of."""

    def owe(self, restart: RestartRecord) -> None:
        """Write what the run owes its gateway."""


class StoreGone(Damaged):
    """There is no store to finish a run in, as after a migration: what else the agent has is not held up."""


class Interrupted(NamedTuple):
    """A run by its id and its beginning, ISO 8601, UTC; `note` writes what is known of a store, durable.

    `young`: its last call may be under way still. Not `frees`: what it archived stays so.
    """

    id: str
    started_at: str
    young: bool
    frees: bool
    note: Callable[[StoreRecord], None]


class Store(Readable, Protocol):
    """One agent's sessions, to be changed; its folders are held, where nothing else is said.

    What takes a record that is not this run's own holds them itself, by `flock.folder`, in the order of their real
    paths. Of the methods with a body `has_leftovers` and `clean` are for each store that writes a new file beside the
    old one, the others for one that somebody else writes to meanwhile.
    """

    def written(self, rows: Sequence[PlannedRow]) -> set[str]:
        """Return the folders that closing these sessions writes to; needs no hold."""

    def take_out(self, rows: Sequence[PlannedRow], ledger: Ledger, *, stamp: str, until: float) -> list[str]:
        """Close these sessions: a backup and a record first, then entries, then files; return keys that had gone.

        Where no row is left nothing is noted. `stamp` is that of the archive names in the plan, `until` when to stop
        freeing keys (monotonic clock).
        """

    def settled(self, share: Share) -> StoreRecord:
        """Return the record with what became of each session and file."""

    def finish(self, record: StoreRecord, run: Interrupted) -> StoreRecord:
        """Return the record with what became of all that an interrupted run began, once that is rolled forward or back.

        Raises StoreGone; Damaged where what the record needs is not what it was, CloserError where it cannot be done.
        """

    def returnable(self, chosen: Sequence[Chosen]) -> list[Item]:
        """Return what would become of each of these if it were brought back now; needs no hold; raise Refused.

        WOULD_RESTORE, ALREADY_RESTORED where it is there with its session id, or CONFLICT and FAILED with an error.
        """

    def written_back(self, items: Sequence[Item]) -> list[str]:
        """Return the folders that bringing these back writes to; needs no hold."""

    def bring_back(self, chosen: Sequence[Chosen], ledger: Ledger, returns: Returns) -> None:
        """Decide again, and bring back what still can be: a record first, then files, then entries.

        The record `restores`, its sessions are PLANNED again; a share without rows goes into `ledger.shares`. What is
        back is told to `returns`: from there the receipt has it.
        """

    def parts(self, session: Session, snapshot: Snapshot, *, with_media: bool) -> AbstractContextManager[Parts]:  # noqa: ARG002
        """Give one session as it is now, with what people have sent into it or without; needs no hold.

        The streams can be read, each again and again, until that is left. Refused where this kind of store gives none.
        """
        raise Refused(f"sessions of a store of the kind {self.era} cannot be exported", name="not_exportable")

    def parts_put_away(self, chosen: ChosenSession, *, with_media: bool) -> AbstractContextManager[Parts]:  # noqa: ARG002
        """Give the same of a session that a run has put away, from its archives; needs no hold."""
        raise Refused(f"archives of a store of the kind {self.era} cannot be exported", name="not_exportable")

    def warm(self) -> None:
        """Begin what a change of what was read is going to need, beside whatever else goes on; needs no hold."""
        return

    def rest(self) -> None:
        """Keep no more of the text that was read than tells whether it has changed: it is one store of many."""
        return

    def forget(self) -> None:
        """Keep nothing of what was read."""
        return

    def has_leftovers(self) -> bool:
        """Tell whether a killed run has left something beside the store; needs no hold."""
        return False

    def clean(self) -> None:
        """Put that away."""
        return

    def follow_up(self, share: Share) -> None:  # noqa: ARG002
        """Do what follows the close of sessions once all stores are changed; needs no hold."""
        return

    def is_lent(self, share: Share) -> bool:  # noqa: ARG002
        """Tell whether a session uses by now what was put away; needs no hold."""
        return False

    def look_again(self, share: Share) -> None:  # noqa: ARG002
        """Bring back what a session uses by now."""
        return

    def spare(self, record: StoreRecord) -> StoreRecord:
        """Bring back what a session uses by now; return a finished record without it."""
        return record

    def after_restart(self, record: StoreRecord) -> StoreRecord:
        """Return the record with what its gateway has written back, or away, at its restart; raise CloserError."""
        return record

    def make_place(self) -> None:
        """Make the folder that takes sessions back, where there is none, so that it can be held; needs no hold."""
        return

    def begins_anew(self, chosen: Sequence[Chosen]) -> str:  # noqa: ARG002
        """Return what is to be said where bringing these back begins the index anew, else ""; needs no hold."""
        return ""

    def check_back(self, share: Share, returns: Returns) -> None:  # noqa: ARG002
        """Note what a gateway that was restarted has not kept of what was brought back; needs no hold."""
        return
