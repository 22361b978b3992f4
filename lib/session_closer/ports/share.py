"""One store's share of a run: what is planned, what has become of it, and its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ..core import names
from ..core.budget import HashBudget
from ..core.effects import Effect
from ..core.model import PUT_AWAY, PlannedRow, Reason, Status
from ..core.planning import effects_of
from ..core.report import Outcome
from ..journal.record import StoreRecord
from .readable import Readable

FINISHES = "the same command again finishes it"


@dataclass(slots=True, kw_only=True)
class Share:
    """One store's share of a run, as it goes on; `archives` are names in the store's folder.

    `tidied` are the results of files that belong to no session, `pending` the keys that the next run finishes,
    `put_off` those that a later cleanup frees, `left_on` what is to be said of cron jobs that were not switched off;
    `hashes`: how much of the files the run may still read.
    """

    store: Readable
    rows: list[PlannedRow]
    record: StoreRecord
    note: Callable[[StoreRecord], None]
    hashes: HashBudget
    edited: bool = False
    finished: bool = False
    outcome: dict[str, Status] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)
    archives: dict[str, list[str]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    tidied: list[Outcome] = field(default_factory=list)
    pending: set[str] = field(default_factory=set)
    put_off: set[str] = field(default_factory=set)
    left_on: dict[str, str] = field(default_factory=dict)

    def give_up(self) -> None:
        """Call nothing closed of what was under way when an error ended the run; say what is out of the store."""
        if self.finished:
            return
        self.outcome = {key: status for key, status in self.outcome.items() if status is not Status.CLOSED}
        for key in self.gone():
            self.error[key] = f"out of the store already, but not finished: {FINISHES}"
            self.pending.add(key)

    def gone(self) -> list[str]:
        """Return which of the sessions are out of the store, as far as it can be read."""
        return []

    def note_archives(self, key: str, paths: Iterable[str]) -> None:
        """Note the archives that a gateway names which are there: it may have another name for the folder."""
        beside = self.store.beside
        # A gateway in a container calls both folders by other names.
        there = [
            name
            for path in map(os.path.basename, paths)
            for name in (path, *([os.path.join(beside, path)] if beside else []))
            if os.path.isfile(os.path.join(self.store.folder, name))
        ]
        self.archives[key] = [name for name in there if names.archived_from(name) is not None]

    def outcomes(self) -> list[Outcome]:
        """Return a result for each planned row."""
        return [*map(self._outcome, self.rows), *self.tidied]

    def _outcome(self, row: PlannedRow) -> Outcome:
        became = self.outcome.get(row.key)
        archives = [os.path.join(self.store.folder, name) for name in self.archives.get(row.key, ())]
        if self.store.traits.hides:
            # Who hides a session names its archive before it has written it.
            archives = [path for path in archives if os.path.isfile(path)]
        return Outcome(
            row.given,
            row.agent,
            row.key,
            Status.FAILED if became is None else became,
            Reason.RUNNING if became is Status.REFUSED else Reason.PENDING if row.key in self.pending else None,
            row.session.session_id if row.session else None,
            row.route,
            tuple(archives),
            self.error.get(row.key, "not finished" if became is None else self.left_on.get(row.key)),
            key_free={Status.CLOSED: True, Status.ARCHIVED: False}.get(became) if became is not None else None,
            effects=effects_of(row, self.store.traits, archived=became is Status.ARCHIVED)
            if became in PUT_AWAY
            else (),
            left=row.left if became is Status.CLOSED else (),
        )

    def _effects(self, row: PlannedRow, became: Status | None) -> tuple[Effect, ...]:
        if became not in PUT_AWAY:
            return ()
        return effects_of(row, self.store.traits, archived=became is Status.ARCHIVED)
