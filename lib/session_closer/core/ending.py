"""How a run ended: whether each row is what was wanted, the exit code, and which rows are told (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from .errors import ExitCode
from .status import CHANGED, FINE, Status

if TYPE_CHECKING:
    from .report import ArtifactRow, Outcome, Report

Row = TypeVar("Row", "Outcome", "ArtifactRow")

# What goes with a session may have been left although the session itself is as it was asked for.
_WITH_MORE = frozenset({Status.CLOSED, Status.ARCHIVED, Status.RESTORED, Status.ALREADY_RESTORED})


def is_fine(row: Outcome | ArtifactRow, *, missing_ok: bool) -> bool:
    """Tell whether a row is what the caller wanted."""
    if row.status in _WITH_MORE and row.error is not None:
        return False  # only a part of what was asked
    return row.status in FINE or (missing_ok and row.status is Status.NOT_FOUND)


def exit_code(report: Report) -> ExitCode:
    """Return the exit code of a run; a dry run has the code of the real one."""
    if report.error is not None:
        return report.error.code
    if report.rehearsal is not None and report.rehearsal.differences:
        return ExitCode.SOME_FAILED
    if report.undone is not None:
        return _of_several({exit_code(each) for _, each in report.undone})
    rows: list[Outcome | ArtifactRow] = [*report.results, *(report.artifacts or ())]
    bad = [row for row in rows if not is_fine(row, missing_ok=report.missing_ok)]
    if not bad:
        return ExitCode.SOME_FAILED if report.restart.ok is False else ExitCode.OK
    # Of what is untold there may be no row, where its record cannot be read any more.
    changed = bool(report.untold) or any(row.status in CHANGED for row in rows)
    if not changed and all(row.status is Status.REFUSED for row in bad):
        return ExitCode.REFUSED
    return ExitCode.SOME_FAILED


def _of_several(codes: set[ExitCode]) -> ExitCode:
    """Return the exit code of runs that were undone together: theirs where they agree, interrupted if one was."""
    if ExitCode.INTERRUPTED in codes:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if not codes else codes.pop() if len(codes) == 1 else ExitCode.SOME_FAILED


def shown_rows(results: Sequence[Row], most: int | None) -> list[Row]:
    """Return the rows that a report shows: all that did not go well, and so many of the others."""
    if most is None:
        return list(results)
    left = most
    rows = []
    for row in results:
        fine = is_fine(row, missing_ok=False)
        left -= fine
        if not fine or left >= 0:
            rows.append(row)
    return rows
