"""What goes with sessions, in bytes: of what was measured anyway where it was, each file once."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping

from ..core.model import PlannedRow
from ..core.report import Outcome
from ..core.status import Status
from ..ports.readable import Readable


def planned(
    stores: Mapping[str, Readable], sizes: Mapping[str, Mapping[str, int]]
) -> Callable[[PlannedRow], int | None]:
    """Return what tells the bytes that would go with each session that is to be closed, None where nobody can tell.

    `sizes` are the bytes of sessions, by agent and key, as far as they were weighed.
    """
    told: dict[str, set[str]] = defaultdict(set)

    def weigh(row: PlannedRow) -> int | None:
        store, known = stores[row.agent], sizes.get(row.agent, {}).get(row.key)
        if not store.traits.loose_files:
            return known
        # Sessions may share a file, which goes but once.
        fresh = [move.source for move in row.moves if move.source not in told[row.agent]]
        told[row.agent].update(fresh)
        if known is not None and len(fresh) == len(row.moves) and not row.left:
            return known
        # Of tens of thousands of files a join takes as long as the look.
        return sum([_size(name if name.startswith("/") else f"{store.folder}/{name}") for name in fresh])

    return weigh


def put_away(row: Outcome) -> int | None:
    """Return the bytes of the archives of a session that is told of, also of those that others share."""
    return sum(map(_size, row.archives)) if row.status is Status.CLOSED and row.archives else row.size


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        # One that has gone since the folder was listed does not go with anything.
        return 0
