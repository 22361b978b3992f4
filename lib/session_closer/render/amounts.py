"""How much a run puts away, frees and brings back: as the end of its first line, and as members of JSON (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core import amounts, durations

if TYPE_CHECKING:
    from ..core.amounts import Amount
    from ..core.report import ArtifactRow, Outcome, Report


def ahead(report: Report, rows: Sequence[Outcome | ArtifactRow]) -> str:
    """Return what a first line begins with where nothing was changed, else ""."""
    if report.dry_run:
        return "dry run, nothing changed: "
    return "nothing changed: " if is_plan(report, rows) else ""


def is_plan(report: Report, rows: Sequence[Outcome | ArtifactRow]) -> bool:
    """Tell whether rows say what would be done, as the run was refused as a whole."""
    return report.receipt is None and report.error is not None and any(row.status.startswith("would_") for row in rows)


def said(report: Report, rows: Sequence[Outcome | ArtifactRow]) -> str:
    """Return the end of a first line, "" where nothing is put away, freed or brought back, or no size is known."""
    found, would = amounts.of(rows, report.untold), report.dry_run or is_plan(report, rows)
    parts = []
    if found.put_away.number or found.freed.number:
        parts += _sized("would put away" if would else "put away", found.put_away)
        parts += [f"{part} now" for part in _sized("would free" if would else "freed", found.freed)]
    if found.back.number:
        parts += _sized("would bring back" if would else "brought back", found.back)
    return f"; {', '.join(parts)}" if parts else ""


def _sized(verb: str, amount: Amount) -> list[str]:
    return [] if amount.size is None else [f"{verb} {durations.spelled_size(amount.size)}"]


def members(report: Report) -> dict[str, Any]:
    """Return what the envelope has of it (docs/json.md)."""
    found = amounts.of([*report.results, *(report.artifacts or ())], report.untold)
    return {"putAway": _member(found.put_away), "freed": _member(found.freed), "broughtBack": _member(found.back)}


def _member(amount: Amount) -> dict[str, int | None]:
    return {"count": amount.number, "bytes": amount.size}
