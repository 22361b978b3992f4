"""Sessions in columns: those of a list, and those that were found deleted or reset (pure)."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core import durations, keys
from ..core.escape import plain
from .grid import Block, Grid, GridRow, Tone

if TYPE_CHECKING:
    from ..core.selection import Listing, Row
    from ..core.shown import Found

_MOST_COLUMNS = 40
_HEADS = ("WHEN", "REASON", "SIZE", "BY", "ID", "KEY")


def listed(listing: Listing, *, verbose: bool = False, width: int | None = None) -> list[Block]:
    """Return the table that a person reads, the model where it fits into `width` columns, or with `verbose`."""
    if listing.error is not None:
        return []
    out: list[Block] = [_counted(listing)]
    if listing.rows:
        table = _table(listing.rows, model=verbose)
        if not verbose and width is not None:
            wider = _table(listing.rows, model=True)
            table = wider if max(map(_columns, wider.lines)) <= width else table
        out.append(table)
    if listing.has_more:
        out.append(f"{listing.total - len(listing.rows):,} more: --limit all shows them, a word or --kind finds some")
    return out


def _counted(listing: Listing) -> str:
    """Return how many sessions there are, and how many of them are shown."""
    total = listing.total
    if not total:
        return "no sessions"
    all_of_them = f"{total:,} session{'' if total == 1 else 's'}"
    return f"{all_of_them}, {len(listing.rows):,} of them shown" if listing.has_more else all_of_them


def _table(rows: Sequence[Row], *, model: bool) -> Grid:
    """Return a line for the heads and one for each session: all columns aligned, the key last."""
    heads = ("AGE", "KIND", "STATUS", "SIZE", "PROTECTED", *(["MODEL"] if model else []), "KEY")
    cells = [heads, *(_cells(row, model=model) for row in rows)]
    widths = [max(map(_columns, column)) for column in zip(*cells, strict=True)]
    right = frozenset(map(heads.index, ("AGE", "SIZE")))
    # Nothing follows the key, and a long one would make every line as long.
    lines = tuple(
        "  ".join([*(_padded(cell, widths[at], at in right) for at, cell in enumerate(line[:-1])), line[-1]])
        for line in cells
    )
    shown = tuple(GridRow(line, tone=_tone(row)) for line, row in zip(cells[1:], rows, strict=True))
    return Grid(shown, lines, heads, right, heads.index("STATUS"), wraps=True)


def _tone(row: Row) -> Tone:
    if row.session.archived:
        return "quiet"
    return "busy" if row.running or row.session.status == "running" else ""


def _cells(row: Row, *, model: bool) -> tuple[str, ...]:
    session = row.session
    whose = "" if keys.agent_of(session.key) == row.agent or row.agent is None else f" (agent {plain(row.agent)})"
    return (
        "?" if row.age is None else durations.shown(row.age),
        str(row.kind),
        _cut(_status(row), _MOST_COLUMNS),
        "?" if row.size is None else durations.shown_size(row.size),
        row.protected or "-",
        *([_cut(_word(session.model), _MOST_COLUMNS)] if model else []),
        plain(session.key) + whose,
    )


def _status(row: Row) -> str:
    if row.session.archived:
        return "archived"
    # Left over from a crash, as a rule: nothing runs, so it protects from nothing.
    return "running?" if row.session.status == "running" and not row.running else _word(row.session.status)


def _word(text: str | None) -> str:
    return plain(text) if text else "-"


def found(sessions: Sequence[Found], most: int, back: str, *, verbose: bool) -> list[Block]:
    """Return the table that a person reads, at most so many rows unless `verbose`, and the command that takes an id."""
    if not sessions:
        return ["nothing found"]
    shown = sessions if verbose else sessions[:most]
    cells = [_HEADS, *map(_found_cells, shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines, rows = [], []
    for number, row in enumerate(cells):
        lines.append("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        archive = shown[number - 1].archive if number and verbose else None
        # Whoever looks into it can tell whose it was.
        below = (plain(archive),) if archive is not None else ()
        lines += [f"  {line}" for line in below]
        rows.append(GridRow(row, below))
    out: list[Block] = [Grid(tuple(rows[1:]), tuple(lines), _HEADS, wraps=True)]
    if len(sessions) > len(shown):
        out.append(f"… and {len(sessions) - len(shown)} more (a word of the key narrows it, --verbose shows all)")
    return [
        *out,
        f"back     {back} found:ID",
        *([f"no key   {back} found:ID --as KEY"] if any(row.key is None for row in shown) else []),
    ]


def _found_cells(row: Found) -> tuple[str, ...]:
    size = "-" if row.size is None else durations.shown_size(row.size)
    key = "?" if row.key is None else plain(row.key)
    whose = f"{key} (agent {row.agent})" if row.key is None or not row.key.startswith("agent:") else key
    return row.at, row.reason, size, "us" if row.receipt else "-", f"found:{row.id}", whose


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return len(text) if text.isascii() else sum(map(_column, text))


def _column(character: str) -> int:
    # A combining mark takes none, and a line that is too short does no harm.
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _padded(text: str, width: int, right: bool) -> str:  # noqa: FBT001
    blank = " " * (width - _columns(text))
    return blank + text if right else text + blank


def _cut(text: str, width: int) -> str:
    """Return a text in at most `width` columns, with … where something is missing."""
    if _columns(text) <= width:
        return text
    room, kept = max(0, width - 1), []
    for character in text:
        room -= _column(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"
