"""A large receipt, read store by store: what it says of many agents is never in memory at once. Nothing here writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import overload

from ..core.errors import StorageFailed
from ..core.tuples import NamedTuple
from ..system import trust
from ..system.pieces import Pieces
from .codec import decode, decode_store, read_back
from .record import END, STORES, Damaged, RunRecord, StoreRecord
from .written import LIMIT

# From here on more is gained than a second look at the disk costs.
LARGE = 4 << 20
_PIECE = 1 << 20
# A quote within a string is written escaped, and nothing else in a record begins with this member.
_BEGINS = b'{"agent":"'
_Span = tuple[int, int]


class _Held(Pieces):
    """A receipt that stays open until nobody can ask for a store of it any more: a command may undo very many runs."""

    def __del__(self) -> None:
        self.__exit__()


class Stores(Sequence[StoreRecord]):
    """What a receipt says of its stores: each is read when it is asked for, and not kept; StorageFailed: not read.

    The file stays open, so that it is the one that was looked at first.
    """

    def __init__(self, path: str, held: Pieces, spans: Sequence[_Span]) -> None:
        self._path, self._held, self._spans = path, held, spans

    def __len__(self) -> int:
        return len(self._spans)

    @overload
    def __getitem__(self, at: int) -> StoreRecord: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[StoreRecord]: ...
    def __getitem__(self, at: int | slice) -> StoreRecord | Sequence[StoreRecord]:
        if isinstance(at, slice):
            return Stores(self._path, self._held, self._spans[at])
        try:
            return read_back(self._held.of(self._path, *self._spans[at]))
        except (OSError, Damaged) as problem:
            what = f"{self._path} cannot be read: {problem}"
            raise StorageFailed(what, "look at the disk, then run the same command again") from None

    def checked(self) -> Iterator[StoreRecord]:
        """Give each of them for the first time, checked like hostile input; raise Damaged, OSError."""
        for span in self._spans:
            yield decode_store(self._held.of(self._path, *span))


class Opened(NamedTuple):
    """A large receipt: what it says of the run as a whole, and its stores."""

    head: RunRecord
    stores: Stores


def opened(path: str) -> Opened | None:
    """Return a large receipt that is written as we write one, None for any other: what that is says who reads it."""
    with contextlib.suppress(OSError, Damaged):
        found = os.stat(path, follow_symlinks=False)
        # A sparse file may have holes of any size.
        if not LARGE <= found.st_size <= LIMIT or not trust.is_trusted(found.st_uid):
            return None
        held = _Held()
        begins, size = _begins(held, path)
        ends = [*(one - 1 for one in begins[1:]), size - len(END)]
        head = held.of(path, 0, begins[0]) if begins else b""
        if head.endswith(STORES) and all(held.of(path, end, 1) == b"," for end in ends[:-1]):
            spans = [(one, end - one) for one, end in zip(begins, ends, strict=True)]
            if held.of(path, ends[-1], size) == END:
                return Opened(decode(head + END), Stores(path, held, spans))
    return None


def _begins(held: Pieces, path: str) -> tuple[list[int], int]:
    """Return where stores begin in a receipt, and its bytes."""
    found, at, left = [], 0, b""
    while piece := held.of(path, at, _PIECE):
        text = left + piece
        first, begin = at - len(left), text.find(_BEGINS)
        while begin >= 0:
            found.append(first + begin)
            begin = text.find(_BEGINS, begin + 1)
        at += len(piece)
        left = text[-len(_BEGINS) + 1 :]
    return found, at
