"""Which tests `make test` leaves out, which of them `make prove` takes, and which are left to `ALL=1`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

FIRST_ROWS = 2
# Of what `make test` leaves out, of each test: the first row, and each so many-th.
_SHARE = 3


class Row(NamedTuple):
    """A test with its values: whether it takes seconds, whether a proof takes more points or examples of it."""

    test: str
    long: bool = False
    sweeps: bool = False


def brief(rows: Iterable[Row]) -> Iterator[bool]:
    """Tell of each row whether `make test` takes it: none that is long; of a table the first, a share of the others."""
    counted: Counter[str] = Counter()
    for row in rows:
        number = counted[row.test]
        counted[row.test] += 1
        # By a prime, so that of each column each value is met.
        yield not row.long and (number < FIRST_ROWS or number * 7 % 11 == 1)


def rest(rows: Iterable[Row]) -> Iterator[bool]:
    """Tell of each row whether `make prove` takes it: a share of what `make test` leaves out, and what has more points.

    So each test is run by one of them at least, each row of it with `ALL=1`.
    """
    every, counted = list(rows), Counter[str]()
    for row, taken in zip(every, brief(every), strict=True):
        number = counted[row.test]
        counted[row.test] += not taken
        yield row.sweeps or (not taken and number % _SHARE == 0)
