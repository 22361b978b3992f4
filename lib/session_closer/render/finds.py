"""Sessions that were found deleted or reset, as a table and as JSON (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core import durations
from ..core.escape import plain
from ..core.report import Found

_HEADS = ("WHEN", "REASON", "SIZE", "BY", "ID", "KEY")


def as_json(row: Found) -> dict[str, Any]:
    """Return a row of `found` (docs/json.md)."""
    return {
        "id": row.id,
        "agent": row.agent,
        "key": row.key,
        "sessionId": row.session_id,
        "reason": row.reason,
        "at": row.at,
        "bytes": row.size,
        "settings": row.settings,
        "receipt": row.receipt,
        "archive": row.archive,
    }


def lines(found: Sequence[Found], most: int, back: str, *, verbose: bool) -> list[str]:
    """Return the table that a person reads, at most so many rows unless `verbose`, and the command that takes an id."""
    if not found:
        return ["nothing found"]
    shown = found if verbose else found[:most]
    cells = [_HEADS, *map(_cells, shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    out = []
    for number, row in enumerate(cells):
        out.append("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        archive = shown[number - 1].archive if number and verbose else None
        # Whoever looks into it can tell whose it was.
        out += [f"  {plain(archive)}"] if archive is not None else []
    if len(found) > len(shown):
        out.append(f"… and {len(found) - len(shown)} more (a word of the key narrows it, --verbose shows all)")
    return [
        *out,
        f"back     {back} found:ID",
        *([f"no key   {back} found:ID --as KEY"] if any(row.key is None for row in shown) else []),
    ]


def _cells(row: Found) -> tuple[str, ...]:
    size = "-" if row.size is None else durations.shown_size(row.size)
    key = "?" if row.key is None else plain(row.key)
    whose = f"{key} (agent {row.agent})" if row.key is None or not row.key.startswith("agent:") else key
    return row.at, row.reason, size, "us" if row.receipt else "-", f"found:{row.id}", whose
