"""Which tests `make test` leaves to `make prove`, and which of them both take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

LONG = ("commands", "entry", "faults", "security", "stores", "unit")
FIRST_ROWS = 3


class Row(NamedTuple):
    """A test with its values: the folder it is in, the test, whether a proof takes more points or examples."""

    folder: str
    test: str
    sweeps: bool = False


def brief(rows: Iterable[Row]) -> Iterator[bool]:
    """Tell of each row whether `make test` takes it: of long tables the first ones, and a share of the others."""
    counted: Counter[str] = Counter()
    for row in rows:
        number = counted[row.test]
        counted[row.test] += 1
        # By a prime, so that of each column each value is met.
        yield row.folder not in LONG or number < FIRST_ROWS or number * 7 % 11 <= 1


def rest(rows: Iterable[Row]) -> Iterator[bool]:
    """Tell of each row whether `make prove` takes it: all that `make test` leaves out, and what has more points."""
    every = list(rows)
    return (row.sweeps or not taken for row, taken in zip(every, brief(every), strict=True))
