"""What can be brought back: the receipts, and what anybody has deleted or reset; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.report import Report
from ..journal import history
from ..ports.runtime import Place
from ..system.clock import Clock
from . import runs, runtimes


def receipts(where: Place, report: Report, most: int | None, clock: Clock) -> Report:
    """Return a report with the first `most` receipts of a place, None: all of them."""
    runtimes.check_place(where, [])
    told = runs.listed(where.state, report, most, clock)
    return told._replace(warnings=(*runtimes.exposure(where), *told.warnings))


def deleted(where: Place, report: Report, words: Sequence[str], most: int | None) -> Report:
    """Return a report with what anybody has deleted or reset and has one of the words in it, if any are given.

    `most`: how many of them a document shows, None for all.
    """
    runtimes.check_place(where, [])
    found, warnings = runtimes.past(where).found(words, most)
    return report._replace(
        found=tuple(found),
        most_rows=len(found) if most is None else most,
        warnings=(*runtimes.exposure(where), *history.interrupted(where.state), *warnings),
    )
