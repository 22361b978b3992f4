"""The SQLite store as an operation changes it: every method in a few lines, out of the modules beside this one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ...core.actions import How
from ...ports.store import Interrupted, Ledger, Store
from .store import SqliteStore

if TYPE_CHECKING:
    from ...core.export.parts import Parts
    from ...core.model import PlannedRow, Session, Snapshot
    from ...journal.record import StoreRecord
    from ...journal.source import Chosen, ChosenSession
    from ...ports.share import Share
    from ...ports.undo import Item, Returns
    from ..installation import Installation


class Database(SqliteStore, Store):
    """One agent's session database, in an installation that a run works on.

    Only its gateway changes it, which knows who uses what: nothing is left beside it, and nothing is to be looked at
    again. Cron jobs are switched off between archiving and deletion.
    """

    def __init__(self, here: Installation, agent: str) -> None:
        super().__init__(here.home, agent)
        self._here = here

    def parts(self, session: Session, _: Snapshot, *, with_media: bool) -> AbstractContextManager[Parts]:
        """Give one session as it is now: its rows of one moment."""
        from . import parts  # only an export reads whole sessions

        return parts.parts(self._here.home, self, session, with_media=with_media)

    def parts_put_away(self, chosen: ChosenSession, *, with_media: bool) -> AbstractContextManager[Parts]:
        """Give a session that a run has put away: its rows where they are hidden, else what is archived of it."""
        from . import parts  # only an export reads whole sessions

        return parts.put_away(self._here.home, self, chosen, with_media=with_media)

    def written(self, _: Sequence[PlannedRow]) -> set[str]:
        """Return no folder: the gateway writes."""
        return set()

    def take_out(self, rows: Sequence[PlannedRow], ledger: Ledger, *, stamp: str, until: float) -> list[str]:  # noqa: ARG002
        """Have the gateway archive these sessions, and delete those whose keys are freed; return keys that had gone."""
        from . import change  # what changes a store is not loaded to look at one

        found = self.rows([row.key for row in rows])
        left = [row for row in rows if row.key in found]
        if left:
            change.take_out(self._here, ledger, self, left, found, free_by=until)
        return [row.key for row in rows if row.key not in found]

    def settled(self, share: Share) -> StoreRecord:
        """Return the record with what became of each session, its archives and what else the close has changed."""
        from . import close

        return close.settled(share)

    def finish(self, record: StoreRecord, run: Interrupted) -> StoreRecord:
        """Return the record with what became of all that an interrupted run began here."""
        from . import recover

        return recover.finish(self._here, self, record, run)

    def returnable(self, chosen: Sequence[Chosen]) -> list[Item]:
        """Return what would become of each of these if it were brought back now."""
        from . import returnable

        return returnable.coming_back(self._here.home, self, chosen)

    def written_back(self, items: Sequence[Item]) -> list[str]:
        """Return the folder that the transcripts of deleted sessions are written to."""
        return [self.folder] if any(item.moves and item.put_away is not How.ARCHIVE for item in items) else []

    def bring_back(self, chosen: Sequence[Chosen], ledger: Ledger, returns: Returns) -> None:
        """Have the gateway take sessions out of the archive, and OpenClaw import those that were deleted."""
        from . import restore

        restore.restore_store(self._here, ledger, self, chosen, returns)
