"""What is to be brought back of what was put away, and what became of each part of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..core.actions import How
from ..core.effects import Effect, Lost, lost
from ..core.errors import StorageFailed
from ..core.report import Outcome, Remainder, together, total
from ..core.status import Status
from ..core.tuples import NamedTuple
from ..core.value import Value
from ..journal.source import ChosenSession, Span

if TYPE_CHECKING:
    from ..core.durable import Move
    from ..journal.record import Mode, Off
    from ..journal.source import Chosen

_BACK = frozenset({Status.RESTORED, Status.WOULD_RESTORE})
_NOT_REACHED = "not reached"


class Item(Value, frozen=True):
    """One session that is to be brought back, or one file that belonged to none: it is `lone`, its name is the key.

    `entry` is its member in a file store, or its `entry_json`, "" where `span` says where that is. `moves` are the
    renames to be undone, `put_away` how it is away now. `effects` are those of the close that is undone, `left_out`
    says by kind or id why what has a way back was not brought back, `twice` what there is once too often when it is
    back. `modes` and `jobs` are what the close has recorded of its worktree and its cron jobs, `left` what else is not
    as it was, `astray` the transcript that comes back with another agent's session. `as_recorded`: but for its entry
    and `until` it is what `recorded_item` makes of what was chosen.
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
    as_recorded: bool = False
    astray: str = ""

    @property
    def is_wanted(self) -> bool:
        """Whether it is still to be brought back."""
        return self.status is Status.WOULD_RESTORE

    def not_restored(self) -> tuple[Lost, ...]:
        """Return what is not as it was once it is back."""
        return (*lost(self.effects, self.put_away, self.left_out), *self.twice, *self.left)

    def outcome(self, size: int | None = None) -> Outcome:
        """Return its row of the report; `size` are the bytes that come back with it."""
        is_wanted = self.is_wanted
        return Outcome(
            self.given,
            self.agent,
            "" if self.lone else self.key,
            self.status,
            session_id=self.session_id,
            error=None if is_wanted else self.error,
            until=self.until if is_wanted else None,
            not_restored=self.not_restored() if self.status in _BACK else self.left,
            size=size,
        )


def recorded_item(one: ChosenSession, agent: str, until: str | None = None) -> Item:
    """Return what is to be brought back of a file store where all is as the record of a session says."""
    session, backup = one.session, one.store.backup
    held = session.entry is not None or backup is None
    return Item(
        one.given, agent, session.key, session.session_id, Status.WOULD_RESTORE, moves=session.moves,
        until=until, effects=session.effects, jobs=session.jobs, as_recorded=True,
        span=None if held else Span(str(backup), session.offset, session.length, session.sha256),
    )  # fmt: skip


class _Lot(NamedTuple):
    """Sessions of an agent that all end alike: how many, their bytes, one that stands for all, and what makes them."""

    like: Item
    number: int
    size: int | None
    anew: Callable[[], Iterable[Chosen]]

    def items(self) -> Iterator[Item]:
        """Give each of them, made anew; raise StorageFailed."""
        like = self.like
        for one in self.anew():
            if isinstance(one, ChosenSession):
                made = recorded_item(one, like.agent)
                yield made.but(status=like.status, until=like.until, error=like.error)

    def outcomes(self, most: int | None) -> tuple[list[Outcome], list[Remainder]]:
        """Return the rows of so many at most, and what there is beside them."""
        try:
            # What has gone wrong is told of each.
            rows = _outcomes(islice(self.items(), most if self.like.error is None else None))
        except StorageFailed:
            # What a run has done is told all the same, by one of them and their number.
            if self.like.is_wanted:
                raise
            rows = _outcomes([self.like])
        if len(rows) == self.number:
            return rows, []
        shown = total([row.size for row in rows])
        left = None if self.size is None or shown is None else self.size - shown
        return rows, [Remainder(self.like.status, self.number - len(rows), left)]


