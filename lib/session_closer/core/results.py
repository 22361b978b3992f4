"""What became of the sessions of one store in a run, by key: each outcome has one writer."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from . import names
from .status import Status

if TYPE_CHECKING:
    from .durable import Move


class Results:
    """What became of sessions, and why where that is not what was planned.

    `archives` are the names of their archives; `pending` the keys that the next run finishes, `put_off` those that a
    later cleanup frees.
    """

    def __init__(self) -> None:
        self.archives: dict[str, list[str]] = {}
        self.pending: set[str] = set()
        self.put_off: set[str] = set()
        self._ended: dict[str, Status] = {}
        self._why: dict[str, str] = {}
        self._said: dict[str, str] = {}

    def closed(self, *keys: str) -> None:
        """These are out of the store."""
        self._ended.update(dict.fromkeys(keys, Status.CLOSED))
        self.trusted(keys)

    def archived(self, key: str, why: str | None = None, *, pending: bool = False) -> None:
        """It is hidden, and its key not free; `why` it should be, `pending`: the next run sees to that."""
        self._ended[key] = Status.ARCHIVED
        self._why.pop(key, None)
        if why is not None:
            self._why[key] = why
        if pending:
            self.pending.add(key)

    def refused(self, key: str, why: str) -> None:
        """It was left alone."""
        self._end(key, Status.REFUSED, why)

    def came_back(self, key: str, why: str) -> None:
        """It is in use again."""
        self._end(key, Status.CAME_BACK, why)

    def failed(self, key: str, why: str) -> None:
        """It is not done."""
        self._end(key, Status.FAILED, why)

    def _end(self, key: str, status: Status, why: str) -> None:
        self._ended[key], self._why[key] = status, why

    def doubted(self, keys: Iterable[str], why: str) -> None:
        """Something went wrong with these; what became of them is not known yet."""
        self._why.update(dict.fromkeys(keys, why))

    def trusted(self, keys: Iterable[str]) -> None:
        """That does not count any more: these take another route."""
        for key in keys if self._why else ():
            self._why.pop(key, None)

    def unfinished(self, keys: Iterable[str], why: str) -> None:
        """The run ends here: nothing is closed of what was under way, and these are out of the store."""
        self._ended = {key: status for key, status in self._ended.items() if status is not Status.CLOSED}
        for key in keys:
            self._why[key] = why
            self.pending.add(key)

    def told(self, key: str, what: str) -> None:
        """Something is to be said of it that is no failure."""
        self._said[key] = f"{self._said[key]}; {what}" if key in self._said else what

    def became(self, key: str) -> Status | None:
        """Return what became of a session, None while that is not known."""
        return self._ended.get(key)

    def are_plain(self, keys: Collection[str]) -> bool:
        """Tell whether these sessions are all closed, and nothing else is to be said of any of them."""
        more = (self._why.keys(), self._said.keys(), self.pending, self.put_off)
        return all(said.isdisjoint(keys) for said in more) and {Status.CLOSED}.issuperset(map(self._ended.get, keys))

    def of(self, key: str) -> Sequence[str]:
        """Return the names of a session's archives."""
        return self.archives.get(key, ())

    def why(self, key: str) -> str | None:
        """Return what went wrong with it."""
        return self._why.get(key)

    def message(self, key: str) -> str | None:
        """Return what a report says of it."""
        return self._why.get(key, "not finished" if key not in self._ended else self._said.get(key))

    def put_away(self, key: str, moves: Sequence[Move], told: set[str]) -> int:
        """Return the bytes of a session's files that have their archive names, as they were measured ahead of that.

        `told` are live names that count no more, as other sessions have the same file; it gets those of this one.
        """
        archives = self.archives.get(key, ())
        if len(archives) != len(moves):
            live = set(map(names.archived_from, archives))
            moves = [move for move in moves if move.source in live]
        size = 0
        for move in moves:
            if move.source not in told:
                told.add(move.source)
                size += move.size
        return size

    def those(self, *statuses: Status) -> set[str]:
        """Return the keys that ended so."""
        return {key for key, status in self._ended.items() if status in statuses}
