"""A table as data: its lines for whoever reads plain text, its cells for a terminal that draws it (pure)."""

from __future__ import annotations

from typing import Literal

from ..core.tuples import NamedTuple

# What a row is to whoever reads it; how that looks is the terminal's.
Tone = Literal["", "good", "ahead", "bad", "busy", "quiet"]


class GridRow(NamedTuple):
    """Cells, the last of which may be as long as it likes, and lines below them."""

    cells: tuple[str, ...]
    below: tuple[str, ...] = ()
    tone: Tone = ""


class Grid(NamedTuple):
    """Rows of cells; `lines` is all of it as plain text.

    `right`: the columns whose cells stand at their right; `toned`: the one that shows a row's tone; `wraps`: what has
    no room goes on in the next line, where else it is cut off; `indent` is so many blanks ahead of each line.
    `shares`: a number from 0 to 1 for each row, which a terminal shows as a bar behind it.
    """

    rows: tuple[GridRow, ...]
    lines: tuple[str, ...]
    heads: tuple[str, ...] = ()
    right: frozenset[int] = frozenset()
    toned: int = 0
    wraps: bool = False
    indent: int = 0
    shares: tuple[float, ...] = ()


# What is printed: a line, or many that belong together.
Block = str | Grid
