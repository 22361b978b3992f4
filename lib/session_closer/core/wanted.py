"""Which sessions are wanted, by what they are and are called: the filters of a command line as values (pure)."""

from __future__ import annotations

from .tuples import NamedTuple
from .words import LIMIT, Kind, Sort


class Wanted(NamedTuple):
    """What a list is to show: no `kinds` is any kind; ages in seconds, of the last update; no `limit` is all.

    `store`: the path of the only one that is shown. `words`, `globs` and `label` are as they were typed: all words
    hold, and one of the globs.
    """

    agent: str | None = None
    store: str | None = None
    kinds: frozenset[Kind] = frozenset()
    active: float | None = None
    older_than: float | None = None
    limit: int | None = LIMIT
    words: tuple[str, ...] = ()
    globs: tuple[str, ...] = ()
    label: str | None = None
    sort: Sort = Sort.AGE
    reverse: bool = False