class Returns:
    """What becomes of each session and file that is to be brought back, by agent and key: one method for each end."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items: dict[str, dict[str, Item] | _Lot] = {}
        self.decide(items)

    def __iter__(self) -> Iterator[Item]:
        return chain.from_iterable(map(self.of, list(self._items)))

    def outcomes(self, most: int | None = None) -> tuple[list[Outcome], tuple[Remainder, ...]]:
        """Return their rows of the report, and what there is beside them, each told by its number alone.

        These are sessions of which nothing is to be said, after `most` others of their status, None: there are none.
        """
        rows: list[Outcome] = []
        untold: list[Remainder] = []
        shown: Counter[Status] = Counter()
        for own in self._items.values():
            if isinstance(own, _Lot):
                more, left = own.outcomes(None if most is None else max(0, most - shown[own.like.status]))
                untold += left
            else:
                more = _outcomes(own.values())
            shown.update(row.status for row in more)
            rows += more
        return rows, together(untold)

    def of(self, agent: str) -> list[Item]:
        """Return those of one agent."""
        own = self._items.get(agent, {})
        return list(own.items() if isinstance(own, _Lot) else own.values())

    def get(self, agent: str, key: str) -> Item | None:
        """Return one of them, None where there is none of this key."""
        return self._awake(agent).get(key)

    def ended(self, agent: str, key: str) -> Status | None:
        """Return what becomes of one of them, None where there is none of this key."""
        own = self._items.get(agent, {})
        if isinstance(own, _Lot):
            return own.like.status
        return own[key].status if key in own else None

    def rest(self, agent: str, number: int, anew: Callable[[], Iterable[Chosen]]) -> None:
        """Keep no more of an agent's sessions than their number where all end alike, and nothing else is to be said.

        `anew` gives again, in the same order, the `number` that was chosen: there may be many agents.
        """
        own = self._items.get(agent, {})
        if isinstance(own, _Lot) or not own or len(own) != number:
            return
        items = list(own.values())
        like = next((item for item in items if item.moves), items[0])
        if not all(_is_like(item, like) for item in items):
            return
        told = set[tuple[str, str]]()
        size = total([_size(item, told) for item in items])
        self._items[agent] = _Lot(like, len(items), size, anew)

    def rests(self, agent: str) -> bool:
        """Tell whether of an agent's sessions no more is kept than their number."""
        return isinstance(self._items.get(agent), _Lot)

    def wanted(self) -> Iterator[Item]:
        """Give those that are still to be brought back, one for all of an agent where they are alike."""
        return (item for item in self._in_short() if item.is_wanted)

    def statuses(self) -> set[Status]:
        """Return what becomes of them."""
        return {item.status for item in self._in_short()}

    def to_be_seen_to(self) -> Iterator[Item]:
        """Give those of which there may be more than that they are back."""
        return chain.from_iterable([own.values() for own in self._items.values() if not isinstance(own, _Lot)])

    def _in_short(self) -> Iterator[Item]:
        for own in self._items.values():
            yield from (own.like,) if isinstance(own, _Lot) else own.values()

    def _awake(self, agent: str) -> dict[str, Item]:
        own = self._items.setdefault(agent, {})
        if isinstance(own, _Lot):
            own = self._items[agent] = {item.key: item for item in own.items()}
        return own

    def decide(self, items: Iterable[Item]) -> None:
        """Note what is to become of these, which may be otherwise than before."""
        for agent, some in groupby(items, key=lambda item: item.agent):
            # Who brings back decides anew, and the entries of all stores may be large.
            own = {item.key: item.but(entry="") if item.entry else item for item in some}
            known = self._items.get(agent)
            if isinstance(known, _Lot) and known.number == len(own):
                self._items[agent] = own
            else:
                self._awake(agent).update(own)

    def back(self, item: Item) -> None:
        """Note that it is back."""
        self._note(self._known(item).but(status=Status.RESTORED))

    def all_back(self, agent: str, keys: Iterable[str]) -> None:
        """Note of many of one agent that they are back."""
        own = self._awake(agent)
        for key in keys:
            own[key] = own[key].but(status=Status.RESTORED)

    def conflict(self, item: Item, why: str) -> None:
        """Note that something else is in its place."""
        self._note(self._known(item).but(status=Status.CONFLICT, error=why))

    def failed(self, item: Item, why: str) -> None:
        """Note that it is not back."""
        self._note(self._known(item).but(status=Status.FAILED, error=why))

    def without(self, item: Item, reasons: Mapping[str, str], error: str | None = None) -> None:
        """Note what belongs to it and is not back, by kind or id; `error` where a person has to see to that."""
        known = self._known(item)
        left_out = MappingProxyType({**known.left_out, **reasons})
        self._note(known.but(left_out=left_out, error=known.error or error))

    def amiss(self, item: Item, more: Sequence[Lost], error: str | None = None) -> None:
        """Note what else is not as it was; `error` where a person has to see to that."""
        known = self._known(item)
        self._note(known.but(left=(*known.left, *more), error=error or known.error))

    def end(self) -> None:
        """Note that the run has not come to what is still to be brought back."""
        for agent in {item.agent for item in self.wanted()}:
            own = self._items[agent]
            if isinstance(own, _Lot):
                # What makes each of them may be what has ended the run.
                self._items[agent] = own._replace(like=own.like.but(status=Status.FAILED, error=_NOT_REACHED))
                continue
            for item in self.of(agent):
                if item.is_wanted:
                    self.failed(item, item.error or _NOT_REACHED)

    def _note(self, item: Item) -> None:
        self._awake(item.agent)[item.key] = item

    def _known(self, item: Item) -> Item:
        return self._awake(item.agent)[item.key]


def _outcomes(items: Iterable[Item]) -> list[Outcome]:
    told = set[tuple[str, str]]()
    return [item.outcome(_size(item, told)) for item in items]


def _is_like(item: Item, like: Item) -> bool:
    """Tell whether of a session nothing is to be said but what is to be said of another."""
    return (
        item.as_recorded
        and (item.status, item.error, item.until) == (like.status, None, like.until)
        and not (item.lone or item.effects or item.jobs or item.modes or item.left or item.left_out or item.twice)
    )


def _size(item: Item, told: set[tuple[str, str]]) -> int | None:
    """Return the bytes that come back with one, as they were recorded; of a database nobody has weighed them."""
    if item.put_away in (How.ARCHIVE, How.DELETE):
        return None
    size: int | None = 0
    for move in item.moves:
        if (item.agent, move.source) not in told:
            told.add((item.agent, move.source))
            # What was not looked at when it was put away has neither.
            is_known = size is not None and (move.size or move.mtime_ns)
            size = size + move.size if size is not None and is_known else None
    return size
