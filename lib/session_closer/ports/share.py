"""What a run does with one store so far: what is planned, its record, and what became of each session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING

from ..core import names
from ..core.errors import StorageFailed
from ..core.model import PlannedRow
from ..core.report import Outcome, Remainder
from ..core.results import Results
from ..core.status import PUT_AWAY, Reason, Route, Status
from ..core.tuples import NamedTuple
from ..system.clock import REAL, Clock

if TYPE_CHECKING:
    from ..core.budget import HashBudget
    from ..journal.record import StoreRecord
    from .readable import Readable

FINISHES = "the same command again finishes it"
_KEY_FREE: Mapping[Status | None, bool] = {Status.CLOSED: True, Status.ARCHIVED: False}


class _Alike(NamedTuple):
    """So many sessions that were all closed as they were planned, with so many bytes: what the record says is all."""

    number: int
    size: int


class Share:
    """One store's share of a run, as it goes on: what is planned, its record, and what became of each session.

    `tidied` are the results of files that belong to no session; `hashes`: how much of the files the run may still read.
    `edited`: entries are out, so a restart may be owed; `finished`: all results are said, and `give_up` has nothing to
    do. `note`, `whole` and `hashes` are the ledger's.

    Once it rests (`rest`) there are no rows any more, and its record is without sessions: `told` are the results as
    they were then, by key, and `whole` reads the record again. Where all ended alike there are none of these either,
    until somebody asks for what became of one of them.
    """

    def __init__(
        self,
        *,
        store: Readable,
        rows: list[PlannedRow],
        record: StoreRecord,
        note: Callable[[StoreRecord], None],
        hashes: HashBudget,
        whole: Callable[[StoreRecord], StoreRecord] = lambda record: record,
        clock: Clock = REAL,
    ) -> None:
        self.store, self.rows, self.record = store, rows, record
        self.note, self.hashes, self.whole, self.clock = note, hashes, whole, clock
        self.edited = self.finished = False
        self.warnings: list[str] = []
        self.tidied: list[Outcome] = []
        self._results, self._told = Results(), dict[str, Outcome]()
        self._alike: _Alike | None = None

    @property
    def results(self) -> Results:
        """What became of each session."""
        if self._alike is not None:
            self._wake()
        return self._results

    @property
    def told(self) -> Mapping[str, Outcome]:
        """The results as they were when it came to rest, by key."""
        if self._alike is not None:
            self._wake()
        return self._told

    @property
    def alike(self) -> int:
        """How many sessions there are, all of them closed as they were planned, where no more than that is kept."""
        return self._alike.number if self._alike is not None else 0

    def all_alike(self) -> bool:
        """Tell whether all of its sessions were closed as they were planned, so that its record says all of them."""
        return self._alike is not None or (bool(self.rows) and self._are_alike())

    @property
    def has_sessions(self) -> bool:
        """Whether the run has closed, or was to close, any session of the store."""
        return bool(self.rows or self.has_rested)

    @property
    def has_rested(self) -> bool:
        """Whether no more is kept of its sessions than what is told of them."""
        return bool(self._alike or self._told)

    def rest(self, bare: StoreRecord) -> None:
        """Keep of a store that is finished its results and the record as it is given here: there may be many stores."""
        self._alike = self._in_short()
        if self._alike is not None:
            self._results = Results()
        else:
            self._told = {row.key: row for row in self._outcomes()}
            self._results.archives.clear()
        self.rows, self.record = [], bare

    def _in_short(self) -> _Alike | None:
        """Return the sessions as their number where of none more is to be said than what its record says."""
        if not self._are_alike():
            return None
        # A file that several have is counted with the first of them.
        sizes = {
            move.source: move.size for session in reversed(self.record.sessions) for move in reversed(session.moves)
        }
        return _Alike(len(self.rows), sum(sizes.values()))

    def _are_alike(self) -> bool:
        """Tell whether of none of the sessions, which may be none, more is to be said than what its record says."""
        rows, sessions, results = self.rows, self.record.sessions, self._results
        # One look at each is much where there are tens of thousands, so all are looked at for one thing at a time.
        keys = [row.key for row in rows]
        if self.store.traits.hides or keys != [session.key for session in sessions] or not results.are_plain(keys):
            return False
        # What has an effect has something attached.
        if not all(map(_is_plain, rows)):
            return False
        if [row.route for row in rows] != [session.route for session in sessions]:
            return False
        targets = {session.key: [move.target for move in session.moves] for session in sessions if session.moves}
        return targets == {key: archives for key, archives in results.archives.items() if archives}

    def _wake(self) -> None:
        """Read again what became of sessions that ended alike."""
        self._told = {row.key: row for row in self._recorded()}
        self._results.closed(*self._told)
        self._alike = None

    def _recorded(self) -> Iterator[Outcome]:
        """Give the results of sessions that ended alike, as the record has them; raise OSError, or StorageFailed."""
        counted = set[str]()
        for session in self.whole(self.record).sessions:
            fresh = [move for move in session.moves if move.source not in counted]
            counted.update(move.source for move in fresh)
            yield Outcome(
                session.key,
                self.store.agent,
                session.key,
                Status.CLOSED,
                session_id=session.session_id,
                route=Route(session.route),
                archives=tuple([self._path(move.target) for move in session.moves]),
                key_free=_KEY_FREE[Status.CLOSED],
                size=sum([move.size for move in fresh]),
            )

    def _first(self, most: int | None = None) -> list[Outcome]:
        """Return so many of these at most, none where the record cannot be read any more."""
        try:
            return list(islice(self._recorded(), most))
        except (StorageFailed, OSError):
            return []

    def _path(self, name: str) -> str:
        return name if name.startswith("/") else f"{self.store.folder}/{name}"

    def archives_of(self, key: str) -> Sequence[str]:
        """Return the names of a session's archives, the whole paths of those beside an index elsewhere."""
        if key in self.results.archives or key not in self.told:
            return self.results.of(key)
        folder = f"{self.store.folder}/"
        names_of = [(path.removeprefix(folder), path) for path in self.told[key].archives]
        return [path if "/" in name else name for name, path in names_of]

    def planned_keys(self, *routes: Route) -> list[str]:
        """Return the keys of the sessions that were to be closed by these routes, by any where none is given.

        Raises OSError, or StorageFailed, where the record cannot be read that alone holds them.
        """
        told = self._recorded() if self._alike is not None else self._told.values()
        rows: Iterable[PlannedRow | Outcome] = chain(self.rows, told)
        return [row.key for row in rows if not routes or row.route in routes]

    def told_keys(self) -> list[str]:
        """Return the keys of those of which more can be told than their number: none where the record is lost."""
        return [row.key for row in self._first()] if self._alike is not None else self.planned_keys()

    def closed_keys(self, *routes: Route) -> list[str]:
        """Return those of them that are closed."""
        keys = self.planned_keys(*routes)
        return keys if self.alike else [key for key in keys if self.results.became(key) is Status.CLOSED]

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
        return self.first_outcomes(None)[0]

    def first_outcomes(self, most: int | None) -> tuple[list[Outcome], list[Remainder]]:
        """Return a result for each planned row, of those that all ended alike of so many, and what there is beside."""
        alike = self._alike
        if alike is None and most is not None and most < len(self.rows):
            # A result of each of tens of thousands would cost more than all that is said of them.
            alike = self._in_short()
        if alike is None:
            return [*map(self._told_now, self._told.values()), *self._outcomes(), *self.tidied], []
        number, size = alike
        if self._alike is None:
            rows = list(islice(self._outcomes(), most))
        else:
            # What the run has done is told all the same where its record cannot be read any more: by its number.
            rows = self._first(most) if most is None or most > 0 else []
        left = [Remainder(Status.CLOSED, number - len(rows), size - sum([row.size or 0 for row in rows]))]
        return [*rows, *self.tidied], left if len(rows) < number else []

    def _outcomes(self) -> Iterator[Outcome]:
        """Yield a result for each row that does not rest, with the bytes of its files that were put away.

        One that stays has those that it has in all, where they were to go.
        """
        moves = {session.key: session.moves for session in self.record.sessions}
        counted = set[str]()
        for row in self.rows:
            own = moves.get(row.key, ())
            size: int | None = self.results.put_away(row.key, own, counted)
            if self.results.became(row.key) not in PUT_AWAY:
                size = sum([move.size for move in own]) if own else None
            yield self._outcome(row, size)

    def _told_now(self, row: Outcome) -> Outcome:
        """Return a result as it is now: since it was told the session may have come back, or a file of it."""
        results = self.results
        became, why = results.became(row.key), results.message(row.key)
        if (became, why) == (row.status, row.error) and row.key not in results.archives:
            return row
        archives = tuple(os.path.join(self.store.folder, name) for name in self.archives_of(row.key))
        return row._replace(
            status=Status.FAILED if became is None else became,
            archives=archives,
            error=why,
            key_free=_KEY_FREE.get(became),
            effects=row.effects if became in PUT_AWAY else (),
            left=row.left if became is Status.CLOSED else (),
            # What each file had was let go of; what stays after all has all that was put away of it.
            size=row.size if len(archives) == len(row.archives) or became not in PUT_AWAY else None,
        )

    def _outcome(self, row: PlannedRow, size: int | None) -> Outcome:
        results = self.results
        became, archives = results.became(row.key), [self._path(name) for name in results.of(row.key)]
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
            key_free=_KEY_FREE.get(became),
            effects=row.effects(self.store.traits, archived=became is Status.ARCHIVED)
            if row.attached and became in PUT_AWAY
            else (),
            left=row.left if became is Status.CLOSED else (),
            parent=row.parent,
            size=size,
        )


def _is_plain(row: PlannedRow) -> bool:
    """Tell whether all that is to be said of a planned session, once it is closed, may stand in its record."""
    return row.key == row.given and not (row.attached or row.left or row.parent)
