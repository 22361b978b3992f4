"""Of all that could be tried the share that `make test` tries; with --everything there is nothing left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Share(NamedTuple):
    """Takes a share of the points of a sweep."""

    everything: bool

    def __call__(self, items: Iterable[Item], each: int, kind: Callable[[Item], object] | None = None) -> list[Item]:
        """Return each so many-th of the items, and the first one of each kind."""
        found, kinds = [], set()
        for number, item in enumerate(items):
            new = kind is not None and kind(item) not in kinds
            if kind is not None:
                kinds.add(kind(item))
            if self.everything or new or number % each == 0:
                found.append(item)
        return found
