"""The file store as an operation changes it: every method in a few lines, out of the modules beside this one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ...artifacts.measuring import Hash
from ...core import names
from ...core.model import PlannedRow, Session, Snapshot
from ...core.status import Status
from ...ports.store import Interrupted, Ledger, Store
from .store import FileStore

if TYPE_CHECKING:
    from ...core.export.parts import Parts
    from ...journal.record import StoreRecord
    from ...journal.source import Chosen, ChosenSession
    from ...ports.share import Share
    from ...ports.undo import Item, Returns
    from ..installation import Installation
    from .returnable import Before


class Files(FileStore, Store):
    """One agent's `sessions.json` and transcripts, in an installation that a run works on."""

    def __init__(self, here: Installation, agent: str) -> None:
        super().__init__(here.home, agent)
        self._here = here
        self._before: Before | None = None

    def written(self, rows: Sequence[PlannedRow]) -> set[str]:
        """Return the folders that closing these sessions writes to."""
        # A session without a file may be of an agent without a folder.
        has_files = any("/" not in move.source for row in rows for move in row.moves)
        return {self.place, self.folder} if has_files else {self.place}

    def parts(self, session: Session, snapshot: Snapshot, *, with_media: bool) -> AbstractContextManager[Parts]:
        """Give one session as it is now: its files, and its entry."""
        from . import parts  # only an export reads whole sessions

        return parts.parts(self._here.home, self, session, snapshot, with_media=with_media)

    def parts_put_away(self, chosen: ChosenSession, *, with_media: bool) -> AbstractContextManager[Parts]:
        """Give a session that a run has put away: its archives, and its entry."""
        from . import parts  # only an export reads whole sessions

        return parts.put_away(self._here.home, self, chosen, with_media=with_media)

    def warm(self) -> None:
        """Begin to hash what was read: its backup is going to need that."""
        if self.document is not None:
            self.made = Hash(self.document.raw)

    def rest(self) -> None:
        """Keep of what was read its hash, and where each entry stands in it."""
        self.fold()

    def has_leftovers(self) -> bool:
        """Tell whether a killed run has left something beside the store."""
        return any(os.path.lexists(self.index + ending) for ending in (names.FRESH, names.SWAP))

    def clean(self) -> None:
        """Put that away."""
        # The names of a large folder are not asked for without need.
        if not self.has_leftovers():
            return
        from . import commit

        stamp = names.free_stamp(self._here.context.clock.now(), os.listdir(self.place))
        name = names.backup_name(os.path.basename(self.index), stamp)
        commit.clean(self._here.disk, commit.Place(self.index, name, commit.unnoted, commit.unnoted, self._here.warn))

    def take_out(self, rows: Sequence[PlannedRow], ledger: Ledger, *, stamp: str, until: float) -> list[str]:  # noqa: ARG002
        """Close these sessions; a file store has no key that vanishes in between."""
        from . import change  # what changes a store is not loaded to look at one

        change.take_out(self._here, ledger, self, list(rows), stamp=stamp, made=self.made)
        return []

    def follow_up(self, share: Share) -> None:
        """Switch off the cron jobs that are bound to what was closed."""
        if self._here.options.with_jobs:
            from ..attached import jobs

            jobs.switch_off(self._here, share, share.results.those(Status.CLOSED))

    def is_lent(self, share: Share) -> bool:
        """Tell whether a session uses by now what was put away."""
        from . import archive
        from .share import FileShare

        return isinstance(share, FileShare) and bool(archive.borrowed(share))

    def look_again(self, share: Share) -> None:
        """Bring back what a session uses by now."""
        from . import archive
        from .share import FileShare

        if isinstance(share, FileShare):
            archive.look_again(self._here.disk, share)

    def settled(self, share: Share) -> StoreRecord:
        """Return the record with what became of each session and file."""
        from .share import FileShare, settled

        return settled(share) if isinstance(share, FileShare) else share.record

    def finish(self, record: StoreRecord, run: Interrupted) -> StoreRecord:
        """Return the record with what became of all that an interrupted run began here."""
        from . import recover

        return recover.finish(self._here, record, run)

    def spare(self, record: StoreRecord) -> StoreRecord:
        """Return a finished record without the files that a session has taken into use since."""
        from . import recover

        return recover.look_again(self._here, record)

    def after_restart(self, record: StoreRecord) -> StoreRecord:
        """Return the record with what the gateway has written back, or away, at its restart."""
        from . import archive

        return archive.look_again_at(self._here.disk, self._here.home, record)

    def returnable(self, chosen: Sequence[Chosen]) -> list[Item]:
        """Return what would become of each of these if it were brought back now."""
        from . import returnable

        _, items, self._before = returnable.look(self._here.home, self, chosen, is_last=self._here.options.dry_run)
        return items

    def make_place(self) -> None:
        """Make the folder of the index, which an agent may have lost, or never had where an export comes back."""
        from ..undo import make_folder

        make_folder(self._here.disk, self.place)

    def begins_anew(self, chosen: Sequence[Chosen]) -> str:
        """Return what is to be said where bringing these back begins the index anew, else ""."""
        from . import index, returnable

        why = index.lost(self.index) if returnable.begins(chosen) else None
        return "" if why is None else f"{self.index} {why}: a new one would be begun, and what is there moved aside"

    def written_back(self, items: Sequence[Item]) -> list[str]:
        """Return the folders that bringing these back writes to."""
        return [self.place, self.folder] if any(item.moves for item in items) else [self.place]

    def bring_back(self, chosen: Sequence[Chosen], ledger: Ledger, returns: Returns) -> None:
        """Bring files back, then entries."""
        from . import restore

        restore.restore_store(self._here, ledger, self, chosen, returns, before=self._before)
        self._before = None

    def check_back(self, share: Share, returns: Returns) -> None:
        """Note what a gateway that was restarted has written away again."""
        from . import restore
        from .share import FileShare

        if isinstance(share, FileShare):
            restore.look_again(share, returns)
