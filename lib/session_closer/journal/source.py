"""What is to be brought back, and where that is known from: a receipt, a backup, or what was found (pure data)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec

from ..core.durable import Move
from ..core.tuples import NamedTuple
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
    `copies`: the whole paths of files elsewhere which are put down as these archives first. Where `stores` are so large
    that each is read when it is asked for, `bare` are the same without their sessions and files.
    """

    stores: Sequence[StoreRecord]
    origin: Origin = Origin.RECEIPT
    run: str = ""
    sequence: int = 0
    began: str = ""
    copies: Mapping[str, str] = MappingProxyType({})
    bare: tuple[StoreRecord, ...] = ()

    @property
    def restores(self) -> bool:
        """Whether it is of a run that brought sessions back."""
        return restores(self.bare or self.stores)


class Span(msgspec.Struct, frozen=True, gc=False):
    """Where the entry of a file store stands in a backup beside its index: a plain name, bytes, and their sha256."""

    backup: str
    offset: int
    length: int
    sha256: str


class ChosenSession(msgspec.Struct, frozen=True, gc=False):
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


class ChosenFile(msgspec.Struct, frozen=True, gc=False):
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


class Lots(Mapping[str, Sequence[Chosen]]):
    """All that a source has of each agent with one of these ends: what of a large one is read when it is asked for."""

    def __init__(self, source: Source, statuses: Collection[str]) -> None:
        self._source, self._statuses = source, statuses
        # Those first of which there are sessions, as they stand where all is told at once.
        sessions: dict[str, list[int]] = defaultdict(list)
        files: dict[str, list[int]] = defaultdict(list)
        for at, store in enumerate(source.stores):
            if any(session.status in statuses for session in store.sessions):
                sessions[store.agent].append(at)
            if store.orphans and not store.restores:
                files[store.agent].append(at)
        self._of = {agent: (sessions.get(agent, []), files.get(agent, [])) for agent in (*sessions, *files)}

    def __getitem__(self, agent: str) -> list[Chosen]:
        sessions, files = self._of[agent]
        stores = {at: self._source.stores[at] for at in {*sessions, *files}}
        return [
            *(one for at in sessions for one in sessions_of(self._source, at, stores[at], self._statuses)),
            *(one for at in files for one in files_of(self._source, at, stores[at])),
        ]

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)


def sessions_of(source: Source, at: int, store: StoreRecord, statuses: Collection[str]) -> Iterator[Chosen]:
    """Give what a store of a source has of sessions with one of these ends."""
    for session in store.sessions:
        if session.status in statuses:
            yield ChosenSession(store, session, session.key, source, at)


def files_of(source: Source, at: int, store: StoreRecord) -> Iterator[Chosen]:
    """Give the files without a session that it has put away."""
    for move in () if store.restores else store.orphans:
        yield ChosenFile(store, move, move.source, source, at)


def restores(stores: Sequence[StoreRecord]) -> bool:
    """Tell whether a run brought sessions back."""
    return any(store.restores for store in stores)
