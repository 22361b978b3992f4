"""What a runtime leaves beside its sessions, and which of it a cleanup takes (pure)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from .durations import AHEAD, shown
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .findings import Doubt

# What was written to so short a time ago is taken by no limit: it may be about to be written to again.
FRESH_SECONDS = 600.0
STALE, BUDGET = "stale", "over_budget"
# The kind of what is in a database, and no file.
ROW = "row"
YOUNG, NEWEST, ELSEWHERE, IMMOVABLE = "young", "newest", "other_filesystem", "immovable"
# What is in it cannot be looked at.
UNREADABLE = "unreadable"


class KindRule(NamedTuple):
    """One kind of artifact: from which age on, in seconds, it goes, and whether it does where nobody names it.

    `family` is a name that stands for several kinds. What does not return (`returns`) is deleted, and only kept to be
    read. `note`: what is to be known of it once it is back.
    """

    name: str
    age: float
    on: bool = True
    family: str = ""
    returns: bool = True
    note: str = ""


class Weight(NamedTuple):
    """What is in a folder: its bytes, and the time of the newest, 0.0: there is none, infinite: nobody knows.

    `why` it has to stay, "": it need not. `fixed`: there is something in it that cannot be removed, so that it may be
    moved alone.
    """

    size: int = 0
    newest: float = 0.0
    why: str = ""
    fixed: bool = False


class Artifact(NamedTuple):
    """One file or folder below a home, by its path from there; a folder stands for all that is in it.

    `owner` is the id of its session, None where no known one has it; `at` its time in seconds since 1970, `size` its
    bytes. `guard`: why it stays however old it is, "": nothing keeps it. `stamp` tells that it is still the same.
    `elsewhere`: it is on another file system than its home. `weight` is what is in a folder.
    """

    kind: str
    path: str
    owner: str | None
    at: float
    size: int
    folder: bool = False
    guard: str = ""
    stamp: tuple[int, ...] = ()
    elsewhere: bool = False
    weight: Weight = Weight()


class Limits(NamedTuple):
    """Which kinds go and from which age on, in seconds; `max_disk`: the bytes that may stay of them.

    So many of each kind stay as `keep_last` says. `expire`: what was put away before so many seconds is freed. `rows`
    are the ages of sessions whose rows go, too, by source.
    """

    ages: Mapping[str, float]
    max_disk: int | None = None
    keep_last: int | None = None
    expire: float | None = None
    rows: Mapping[str, float] = MappingProxyType({})


class Verdicts(NamedTuple):
    """What goes and what stays, each with the reason; `left`: the bytes that stay."""

    going: tuple[tuple[Artifact, str], ...]
    kept: tuple[tuple[Artifact, str], ...]
    left: int
    over_budget: bool = False

    def spared(self) -> dict[str, int]:
        """Return how many stay for each reason."""
        return dict(sorted(Counter(why for _, why in self.kept).items()))


def decided(found: Iterable[Artifact], limits: Limits, now: float, *, moves: bool = True) -> Verdicts:
    """Return what goes of the artifacts of one home, at a moment in seconds since 1970, and what stays and why.

    `moves`: what goes is moved, which nothing can be that is on another file system, else removed, a folder once it is
    moved.
    """
    concerned = [each for each in found if each.kind in limits.ages]
    newest = _newest(concerned, limits.keep_last) if limits.keep_last is not None else frozenset()
    going: list[tuple[Artifact, str]] = []
    kept: list[tuple[Artifact, str]] = []
    for each in concerned:
        why = each.guard or (NEWEST if newest and each.path in newest else "")
        why = why or _why_here(each, moves=moves)
        if not why and now - each.at <= limits.ages[each.kind]:
            why = YOUNG
        if why:
            kept.append((each, why))
        else:
            going.append((each, STALE))
    if limits.max_disk is not None:
        going, kept = _within(going, kept, limits.max_disk, now)
    left = sum(each.size for each, _ in kept)
    return Verdicts(tuple(going), tuple(kept), left, limits.max_disk is not None and left > limits.max_disk)


def _why_here(one: Artifact, *, moves: bool) -> str:
    """Return why something stays for where it is, or for what is in it, "" where that keeps nothing."""
    if one.elsewhere and (moves or one.folder):
        return ELSEWHERE
    return one.weight.why or (IMMOVABLE if one.weight.fixed and not moves else "")


def _newest(found: Iterable[Artifact], count: int) -> frozenset[str]:
    """Return the paths of the newest of each kind."""
    kinds: dict[str, list[Artifact]] = defaultdict(list)
    for each in found:
        if each.kind != ROW:
            kinds[each.kind].append(each)
    ordered = (sorted(some, key=lambda each: each.at, reverse=True)[:count] for some in kinds.values())
    return frozenset(each.path for some in ordered for each in some)


def _within(
    going: Sequence[tuple[Artifact, str]], kept: Sequence[tuple[Artifact, str]], most: int, now: float
) -> tuple[list[tuple[Artifact, str]], list[tuple[Artifact, str]]]:
    """Take the oldest of what is only too young until no more than `most` bytes stay, as far as that can be."""
    left = sum(each.size for each, _ in kept)
    taken: set[str] = set()
    free = [each for each, why in kept if why == YOUNG and not each.guard and now - each.at > FRESH_SECONDS]
    for each in sorted(free, key=lambda each: each.at):
        if left <= most:
            break
        left -= each.size
        taken.add(each.path)
    more = [(each, BUDGET) for each, _ in kept if each.path in taken]
    return [*going, *more], [(each, why) for each, why in kept if each.path not in taken]


def staying(what: str, doubt: Doubt) -> str:
    """Return what is said where something stays that is old by a clock that was set ahead, and by nothing else."""
    said = f"the clock was set ahead by {shown(doubt.seconds)} since run {doubt.run}"
    return f"{what}, which only that makes old enough: {said}, without a restart of the machine"


def age(at: float, now: float) -> float | None:
    """Return how old something of a time is in seconds, None where that is far ahead of the clock."""
    found = now - at
    return found if found >= 0.0 else None if found < -AHEAD else 0.0


def named(words: Iterable[str], rules: Collection[KindRule]) -> list[str]:
    """Return the kinds that words stand for, a family for all of its kinds; KeyError for a word that is none."""
    found: dict[str, None] = {}
    for word in words:
        kinds = [rule.name for rule in rules if word in (rule.name, rule.family)]
        if not kinds:
            raise KeyError(word)
        found.update(dict.fromkeys(kinds))
    return list(found)
