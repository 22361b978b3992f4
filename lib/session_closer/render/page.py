"""One page for a browser: bars, and a table to sort and search; nothing in it comes from elsewhere (pure)."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from ..core import durations, escape
from ..core.tuples import NamedTuple
from .page_parts import SCRIPT, STYLE

_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class Cell(NamedTuple):
    """What stands in a table, and the number by which it is sorted, None: by the text."""

    text: str
    value: float | None = None


class Line(NamedTuple):
    """A row of the table: `tone` is "goes", "stays", or "" where nothing is planned."""

    cells: tuple[Cell, ...]
    tone: str = ""


class Bar(NamedTuple):
    """One bar of a chart: how many things of a name there are, their bytes, and those of the ones that go."""

    name: str
    number: int
    size: int
    going: int = 0


class Chart(NamedTuple):
    """Bars under one heading."""

    name: str
    bars: tuple[Bar, ...]


class Column(NamedTuple):
    """The head of a column; `number`: its cells stand at their right, `long`: they may go on in a next line."""

    name: str
    number: bool = False
    long: bool = False


class Page(NamedTuple):
    """What a page says: a heading, lines below it, figures as (word, text), charts, a table, and notes at its end.

    `planned`: it is about what goes and what stays.
    """

    heading: str
    said: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    charts: tuple[Chart, ...]
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    planned: bool = False


def as_html(page: Page) -> str:
    """Return a page as one HTML document; whatever is in it is text."""
    policy = "; ".join(
        (
            "default-src 'none'", f"style-src {_hash(STYLE)}", f"script-src {_hash(SCRIPT)}", "base-uri 'none'",
            "form-action 'none'",
        )
    )  # fmt: skip
    body = (
        f"<header><h1>{_text(page.heading)}</h1>",
        *(f"<p>{_text(line)}</p>" for line in page.said),
        "</header>",
        *_figures(page.figures),
        *_charts(page.charts, planned=page.planned),
        *_table(page),
        *_notes(page.notes),
    )
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            f"<title>{_text(page.heading)}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *body,
            "</main>",
            f"<script>{SCRIPT}</script>",
            "</body>",
            "</html>",
            "",
        )
    )


def _hash(text: str) -> str:
    digest = codecs.encode(hashlib.sha256(text.encode()).digest(), "base64").decode().strip()
    return f"'sha256-{digest}'"


def _text(text: str) -> str:
    return escape.shown(text).translate(_HTML)


def _figures(figures: Sequence[tuple[str, str]]) -> Iterator[str]:
    if figures:
        cells = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(said)}</dd></div>" for name, said in figures)
        yield f"<dl>{cells}</dl>"


def _charts(charts: Iterable[Chart], *, planned: bool) -> Iterator[str]:
    drawn = [chart for chart in charts if chart.bars]
    if not drawn:
        return
    if planned:
        yield '<p class="key"><span class="goes"></span> goes <span class="stays"></span> stays</p>'
    yield '<div class="charts">'
    for chart in drawn:
        most = max(bar.size for bar in chart.bars) or 1
        yield f'<section><h2>{_text(chart.name)}</h2><table class="bars">'
        yield from (_bar(bar, most, planned=planned) for bar in chart.bars)
        yield "</table></section>"
    yield "</div>"


def _bar(bar: Bar, most: int, *, planned: bool) -> str:
    goes, all_of_it = bar.going / most * 100, bar.size / most * 100
    drawn = f'<rect class="stays" width="{all_of_it:.2f}%" height="100%"/>'
    said = f"{bar.number:,}, {durations.spelled_size(bar.size)}"
    if planned:
        drawn += f'<rect class="goes" width="{goes:.2f}%" height="100%"/>'
        said += f", of which {durations.spelled_size(bar.going)} goes"
    picture = f'<svg role="img" aria-label="{_text(said)}" preserveAspectRatio="none">{drawn}</svg>'
    size = durations.spelled_size(bar.size)
    return (
        f'<tr><th scope="row">{_text(bar.name)}</th><td>{picture}</td>'
        f'<td class="n">{_text(size)}</td><td class="n count">{bar.number:,}</td></tr>'
    )


def _table(page: Page) -> Iterator[str]:
    if not page.lines:
        return
    yield '<form role="search"><input type="search" id="q" placeholder="Search" aria-label="Search the table"'
    yield f' autocomplete="off"> <output id="n">{len(page.lines):,} of {len(page.lines):,}</output></form>'
    yield '<div class="wide"><table id="t"><thead><tr>'
    for column in page.columns:
        yield f'<th scope="col"{_class(column)}><button type="button">{_text(column.name)}</button></th>'
    yield "</tr></thead><tbody>"
    for line in page.lines:
        cells = "".join(_cell(cell, column) for cell, column in zip(line.cells, page.columns, strict=True))
        tone = f' class="{line.tone}"' if line.tone else ""
        yield f"<tr{tone}>{cells}</tr>"
    yield "</tbody></table></div>"


def _class(column: Column) -> str:
    return ' class="n"' if column.number else ' class="l"' if column.long else ""


def _cell(cell: Cell, column: Column) -> str:
    value = "" if cell.value is None else f' data-v="{cell.value:g}"' if abs(cell.value) < 1e6 else ""
    if cell.value is not None and not value:
        # A row may hold more than any float does.
        value = f' data-v="{cell.value}"' if isinstance(cell.value, int) else f' data-v="{cell.value:.0f}"'
    return f"<td{_class(column)}{value}>{_text(cell.text)}</td>"


def _notes(notes: Iterable[str]) -> Iterator[str]:
    lines = "".join(f"<li>{_text(note)}</li>" for note in notes)
    if lines:
        yield f"<footer><h2>Notes</h2><ul>{lines}</ul></footer>"
