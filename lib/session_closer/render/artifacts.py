"""What happened to the files of a home, as lines for people and as members of JSON (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core import durations
from ..core.ending import is_fine
from ..core.escape import plain
from ..core.status import Status
from . import amounts
from .grid import Block, Grid, GridRow, Tone

if TYPE_CHECKING:
    from ..core.report import ArtifactRow, Report
    from ..core.shown import Totals

SHOWN_ROWS = 20
_NOTHING = {"restore-sessions": "nothing to restore"}


def blocks(report: Report, *, verbose: bool) -> list[Block]:
    """Return what a person reads on stdout; bounded unless `verbose`."""
    rows, totals = report.artifacts or (), report.totals
    out: list[Block] = [f"rules    {report.rules}"] if report.rules is not None else []
    if rows:
        out += [_headline(report, rows), *_rows(report, rows, verbose=verbose)]
    elif report.error is None:
        out.append(_NOTHING.get(report.operation, "nothing to clean up"))
    if totals is not None and report.error is None:
        out += _left(totals)
    copies = report.exported or ()
    out += [f"exported {plain(copy.path)}" for copy in (copies if verbose else copies[:SHOWN_ROWS])]
    if len(copies) > SHOWN_ROWS and not verbose:
        out.append(f"  … and {len(copies) - SHOWN_ROWS:,} more (--verbose shows all)")
    if report.receipt is not None:
        out.append(f"receipt  {report.receipt}")
    if report.undo is not None:
        out.append(f"undo     {report.undo}")
    return out


def _headline(report: Report, rows: Sequence[ArtifactRow]) -> str:
    count = Counter(row.status for row in rows)
    count.update({more.status: more.number for more in report.untold})
    stays = sum(report.totals.spared.values()) if report.totals is not None else 0
    # All that is kept is counted, also what no row is about.
    words = [f"{count[one]:,} {one.replace('_', ' ')}" for one in Status if count[one] and one is not Status.KEPT]
    words += [f"{stays:,} kept"] if report.totals is not None else []
    return amounts.ahead(report, rows) + ", ".join(words) + amounts.said(report, rows)


def _rows(report: Report, rows: Sequence[ArtifactRow], *, verbose: bool) -> list[Block]:
    ordered = sorted(rows, key=lambda row: is_fine(row, missing_ok=False))
    shown = ordered if verbose else ordered[:SHOWN_ROWS]
    cells = [_cells(row) for row in shown]
    widths = [max(map(len, column)) for column in list(zip(_HEADS, *cells, strict=True))[:-1]]
    lines = []
    for line in (_HEADS, *cells):
        padded = [
            cell.rjust(width) if at in _RIGHT else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=False))
        ]
        lines.append("  ".join(["", *padded, line[-1]]))
    grid = tuple(GridRow(line, tone=_tone(row)) for line, row in zip(cells, shown, strict=True))
    out: list[Block] = [Grid(grid, tuple(lines), _HEADS, _RIGHT, wraps=True, indent=2)]
    if left := len(ordered) - len(shown) + sum(more.number for more in report.untold):
        out.append(f"  … and {left:,} more (--verbose shows all)")
    return out


_HEADS = ("STATUS", "KIND", "AGE", "SIZE", "PATH")
_RIGHT = frozenset({2, 3})


def _cells(row: ArtifactRow) -> tuple[str, ...]:
    said = row.error or (row.why if row.status is Status.KEPT else None)
    return (
        str(row.status),
        row.kind or "-",
        "-" if row.age is None else durations.shown(row.age),
        "-" if row.size is None else durations.shown_size(row.size),
        plain(row.path) + (f"  {said}" if said else ""),
    )


def _tone(row: ArtifactRow) -> Tone:
    if not is_fine(row, missing_ok=False):
        return "bad"
    if row.status.startswith("would_"):
        return "ahead"
    return "quiet" if row.status in (Status.KEPT, Status.ALREADY_RESTORED) else "good"


def _left(totals: Totals) -> list[str]:
    """Return a line for what stays, and one where that is more than was to stay."""
    out = []
    if totals.spared:
        out.append(f"kept     {', '.join(f'{count:,} {why}' for why, count in totals.spared.items())}")
    if totals.over_budget:
        out.append("budget   more stays than --max-disk: what is in use, or too young, is not taken for it")
    return out


def members(report: Report, rows: Sequence[ArtifactRow]) -> dict[str, Any]:
    """Return what the envelope has of a runtime that keeps files (docs/json.md); `rows` are those that are told."""
    found: dict[str, Any] = {"results": [_result(row) for row in rows]}
    if report.totals is not None:
        found |= {
            "spared": dict(report.totals.spared),
            "overBudget": report.totals.over_budget,
        }
    return found


def _result(row: ArtifactRow) -> dict[str, Any]:
    return {
        "path": row.path,
        "kind": row.kind or None,
        "agent": row.agent or None,
        "sessionId": row.session_id,
        "ok": is_fine(row, missing_ok=False),
        "status": str(row.status),
        "reason": row.why or None,
        "ageSeconds": None if row.age is None else int(row.age),
        "bytes": row.size,
        "error": row.error,
        "export": row.export,
        **({"run": row.run} if row.run is not None else {}),
    }
