"""What was put away below one state directory, as far as it is known without a gateway: receipts, backups, finds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from ..core.durable import SESSIONS
from ..core.model import Snapshot
from ..core.shown import Found
from ..journal import history, receipts
from ..journal.record import StoreRecord
from ..journal.source import Source
from ..system import files
from ..system.clock import Clock
from . import access, found, from_backup, from_bundle, from_found, owner, stores
from .files.store import FileStore, check, read_index
from .home import Home
from .sqlite.store import SqliteStore


class OpenClawPast:
    """What earlier runs, and others, have put away of one OpenClaw."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    def check_unfinished(self) -> None:
        """Refuse where what an interrupted run has left could not be finished."""
        access.check_unfinished(self._home, [])

    def source(self, which: str, given: str | None) -> tuple[Source, list[str]]:
        """Return what a word stands for, and what is to be said of it: a receipt, a backup, a bundle, or a find."""
        if which.startswith(from_found.PREFIX):
            return from_found.from_found(self._home, which, given, self._places, self._clock)
        if which != receipts.LAST and os.path.isdir(which):
            return from_bundle.from_bundle(self._home, which)
        if ".bak-" in os.path.basename(which):
            return from_backup.from_backup(self._home, which), []
        return receipts.choose(self._home.state, which, self._places), []

    def _places(self, store: StoreRecord) -> tuple[str, Mapping[str, str]]:
        """Return the index that a store of a receipt has here, "" for another kind, and the folders of its files."""
        indexes = {FileStore.era: self._home.index, SqliteStore.era: self._home.database}
        index = indexes[store.era](store.agent) if store.era in indexes else ""
        return index, {SESSIONS: self._home.folder(store.agent)}

    def keys_before(self, store: StoreRecord) -> frozenset[str]:
        """Return the keys that a file store had before a run, as far as its backup is there; Refused: unreadable."""
        if store.era != FileStore.era or store.backup is None:
            return frozenset()
        path = os.path.join(os.path.dirname(store.path), store.backup)
        return frozenset(check(read_index(path)[0], path).members) if files.exists(path) else frozenset()

    def snapshot(self, agent: str) -> Snapshot:
        """Return what is in an agent's store now."""
        store = stores.detect(self._home, agent)
        return store.read() if store is not None else stores.absent(self._home, agent)

    def found(self, words: Sequence[str], most: int | None) -> tuple[list[Found], list[str]]:
        """Return what anybody has deleted or reset and one of the words names, and a line for each thing left out."""
        everything, warnings = found.look(self._home)
        wanted = [find for find in everything if found.matches(find, words)]
        sized = wanted[:most]
        shown = [found.with_size(find) for find in sized] + [find.shown for find in wanted[len(sized) :]]
        exposed = owner.exposure(self._home, history.folders(self._home.state))
        return shown, [*warnings, *exposed]
