"""What a policy finds in one store: sessions that go and why, files without a session, what was spared (pure data)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

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


class Findings:
    """One store's verdicts by key, and how many rows were spared for which reason though the policy named them.

    `transcripts` tells by key which rows share one, where sizes matter, `unmet` says of each limit that is not met.
    """

    def __init__(self, count: int, transcripts: Mapping[str, str]) -> None:
        self.count = count
        self.transcripts = transcripts
        self.unmet: list[str] = []
        self.verdicts: dict[str, Verdict] = {}
        self.spared: Counter[str] = Counter()

    def but(self, verdicts: dict[str, Verdict], spared: Counter[str]) -> Findings:
        """Return the same with other verdicts, and others spared."""
        made = Findings(self.count, self.transcripts)
        made.unmet, made.verdicts, made.spared = self.unmet, verdicts, spared
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
