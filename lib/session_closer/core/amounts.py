"""How much a run puts away, frees for good, and brings back: in rows, and in bytes where they are known (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .report import total
from .status import Status
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .report import ArtifactRow, Outcome, Remainder

_AWAY = frozenset({Status.CLOSED, Status.WOULD_CLOSE, Status.ARCHIVED, Status.WOULD_ARCHIVE})
_FREED = frozenset({Status.EXPIRED, Status.WOULD_EXPIRE, Status.DELETED, Status.WOULD_DELETE})
_BACK = frozenset({Status.RESTORED, Status.WOULD_RESTORE})


class Amount(NamedTuple):
    """So many sessions, files and folders; `size` is their bytes, None where those of one of them are not known."""

    number: int = 0
    size: int | None = 0


class Amounts(NamedTuple):
    """What a run puts away, so that it takes its room until it is freed, what it frees at once, what it brings back."""

    put_away: Amount
    freed: Amount
    back: Amount


def of(rows: Iterable[Outcome | ArtifactRow], untold: Iterable[Remainder] = ()) -> Amounts:
    """Return how much these rows come to, or would come to, with what is untold."""
    away: list[int | None] = []
    freed: list[int | None] = []
    back: list[int | None] = []
    for row in rows:
        if row.status in _AWAY:
            away.append(row.size)
        elif row.status in _FREED:
            freed.append(row.size)
        elif row.status in _BACK:
            back.append(row.size)
    more = tuple(untold)
    return Amounts(_amount(away, more, _AWAY), _amount(freed, more, _FREED), _amount(back, more, _BACK))


def _amount(sizes: Sequence[int | None], untold: Iterable[Remainder], statuses: frozenset[Status]) -> Amount:
    more = [each for each in untold if each.status in statuses]
    return Amount(len(sizes) + sum(each.number for each in more), total([*sizes, *(each.size for each in more)]))
