"""All rows of one of Hermes' sessions, and which sessions have been over for so long that their rows may go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

from ..artifacts.rows import Row
from ..core import late
from ..core.tuples import NamedTuple
from ..system.clock import Clock
from .database import Database
from .protection import Protection
from .tables import Session

YOUNG, UNDATED, NAME, PREFIX, CHILDREN = "young", "unknown_age", "name", "prefix", "children"
UNSAVED = "unsaved"
# Anything else could be an option of a command, lead to another folder, or stand for other files.
_PLAIN = late.pattern(r"\w[\w.@:+=-]{0,199}")


class Plan(NamedTuple):
    """Which sessions' rows go, what comes from another before that, and which stay, each with the reason in a word."""

    going: tuple[Session, ...]
    kept: tuple[tuple[Session, str], ...]


def read(home: str, session_id: str, clock: Clock) -> Iterator[Row]:
    """Give all rows of a session as they are at one moment, its own first; none where there is no such session.

    Nothing is held in memory but one row; CloserError where the database cannot be read.
    """
    with Database(home, clock) as database:
        yield from database.belongings(session_id)


def plan(
    known: Protection, database: Database, ages: Mapping[str, float], now: float, unsaved: Callable[[Session], bool]
) -> Plan:
    """Return what goes by source, where its last message is so many seconds old, and why the rest of those stay.

    `unsaved` tells whether a file has more of a session than its rows, which go with that file.
    """
    parents = _parents(known.sessions, database.at_once(database.delegates))
    concerned = {row.id: row for row in known.sessions if row.source in ages}
    why = {row.id: _reason(known, row, ages[row.source], now) for row in concerned.values()}
    why |= {each: UNSAVED for each, row in concerned.items() if not why[each] and unsaved(row)}
    why |= {each: why[each] or PREFIX for each in _prefixes(row.id for row in known.sessions) if each in why}
    going = _from_below([each for each in concerned if not why[each]], parents)
    why |= {each: CHILDREN for each in concerned if not why[each] and each not in going}
    kept = tuple((row, why[each]) for each, row in concerned.items() if why[each])
    return Plan(tuple(concerned[each] for each in going), kept)


def _reason(known: Protection, row: Session, age: float, now: float) -> str:
    """Return why the rows of a session stay, as far as they alone say, "" where they do not."""
    if held := str(known.why(row.id)):
        return held
    last = known.last(row)
    if last is None:
        return UNDATED
    if now - last <= age:
        return YOUNG
    return "" if _PLAIN.fullmatch(row.id) else NAME


def _parents(rows: Iterable[Session], delegates: Mapping[str, str]) -> dict[str, set[str]]:
    """Return what each session comes from."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        found[row.id].update(each for each in (row.parent, delegates.get(row.id)) if isinstance(each, str))
    return found


def _prefixes(session_ids: Iterable[str]) -> Iterator[str]:
    """Give the ids with which another one begins, in any case: Hermes takes that for one which is gone."""
    ordered = sorted((each.lower(), each) for each in session_ids)
    for (shorter, one), (longer, other) in pairwise(ordered):
        if longer.startswith(shorter):
            yield one
        if longer == shorter:
            yield other


def _from_below(asked: Sequence[str], parents: Mapping[str, set[str]]) -> dict[str, None]:
    """Return in which order those go from which nothing comes that stays: Hermes would delete it, or cut it off."""
    left = Counter(chain.from_iterable(parents.values()))
    wanted = set(asked)
    found: dict[str, None] = {}
    ready = [each for each in asked if not left[each]]
    while ready:
        each = ready.pop()
        found[each] = None
        for above in parents[each]:
            left[above] -= 1
            if not left[above] and above in wanted:
                ready.append(above)
    return found
