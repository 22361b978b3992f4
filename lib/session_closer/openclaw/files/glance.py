"""A large sessions.json as a list reads it: of each row its time, and a whole session where one is asked for."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ...artifacts import measuring
from ...core import names, transcripts
from ...core.details import Details
from ...core.durations import moments
from ...core.errors import CorruptStore
from ...core.lazy import Lazy
from ...core.model import Session, Snapshot
from ...core.tuples import NamedTuple
from ...system import files
from . import document, quickscan
from .entries import FIELDS, UPDATED, session
from .store import REMEDY, FileStore, by_owner, outside, parse, read_index

if TYPE_CHECKING:
    from msgspec import Raw


class _Seen(NamedTuple):
    """The text of an index, its entries as they stand there, and their sessions."""

    raw: bytes
    entries: Mapping[str, Raw]
    sessions: Lazy


class Glance(FileStore):
    """One agent's `sessions.json`, to be listed: an entry that nobody asks for is only looked at.

    A text that cannot be read so is read as any other.
    """

    seen: _Seen | None = None

    def begin_with(self, other: FileStore) -> None:
        """Begin with what another has read of the same index."""
        super().begin_with(other)
        if isinstance(other, Glance):
            self.seen = other.seen

    def read(self) -> Snapshot:
        """Return the store as it is now, but not whose its files are; raise CorruptStore or Refused."""
        seen = self.seen
        if self.document is None and (seen is None or not measuring.holds(self.index, seen.raw)):
            raw = read_index(self.index)[0]
            seen = self.seen = self._looked_at(raw)
            self.document = parse(raw, self.index, self.agent) if seen is None else None
        if seen is None:
            return super().read()
        live, odd = self.lying()
        return Snapshot(
            agent=self.agent,
            path=self.index,
            folder=os.path.realpath(self.folder),
            sessions=seen.sessions,
            files=frozenset(live),
            odd=odd,
            locked=self.locked(live),
            own_index=self.own_index,
            beside=self.beside,
        )

    def _looked_at(self, raw: bytes) -> _Seen | None:
        try:
            document.check_text(raw)
        except CorruptStore:
            return None
        entries = quickscan.entries(raw)
        times = None if entries is None else quickscan.column(entries.values(), UPDATED)
        if entries is None or times is None:
            return None
        real = functools.cache(files.real)

        def made(key: str) -> Session:
            try:
                return session(self.agent, real, key, quickscan.picked(entries[key], FIELDS))
            except RecursionError:
                # It was looked at from a little higher up.
                raise CorruptStore(f"{self.index} {document.TOO_DEEP}", REMEDY) from None

        return _Seen(raw, entries, Lazy(dict(zip(entries, moments(times), strict=True)), made))

    def sessions(self) -> Collection[Session]:
        """Return the sessions that the last `read` saw."""
        return super().sessions() if self.seen is None else self.seen.sessions.values()

    def value_bytes(self, key: str) -> bytes | None:
        """Return an entry as the last `read` saw it, None where there is none."""
        if self.seen is None:
            return super().value_bytes(key)
        return bytes(self.seen.entries[key]) if key in self.seen.entries else None

    def sizes(self, sessions: Sequence[Session], snapshot: Snapshot) -> dict[str, int | None]:
        """Return the bytes of the sessions' live files by key, None where their names cannot be told."""
        if self.seen is not None:
            ids = {one.session_id for one in sessions} | {transcripts.stem(one) for one in sessions}
            owned = by_owner(names.perhaps_of(ids, [*snapshot.taken]), {})
            elsewhere = outside(sessions, snapshot.folder, snapshot.beside)
            snapshot = snapshot._replace(by_owner=owned, outside=elsewhere)
        return super().sizes(sessions, snapshot)

    def details(self, keys: Iterable[str]) -> Mapping[str, Details]:
        """Return what these sessions are called and have used, by key, as of the last `read`."""
        if self.seen is None:
            return super().details(keys)
        from .. import details  # an export has none

        entries, wanted = self.seen.entries, list(keys)
        return details.read(((key, bytes(entries[key])) for key in wanted if key in entries), len(wanted))
