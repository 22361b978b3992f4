"""What can be brought back below one root, and what it was like before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..core.model import Snapshot
    from ..core.shown import Found
    from ..journal.record import StoreRecord
    from ..journal.source import Source


class Past(Protocol):
    """What earlier runs, and others, have put away below one root: to be looked at without a gateway."""

    def check_unfinished(self) -> None:
        """Refuse where what an interrupted run has left could not be finished."""

    def source(self, which: str, given: str | None) -> tuple[Source, list[str]]:
        """Return what a word stands for, and what is to be said of it: a receipt, a backup, or what was found.

        `given`: the key that what was found is to get.
        """

    def keys_before(self, store: StoreRecord) -> Collection[str]:
        """Return the keys that a store had before a run that brought sessions back, as far as that is known."""

    def snapshot(self, agent: str) -> Snapshot:
        """Return what is in an agent's store now."""

    def found(self, words: Sequence[str], most: int | None) -> tuple[list[Found], list[str]]:
        """Return what anybody has deleted or reset and one of the words names, and a line for each thing left out.

        The first `most` have the bytes of their archives, None: all of them have.
        """
