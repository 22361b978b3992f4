"""What a policy finds in one store: sessions that go and why, files without a session, what was spared (pure data)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

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


@dataclass(frozen=True, slots=True)
class Findings:
    """One store's verdicts by key, and how many rows were spared for which reason though the policy named them.

    `transcripts` tells by key which rows share one, where sizes matter, `unmet` says of each limit that is not met.
    """

    count: int = 0
    unmet: list[str] = field(default_factory=list)
    transcripts: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    spared: Counter[str] = field(default_factory=Counter)


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
