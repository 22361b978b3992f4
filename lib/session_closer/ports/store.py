"""A store of sessions to whoever works with it, whatever keeps it: read, changed, its share of a run, its record."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from ..core import names
from ..core.budget import HashBudget
from ..core.details import Details
from ..core.effects import Effect
from ..core.errors import Refused
from ..core.export.parts import Parts
from ..core.model import PUT_AWAY, PlannedRow, Reason, Session, Snapshot, Status, Traits
from ..core.report import Outcome
from ..core.results import Results
from ..journal.record import Damaged, RestartRecord, StoreRecord
from ..journal.source import Chosen, ChosenSession
from ..system.clock import REAL, Clock
from .undo import Item, Returns

FINISHES = "the same command again finishes it"


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


@dataclass(slots=True, kw_only=True)
class Share:
    """One store's share of a run, as it goes on: what is planned, its record, and what became of each session.

    `tidied` are the results of files that belong to no session; `hashes`: how much of the files the run may still read.
    `edited`: entries are out, so a restart may be owed; `finished`: all results are said, and `give_up` has nothing to
    do. `note` and `hashes` are the ledger's.
    """

    store: Readable
    rows: list[PlannedRow]
    record: StoreRecord
    note: Callable[[StoreRecord], None]
    hashes: HashBudget
    clock: Clock = REAL
    edited: bool = False
    finished: bool = False
    results: Results = field(default_factory=Results)
    warnings: list[str] = field(default_factory=list)
    tidied: list[Outcome] = field(default_factory=list)

    def give_up(self) -> None:
        """Call nothing closed of what was under way when an error ended the run; say what is out of the store."""
        if self.finished:
            return
        self.results.unfinished(self.gone(), f"out of the store already, but not finished: {FINISHES}")

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
        self.results.archives[key] = [name for name in there if names.archived_from(name) is not None]

    def outcomes(self) -> list[Outcome]:
        """Return a result for each planned row."""
        return [*map(self._outcome, self.rows), *self.tidied]

    def _outcome(self, row: PlannedRow) -> Outcome:
        results = self.results
        became = results.became(row.key)
        archives = [os.path.join(self.store.folder, name) for name in results.archives.get(row.key, ())]
        if self.store.traits.hides:
            # Who hides a session names its archive before it has written it.
            archives = [path for path in archives if os.path.isfile(path)]
        return Outcome(
            row.given,
            row.agent,
            row.key,
            Status.FAILED if became is None else became,
            Reason.RUNNING if became is Status.REFUSED else Reason.PENDING if row.key in results.pending else None,
            row.session.session_id if row.session else None,
            row.route,
            tuple(archives),
            results.message(row.key),
            key_free={Status.CLOSED: True, Status.ARCHIVED: False}.get(became) if became is not None else None,
            effects=row.effects(self.store.traits, archived=became is Status.ARCHIVED) if became in PUT_AWAY else (),
            left=row.left if became is Status.CLOSED else (),
            parent=row.parent,
        )

    def _effects(self, row: PlannedRow, became: Status | None) -> tuple[Effect, ...]:
        if became not in PUT_AWAY:
            return ()
        return row.effects(self.store.traits, archived=became is Status.ARCHIVED)


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
        """Let go of what the record says of a store's sessions, which is durable: there may be many stores."""

    def owe(self, restart: RestartRecord) -> None:
        """Write what the run owes its gateway."""


class StoreGone(Damaged):
    """There is no store to finish a run in, as after a migration: what else the agent has is not held up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interrupted:
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

    def begins_anew(self, chosen: Sequence[Chosen]) -> str:  # noqa: ARG002
        """Return what is to be said where bringing these back begins the index anew, else ""; needs no hold."""
        return ""

    def check_back(self, share: Share, returns: Returns) -> None:  # noqa: ARG002
        """Note what a gateway that was restarted has not kept of what was brought back; needs no hold."""
        return
