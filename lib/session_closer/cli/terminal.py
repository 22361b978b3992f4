"""What is drawn with rich, on a terminal and nowhere else: tables, their colours, and how far a run is."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..core.durations import about
from ..core.escape import shown
from ..render.grid import Grid, GridRow

# What rich draws of a table takes it some ms a hundred rows: who asks for more than a screen or ten wants them at once.
_MOST_ROWS = 500
# Below it words are torn apart.
_LEAST_ROOM = 24
_MOST_OF_A_NAME = 64
_GAP = 2
_FAST = 10
_SHORTEST_BAR, _LONGEST_BAR = 8, 40
_STYLES = {"": "", "good": "green", "ahead": "cyan", "bad": "bold red", "busy": "yellow", "quiet": "dim"}


def lines(grid: Grid, width: int, encoding: str = "utf-8") -> Iterator[str]:
    """Yield a table as lines of a terminal of so many columns, styled, with nothing of the data in control."""
    if grid.shares and len(grid.rows) <= _MOST_ROWS:
        grid = _with_bars(grid, width, encoding)
    widths = _widths(grid, width)
    if widths is None:
        yield from map(shown, grid.lines)
        return
    console = _console(width)
    if grid.heads:
        yield from _drawn(console, grid, widths, [GridRow(grid.heads)], style="bold")
    together: list[GridRow] = []
    for row in grid.rows:
        together.append(row)
        if row.below:
            yield from _drawn(console, grid, widths, together)
            together = []
            yield from _below(console, row.below, grid.indent + widths[0] + 2 * _GAP, width)
    if together:
        yield from _drawn(console, grid, widths, together)


def _with_bars(grid: Grid, width: int, encoding: str) -> Grid:
    """Return a table with a bar behind each row, as long as its share of the room that is left; as it is: none is."""
    used = max(cell_len(shown(line)) for line in grid.lines)
    room = min(width - used - 2 * _GAP, _LONGEST_BAR)
    if room < _SHORTEST_BAR:
        return grid
    mark = _bar_mark(encoding)
    bars = [mark * max(1, round(share * room)) if share else "" for share in grid.shares]
    rows = tuple(row._replace(cells=(*row.cells, bar)) for row, bar in zip(grid.rows, bars, strict=True))
    lines = tuple(f"{line}  {bar}".rstrip() for line, bar in zip(grid.lines, ("", *bars), strict=True))
    return grid._replace(rows=rows, lines=lines, heads=(*grid.heads, ""))


def _bar_mark(encoding: str) -> str:
    """Return what bars are made of, in an encoding that may not have blocks."""
    try:
        "\u2588".encode(encoding)
    except UnicodeEncodeError:
        return "#"
    return "\u2588"


def progress(done: int, total: int, rate: float, width: int, encoding: str, *, ahead: str = "") -> str:
    """Return one line that says how far work is, how fast it goes (`rate` a second), and how long it takes yet.

    `ahead` is what stands before that: how far is what this work is a part of.
    """
    table = Table.grid(padding=0)
    words = [f"{done:,} of {total:,}"]
    if rate > 0:
        words += [f"{rate:,.0f}/s" if rate >= _FAST else f"{rate:.1f}/s", f"{about((total - done) / rate)} left"]
    # The last column stays free: a terminal would go on in the next line.
    room = width - 1 - sum(len(word) + _GAP for word in (*words, *filter(None, [ahead])))
    if room >= len(words[0]):
        bar = ProgressBar(total=total, completed=done, width=min(room, 40))
        table.add_row(*([f"{ahead}  "] if ahead else []), bar, *(f"  {word}" for word in words))
    else:
        table.add_row(ahead or words[0])
    return next(_printed(_console(width, encoding), table))


def _console(width: int, encoding: str = "utf-8") -> Console:
    environ = os.environ
    known = Console(force_terminal=True, color_system="auto", file=io.StringIO()).color_system
    system = known or ("standard" if environ.get("FORCE_COLOR") else None)
    return Console(
        # Nothing is written there: it says what the terminal can show.
        file=io.TextIOWrapper(io.BytesIO(), encoding=encoding),
        width=width,
        force_terminal=True,
        color_system=None if environ.get("NO_COLOR") else system,  # type: ignore[arg-type]
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )


def _widths(grid: Grid, width: int) -> list[int] | None:
    """Return the columns that each cell takes, None where there is no room for a table or too much to draw."""
    if len(grid.rows) > _MOST_ROWS:
        return None
    cells = [grid.heads, *(row.cells for row in grid.rows)] if grid.heads else [row.cells for row in grid.rows]
    widths = [max(cell_len(shown(cell)) for cell in column) for column in zip(*cells, strict=True)]
    if grid.wraps:
        widths = [min(one, _MOST_OF_A_NAME) for one in widths[:-1]] + widths[-1:]
    room = width - grid.indent - sum(widths[:-1]) - _GAP * (len(widths) - 1)
    if room < min(widths[-1], _LEAST_ROOM):
        return None
    return [*widths[:-1], min(room, widths[-1])]


def _drawn(
    console: Console, grid: Grid, widths: Sequence[int], rows: Sequence[GridRow], style: str = ""
) -> Iterator[str]:
    last = len(widths) - 1
    table = Table.grid(padding=0)
    if grid.indent:
        table.add_column(width=grid.indent)
    for at, width in enumerate(widths):
        # Blanks of our own: what rich takes for padding into a width is not the same in all its versions.
        table.add_column(
            width=width + (_GAP if at < last else 0),
            no_wrap=not grid.wraps,
            overflow="fold" if grid.wraps else "ellipsis",
            style=style,
        )
    for row in rows:
        texts = [_cell(console, grid, widths, at, cell) for at, cell in enumerate(row.cells)]
        texts[grid.toned].stylize(_STYLES[row.tone])
        table.add_row(*([Text()] if grid.indent else []), *texts)
    yield from _printed(console, table)


def _cell(console: Console, grid: Grid, widths: Sequence[int], at: int, cell: str) -> Text:
    text = Text(shown(cell))
    if at in grid.right:
        text.pad_left(max(0, widths[at] - text.cell_len))
    elif at < len(widths) - 1 and text.cell_len > widths[at]:
        return Text("\n").join(text.wrap(console, widths[at], overflow="fold"))
    return text


def _below(console: Console, below: Sequence[str], indent: int, width: int) -> Iterator[str]:
    for line in below:
        for part in Text(shown(line)).wrap(console, max(1, width - indent), overflow="fold"):
            yield " " * indent + part.plain.rstrip()


def _printed(console: Console, table: Table) -> Iterator[str]:
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        yield line.rstrip()
