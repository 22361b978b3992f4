"""One run as it goes on: what was asked, what was found, and its journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from . import __version__, journal, locks
from .files import Disk
from .gateway.sessions import Gateway
from .home import Home
from .model import GatewayView, Options, Snapshot, Wish
from .record import RunRecord, StoreRecord, with_store
from .stores.files import FileStore
from .work import Work


@dataclass(slots=True)
class Run:
    """What the steps of one run share."""

    home: Home
    wish: Wish
    options: Options
    disk: Disk
    tell: Callable[[str], None]
    progress: Callable[[int, int], None]
    gateway: Gateway
    view: GatewayView = field(default_factory=GatewayView)
    stores: dict[str, FileStore] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    record: RunRecord | None = None
    journal: journal.Journal | None = None

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""
        return journal.receipt_path(self.home.state, self.record.id) if self.record else None

    def warn(self, *warnings: str) -> None:
        """Keep warnings for the report, each once."""
        self.warnings += [warning for warning in dict.fromkeys(warnings) if warning not in self.warnings]

    def note(self, store: StoreRecord) -> None:
        """Write the journal: before the first change of a store, and whenever a name in it changes."""
        if self.record is None or self.journal is None:
            self.record = self._first_record(store)
            self.journal = journal.Journal(self.disk, self.home.state, self.record.id)
            self.journal.begin(self.record)
        else:
            self.record = with_store(self.record, store)
            self.journal.write(self.record)

    def _first_record(self, store: StoreRecord) -> RunRecord:
        return RunRecord(
            id=journal.new_id(journal.now()),
            operation=self.wish.operation,
            tool=__version__,
            started_at=locks.iso_now(),
            state_dir=self.home.state,
            by={"uid": os.getuid(), "pid": os.getpid(), "host": os.uname().nodename},
            reason=self.options.reason,
            stores=(store,),
        )
