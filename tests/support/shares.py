"""Of all that could be tried the share that `make test` tries; with --everything there is nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Share(NamedTuple):
    """Takes a share of the points of a sweep, or each `thin`-th of that."""

    everything: bool
    thin: int = 1

    def __call__(self, items: Iterable[Item], each: int, kind: Callable[[Item], object] | None = None) -> list[Item]:
        """Return each so many-th of the items, and the first one of each kind; a thin share begins further in."""
        every = list(items)
        if self.everything:
            return every
        if self.thin > 1:
            return every[min(each * self.thin, len(every)) // 3 :: each * self.thin]
        first = {} if kind is None else {kind(item): number for number, item in reversed(list(enumerate(every)))}
        return [item for number, item in enumerate(every) if number % each == 0 or number in first.values()]

    def least(self, points: int) -> int:
        """Return how many points of a sweep must have been tried: so many, and of a thin share one."""
        return points if self.thin == 1 else 1
