"""What a policy finds in one store: sessions that go and why, files without a session, what was spared (pure data)."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from .tuples import NamedTuple

if TYPE_CHECKING:
    from .words import Kind


class Action(StrEnum):
    """What is done to a row or a file, and why; the words are OpenClaw's where it has them."""

    PRUNE_MISSING = "prune-missing"
    RETIRE_DM_SCOPE = "retire-dm-scope"
    PRUNE_STALE = "prune-stale"
    CAP_OVERFLOW = "cap-overflow"
    EVICT_BUDGET = "evict-budget"
    ARCHIVE_ORPHAN = "archive-orphan"
    EXPIRE_ARCHIVE = "expire-archive"
    FREE = "free"


# What is archived already goes for these, and nothing else does.
FREEING = frozenset({Action.EXPIRE_ARCHIVE, Action.FREE})


class Verdict(NamedTuple):
    """Why one row goes; `age` in seconds, None where it is unknown."""

    action: Action
    kind: Kind
    age: float | None


class _Folded(NamedTuple):
    """Verdicts in the order of the keys that are given again; an age that is not known is no number."""

    keys: Callable[[], Sequence[str]]
    actions: Sequence[Action]
    kinds: Sequence[Kind]
    ages: array[float]


class Findings:
    """One store's verdicts by key, and how many rows were spared for which reason though the policy named them.

    `transcripts` tells by key which rows share one, where sizes matter, `unmet` says of each limit that is not met.
    """

    def __init__(self, count: int, transcripts: Mapping[str, str]) -> None:
        self.count = count
        self.transcripts = transcripts
        self.unmet: list[str] = []
        self._verdicts: dict[str, Verdict] = {}
        self._folded: _Folded | None = None
        self.spared: Counter[str] = Counter()
        self.is_bare = False

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Why each row goes, by key; where that is folded and no keys are given again there are none."""
        if self._folded is not None and (keys := self._folded.keys()):
            rows = zip(keys, *self._folded[1:], strict=True)
            self._verdicts = {
                key: Verdict(action, kind, None if math.isnan(age) else age) for key, action, kind, age in rows
            }
            self._folded = None
        return self._verdicts

    def actions(self) -> list[Action]:
        """Return why rows go, one for each of them."""
        if self._folded is not None:
            return list(self._folded.actions)
        return [verdict.action for verdict in self._verdicts.values()]

    def bare(self) -> Findings:
        """Return what there is to say of the store without that of each row: there may be many stores."""
        made = self.but({}, self.spared)
        made.is_bare = True
        return made

    def again(self, later: Findings, only: Container[str]) -> Findings:
        """Return the same, with the verdicts of a `later` look upon some keys where its own were let go of."""
        if not self.is_bare:
            return self
        return self.but({key: verdict for key, verdict in later.verdicts.items() if key in only}, self.spared)

    def fold(self, order: Sequence[str], keys: Callable[[], Sequence[str]]) -> None:
        """Keep a few bytes of each verdict where there is one for each of these keys; `keys` gives them again."""
        own = self._verdicts
        if len(order) == len(own) and all(key in own for key in order):
            rows = [own[key] for key in order]
            ages = array("d", [math.nan if row.age is None else row.age for row in rows])
            self._folded = _Folded(keys, [row.action for row in rows], [row.kind for row in rows], ages)
            self._verdicts = {}

    def but(self, verdicts: dict[str, Verdict], spared: Counter[str]) -> Findings:
        """Return the same with other verdicts, and others spared."""
        made = Findings(self.count, self.transcripts)
        made.unmet, made._verdicts, made.spared = self.unmet, verdicts, spared
        return made


class Doubt(NamedTuple):
    """A run since which the clock was set ahead, as the machine has been up for less: by so many seconds."""

    run: str
    seconds: float


class Chores(NamedTuple):
    """What is to be done to one agent's files: names in its folders, sizes in bytes and ages in seconds of all.

    `doubted`: old by a clock that was set ahead, and by nothing else. `history` counts transcripts of a database from
    before it.
    """

    orphans: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    doubted: tuple[str, ...] = ()
    doubt: Doubt | None = None
    sizes: Mapping[str, int] = MappingProxyType({})
    ages: Mapping[str, float] = MappingProxyType({})
    history: int = 0


def weight(found: Findings, wanted: Iterable[str], sizes: Mapping[str, int]) -> int:
    """Return the bytes of the transcripts of these keys, one that several share counted once."""
    return sum({found.transcripts[key]: sizes.get(key, 0) for key in wanted if key in found.transcripts}.values())
