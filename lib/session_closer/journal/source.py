"""What is to be brought back, and where that is known from: a receipt, a backup, or what was found (pure data)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from ..core.durable import Move
from .record import SessionRecord, StoreRecord


class Origin(StrEnum):
    """What says what is to be brought back."""

    RECEIPT = "a run's receipt"
    BACKUP = "a backup of an index"
    FOUND = "what anybody has deleted or reset"
    BUNDLE = "the folder of an export"


class Source(NamedTuple):
    """What is to be brought back, by store: as a receipt has it, or made of a backup, or of what was found.

    `run`, `sequence` and `began` (ISO 8601) are those of the run that put it away; "" and 0 where none of ours did.
    `copies`: the whole paths of files elsewhere which are put down as these archives first.
    """

    stores: tuple[StoreRecord, ...]
    origin: Origin = Origin.RECEIPT
    run: str = ""
    sequence: int = 0
    began: str = ""
    copies: Mapping[str, str] = MappingProxyType({})

    @property
    def restores(self) -> bool:
        """Whether it is of a run that brought sessions back."""
        return restores(self.stores)


class ChosenSession(NamedTuple):
    """One session that is to be brought back, with the name that was given for it, and what says so.

    `at`: the store's place among the source's, in the order of their closing.
    """

    store: StoreRecord
    session: SessionRecord
    given: str
    source: Source
    at: int

    @property
    def name(self) -> str:
        """What it is called by."""
        return self.session.key


class ChosenFile(NamedTuple):
    """One file that belonged to no session and is to be brought back, with the same."""

    store: StoreRecord
    move: Move
    given: str
    source: Source
    at: int

    @property
    def name(self) -> str:
        """What it is called by: the name that it had."""
        return self.move.source


Chosen = ChosenSession | ChosenFile


def restores(stores: Sequence[StoreRecord]) -> bool:
    """Tell whether a run brought sessions back."""
    return any(store.restores for store in stores)
