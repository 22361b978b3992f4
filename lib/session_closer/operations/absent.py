"""What is said of a name that no session has: what shows those that there are, and those that were deleted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..core import escape, hints, ids, names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..core.model import PlannedRow
    from ..core.wish import Options
    from ..ports.readable import Readable


def put_away(store: Readable) -> list[str]:
    """Return the names of what `--found` may bring back of a store: archives, and backups of its index."""
    index = os.path.basename(store.index)
    places = {store.folder, os.path.dirname(store.index)}
    there = [name for place in places for name in _listed(place)]
    return [name for name in there if names.is_archive(name) or names.is_index_backup(name, index)]


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def lacking(row: PlannedRow, elsewhere: Sequence[str], seen: Sequence[str], options: Options) -> str:
    """Return the hint for a name that nothing in its agent looks like; `seen` is what was put away there."""
    tail = hints.tail_of(row.given, row.agent)
    find = f"{options.undo} --found {'-- ' * tail.startswith('-')}{escape.shell_word(tail)}"
    # Any shorter word may stand in a name by chance, as that of a month does.
    if not elsewhere and ids.is_beginning(tail) and any(name.startswith(tail) for name in seen):
        return f"not in agent {row.agent}; there is an archive of that name: {find}"
    said = hints.not_here(row, elsewhere, options.see)
    return f"{said}; what was deleted: {find}" if seen and not elsewhere else said
