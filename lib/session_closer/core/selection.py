"""Which sessions a list shows and in which order, and the list that is made of them (pure)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from operator import itemgetter
from typing import TYPE_CHECKING

from . import durations, keys, kinds, lazy
from .details import NOTHING, Details
from .errors import CloserError, ExitCode
from .protection import protection
from .tuples import NamedTuple
from .wanted import Wanted
from .words import Kind, Sort

if TYPE_CHECKING:
    from .model import Session
    from .report import GatewayResult, StoreResult


class Match(NamedTuple):
    """A session that may be shown: the number of the store that it is in, its key, when it was updated, that store.

    Most of a long list are not shown, so what else there is of one is asked for by those who need it.
    """

    place: int
    key: str
    updated_at: int | None
    store: Mapping[str, Session]

    @property
    def session(self) -> Session:
        """All of it."""
        return self.store[self.key]


class Row(NamedTuple):
    """A session as it is shown: `age` in seconds, `size` in bytes, None where they are not known.

    `agent` is None for a bare key of a store for all agents.
    """

    agent: str | None
    session: Session
    kind: Kind
    age: float | None
    size: int | None
    running: bool
    details: Details = NOTHING

    @property
    def protected(self) -> str | None:
        """Why no policy may remove it."""
        return protection(self.kind, self.session, running=self.running)


class Listing(NamedTuple):
    """What a list says; `total` counts the sessions that match, `error` is set where there is no list."""

    stores: tuple[StoreResult, ...] = ()
    rows: tuple[Row, ...] = ()
    total: int = 0
    wanted: Wanted = Wanted(limit=None)
    gateway: GatewayResult | None = None
    warnings: tuple[str, ...] = ()
    error: CloserError | None = None

    @property
    def has_more(self) -> bool:
        """Tell whether more sessions match than are shown."""
        return self.total > len(self.rows)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: an empty list is a list, too."""
        return ExitCode.OK if self.error is None else self.error.code


def matching(found: Sequence[Mapping[str, Session]], wanted: Wanted, now: int) -> list[Match]:
    """Return the sessions of some stores that have the ages, kinds and keys that are wanted; `now` in ms."""
    ageless = wanted.active is None and wanted.older_than is None
    matches = [
        Match(place, key, at, sessions)
        for place, sessions in enumerate(found)
        for key, at in lazy.updated(sessions).items()
        if ageless or _is_of_age(at, wanted, now)
    ]
    if wanted.globs:
        globs = [keys.folded(glob) for glob in wanted.globs]
        matches = [one for one in matches if any(fnmatchcase(keys.folded(one.key), glob) for glob in globs)]
    return [one for one in matches if kinds.of(one.session) in wanted.kinds] if wanted.kinds else matches


def _is_of_age(updated_at: int | None, wanted: Wanted, now: int) -> bool:
    age = durations.since(updated_at, now / 1000)
    if age is None or (wanted.active is not None and age > wanted.active):
        return False
    return wanted.older_than is None or age > wanted.older_than


def is_called(session: Session, details: Details, wanted: Wanted) -> bool:
    """Tell whether a session has the label that is wanted, and each of the words in something that it is called."""
    if wanted.label is not None and keys.folded(details.label or "") != keys.folded(wanted.label):
        return False
    names = [keys.folded(name) for name in (session.key, *details.names)]
    # In the middle of an id a short word stands by chance.
    session_id = keys.folded(session.session_id or "")
    return all(
        session_id.startswith(word) or any(word in name for name in names) for word in map(keys.folded, wanted.words)
    )


def ordered(matches: Sequence[Match], wanted: Wanted, now: int, figure: Callable[[Match], int | None]) -> list[Match]:
    """Return what is shown, in the order that is wanted; `figure` is the size or the tokens of one, None: not known.

    What has no such figure, or no usable age, comes last either way.
    """
    limit = len(matches) if wanted.limit is None else wanted.limit
    if wanted.sort is Sort.KEY:
        by_key = sorted(matches, key=lambda one: (one.key, one.place), reverse=wanted.reverse)
        return by_key[:limit]
    turn = 1 if wanted.reverse else -1
    values = _times(matches, now) if wanted.sort is Sort.AGE else map(figure, matches)
    ranks = [math.inf if value is None else value * turn for value in values]
    # Few are shown of many, so their names are compared alone, and those of others that rank as the last of them.
    last = sorted(ranks)[limit - 1] if 0 < limit < len(ranks) else math.inf
    first = [(rank, one.key, one.place, one) for rank, one in zip(ranks, matches, strict=True) if rank <= last]
    return [one for *_, one in sorted(first, key=itemgetter(0, 1, 2))[:limit]]


def _times(matches: Iterable[Match], now: int) -> Iterator[int | None]:
    """Give when each was updated, None for a time that says nothing: that is none, or too far ahead."""
    for one in matches:
        at = one.updated_at
        yield at if at is not None and (at <= now or durations.since(at, now / 1000) is not None) else None
