"""What a report says to people: a reason that stands in a row is not said below it again."""

from __future__ import annotations

import pytest
from session_closer.core.effects import Lost
from session_closer.core.report import Outcome, Report
from session_closer.core.status import Status
from session_closer.render import text
from session_closer.render.grid import Grid

WHY = "the gateway keeps a list of its own"
KEY = "agent:project-lead:alpha"


def lines(row: Outcome) -> list[str]:
    """Return what is printed of a restore with this row."""
    found: list[str] = []
    for block in text.blocks(Report("restore-sessions", results=(row,)), verbose=False):
        found += block.lines if isinstance(block, Grid) else [block]
    return found


@pytest.mark.parametrize(
    ("error", "below"),
    [
        (f"a chat binding is not back: {WHY}", "not restored: 1 chat binding"),
        ("something else", f"not restored: 1 chat binding: {WHY}"),
        (None, f"not restored: 1 chat binding: {WHY}"),
    ],
)
def test_why_something_is_not_back_is_said_once(error: str | None, below: str) -> None:
    lost = Lost(kind="binding", count=1, why=WHY)
    row = Outcome(KEY, "project-lead", KEY, Status.RESTORED, error=error, not_restored=(lost,))
    printed = lines(row)
    assert [line.strip() for line in printed if line.strip().startswith("not restored")] == [below]
    assert sum(WHY in line for line in printed) == 1
