"""The one thing of a run that changes: its record, and the shares of the stores that it has changed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING

from .. import __version__
from ..core.budget import HashBudget
from ..core.wish import Options
from ..journal import clocks, history, journal
from ..journal.journal import Journal
from ..journal.record import By, Damaged, RestartRecord, RunRecord, StoreRecord, with_store
from ..system import files
from ..system.clock import REAL, Clock
from ..system.disk import Disk

if TYPE_CHECKING:
    from ..ports.share import Share


class Transaction:
    """The record of a run below a state directory, begun with the first note; `shares` are what it has changed."""

    def __init__(self, disk: Disk, state: str, operation: str, reason: str | None = None, clock: Clock = REAL) -> None:
        self.disk, self.state, self.operation, self.reason, self.clock = disk, state, operation, reason, clock
        self.record: RunRecord | None = None
        self.journal: Journal | None = None
        self.shares: list[Share] = []
        self.hashes = HashBudget()
        self._rested: dict[tuple[str, str], frozenset[str]] = {}

    @property
    def id(self) -> str:
        """The run's id."""
        assert self.record is not None
        return self.record.id

    @property
    def started_at(self) -> str:
        """When the run began, ISO 8601, UTC."""
        assert self.record is not None
        return self.record.started_at

    @property
    def receipt(self) -> str | None:
        """Where the receipt is, or will be; None while nothing has been changed."""
        return history.receipt_path(self.state, self.record.id) if self.record else None

    def undo(self, options: Options) -> str | None:
        """Return the command that undoes the run, None while nothing has been changed."""
        return f"{options.undo} {self.record.id}" if self.record and options.undo else None

    def begin(self, *stores: StoreRecord) -> None:
        """Begin the record, unless it has been begun."""
        if self.record is not None and self.journal is not None:
            return
        boot, up = clocks.uptime()
        record = RunRecord(
            id=journal.new_id(self.clock.now()),
            sequence=history.next_sequence(self.state),
            boot=boot,
            uptime=up,
            operation=self.operation,
            tool=__version__,
            started_at=self.clock.iso_now(),
            state_dir=self.state,
            by=By(os.getuid(), os.getpid(), os.uname().nodename),
            reason=self.reason,
            stores=stores,
        )
        begun = Journal(self.disk, self.state, record.id)
        begun.check(record)
        self.record, self.journal = record, begun
        try:
            begun.begin(record)
        except BaseException:
            if begun.withdraw():
                self.record = self.journal = None
            raise

    def note_first(self, store: StoreRecord) -> None:
        """Write the record before the first change of a store; where that fails, its backup is no use to anybody."""
        try:
            self.note(store)
        except BaseException:
            if store.backup is not None and not self._names_backup(store):
                files.remove(self.disk, [os.path.join(os.path.dirname(store.path), store.backup)])
            raise

    def _names_backup(self, store: StoreRecord) -> bool:
        """Tell whether the record names a store's backup, or may do so."""
        try:
            known = self.journal.read() if self.journal is not None else None
        except (OSError, Damaged):
            return True
        if known is None:
            return self.journal is not None
        return any((each.path, each.backup) == (store.path, store.backup) for each in known.stores)

    def note(self, store: StoreRecord) -> None:
        """Write what is known of a store: before its first change, and whenever a name in it changes."""
        if self.record is None or self.journal is None:
            self.begin(store)
            return
        # What was let go of would be lost.
        assert store.sessions or (store.path, store.agent) not in self._rested
        record = with_store(self.record, store)
        if not _holds(self.record, store):
            self.journal.check(record)
        self.record = record
        self.journal.write(record)

    def rest(self, share: Share) -> None:
        """Keep no more of a finished store than its results: the disk has what the record says of its sessions."""
        if self.record is None or self.journal is None:
            return
        bare = self.journal.rest(share.record)
        if bare is not share.record:
            # What is told of a close has its keys.
            keys = () if share.rows else (session.key for session in share.record.sessions)
            self._rested[bare.path, bare.agent] = frozenset(keys)
            self.record = with_store(self.record, bare)
            share.rest(bare)

    def whole(self, store: StoreRecord) -> StoreRecord:
        """Return a store's part of the record with what was let go of; raise OSError, or StorageFailed: not read."""
        return self.journal.whole(store) if self.journal is not None else store

    def recorded(self) -> Callable[[str, str], bool]:
        """Return what tells of an agent and a key whether the record speaks of that session."""
        found: dict[str, list[Collection[str]]] = defaultdict(list)
        for (_, agent), keys in self._rested.items():
            found[agent].append(keys)
        for store in self.record.stores if self.record is not None else ():
            found[store.agent].append(frozenset(session.key for session in store.sessions))

        @cache
        def rested(agent: str) -> Collection[str]:
            own = [share.told_keys() for share in self.shares if share.store.agent == agent and share.has_rested]
            return frozenset(chain.from_iterable(own))

        def is_recorded(agent: str, key: str) -> bool:
            return any(key in keys for keys in found.get(agent, ())) or key in rested(agent)

        return is_recorded

    def drop(self) -> None:
        """Remove the record of a run that has changed nothing, so that the run is none."""
        if self.journal is not None:
            self.journal.drop()
        self.forget()

    def forget(self) -> None:
        """Let a run that has changed nothing be none, once its record is removed."""
        self.record = self.journal = None

    def owe(self, restart: RestartRecord) -> None:
        """Write what the run owes its gateway."""
        assert self.record is not None
        assert self.journal is not None
        self.record = self.record.but(restart=restart)
        self.journal.write(self.record)

    def release(self) -> None:
        """Let others take the record, where it has not become a receipt."""
        if self.journal is not None:
            self.journal.release()


def _holds(record: RunRecord, store: StoreRecord) -> bool:
    return any((known.path, known.agent) == (store.path, store.agent) for known in record.stores)
