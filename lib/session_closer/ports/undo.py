"""What is to be brought back of what was put away, what became of each part of it, and where that is known from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..core.actions import How
from ..core.effects import Effect, Lost, lost
from ..core.model import Snapshot, Status
from ..core.report import Outcome
from ..core.shown import Found

if TYPE_CHECKING:
    from ..core.durable import Move
    from ..journal.record import Mode, Off, StoreRecord
    from ..journal.source import Source

_BACK = frozenset({Status.RESTORED, Status.WOULD_RESTORE})


class Span(NamedTuple):
    """Where the entry of a file store stands in a backup beside its index: a plain name, bytes, and their sha256."""

    backup: str
    offset: int
    length: int
    sha256: str


class Item(NamedTuple):
    """One session that is to be brought back, or one file that belonged to none: it is `lone`, its name is the key.

    `entry` is its member in a file store, or its `entry_json`, "" where `span` says where that is. `moves` are the
    renames to be undone, `put_away` how it is away now. `effects` are those of the close that is undone, `left_out`
    says by kind or id why what has a way back was not brought back, `twice` what there is once too often when it is
    back. `modes` and `jobs` are what the close has recorded of its worktree and its cron jobs, `left` what else is not
    as it was.
    """

    given: str
    agent: str
    key: str
    session_id: str | None
    status: Status
    put_away: How = How.FILES
    lone: bool = False
    entry: str = ""
    span: Span | None = None
    moves: tuple[Move, ...] = ()
    error: str | None = None
    until: str | None = None
    effects: tuple[Effect, ...] = ()
    left_out: Mapping[str, str] = MappingProxyType({})
    twice: tuple[Lost, ...] = ()
    modes: tuple[Mode, ...] = ()
    jobs: tuple[Off, ...] = ()
    left: tuple[Lost, ...] = ()

    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be brought back."""
        return self.status is Status.WOULD_RESTORE

    def not_restored(self) -> tuple[Lost, ...]:
        """Return what is not as it was once it is back."""
        return (*lost(self.effects, self.put_away, self.left_out), *self.twice, *self.left)

    def outcome(self, size: int | None = None) -> Outcome:
        """Return its row of the report; `size` are the bytes that come back with it."""
        return Outcome(
            self.given,
            self.agent,
            "" if self.lone else self.key,
            self.status,
            session_id=self.session_id,
            error=None if self.is_wanted else self.error,
            until=self.until if self.is_wanted else None,
            not_restored=self.not_restored() if self.status in _BACK else self.left,
            size=size,
        )


class Returns:
    """What becomes of each session and file that is to be brought back, by agent and key: one method for each end."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: dict[str, dict[str, Item]] = defaultdict(dict)
        self.decide(items)

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable([list(own.values()) for own in self._items.values()])

    def outcomes(self) -> list[Outcome]:
        """Return their rows of the report."""
        told = set[tuple[str, str]]()
        return [item.outcome(_size(item, told)) for item in self]

    def of(self, agent: str) -> list[Item]:
        """Return those of one agent."""
        return list(self._items[agent].values())

    def get(self, agent: str, key: str) -> Item | None:
        """Return one of them, None where there is none of this key."""
        return self._items[agent].get(key)

    def decide(self, items: Iterable[Item]) -> None:
        """Note what is to become of these, which may be otherwise than before."""
        for item in items:
            # Who brings back decides anew, and the entries of all stores may be large.
            self._items[item.agent][item.key] = item._replace(entry="") if item.entry else item

    def back(self, item: Item) -> None:
        """Note that it is back."""
        self.decide([self._known(item)._replace(status=Status.RESTORED)])

    def conflict(self, item: Item, why: str) -> None:
        """Note that something else is in its place."""
        self.decide([self._known(item)._replace(status=Status.CONFLICT, error=why)])

    def failed(self, item: Item, why: str) -> None:
        """Note that it is not back."""
        self.decide([self._known(item)._replace(status=Status.FAILED, error=why)])

    def without(self, item: Item, reasons: Mapping[str, str], error: str | None = None) -> None:
        """Note what belongs to it and is not back, by kind or id; `error` where a person has to see to that."""
        known = self._known(item)
        left_out = MappingProxyType({**known.left_out, **reasons})
        self.decide([known._replace(left_out=left_out, error=known.error or error)])

    def amiss(self, item: Item, more: Sequence[Lost], error: str | None = None) -> None:
        """Note what else is not as it was; `error` where a person has to see to that."""
        known = self._known(item)
        self.decide([known._replace(left=(*known.left, *more), error=error or known.error)])

    def end(self) -> None:
        """Note that the run has not come to what is still to be brought back."""
        for item in self:
            if item.is_wanted:
                self.failed(item, item.error or "not reached")

    def _known(self, item: Item) -> Item:
        return self._items[item.agent][item.key]


def _size(item: Item, told: set[tuple[str, str]]) -> int | None:
    """Return the bytes that come back with one, as they were recorded; of a database nobody has weighed them."""
    if item.put_away in (How.ARCHIVE, How.DELETE):
        return None
    fresh = [move for move in item.moves if (item.agent, move.source) not in told]
    told.update((item.agent, move.source) for move in fresh)
    # What was not looked at when it was put away has neither.
    return None if any((move.size, move.mtime_ns) == (0, 0) for move in fresh) else sum(move.size for move in fresh)


class Past(Protocol):
    """What earlier runs, and others, have put away below one root: to be looked at without a gateway."""

    def check_unfinished(self) -> None:
        """Refuse where what an interrupted run has left could not be finished."""

    def source(self, which: str, given: str | None, *, looking: bool) -> tuple[Source, list[str]]:
        """Return what a word stands for, and what is to be said of it: a receipt, a backup, or what was found.

        `given`: the key that what was found is to get. `looking`: interrupted runs are left as they are.
        """

    def keys_before(self, store: StoreRecord) -> Collection[str]:
        """Return the keys that a store had before a run that brought sessions back, as far as that is known."""

    def snapshot(self, agent: str) -> Snapshot:
        """Return what is in an agent's store now."""

    def found(self, words: Sequence[str], most: int | None) -> tuple[list[Found], list[str]]:
        """Return what anybody has deleted or reset and one of the words names, and a line for each thing left out.

        The first `most` have the bytes of their archives, None: all of them have.
        """
