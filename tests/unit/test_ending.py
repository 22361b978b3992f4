"""How a run ended, as its exit code."""

from __future__ import annotations

from session_closer.core.ending import exit_code
from session_closer.core.errors import ExitCode
from session_closer.core.report import Outcome, Remainder, Report
from session_closer.core.status import Status

REFUSED = Outcome("a", "lead", "agent:lead:a", Status.REFUSED)


def test_a_run_that_has_changed_something_is_no_refusal_however_it_is_told() -> None:
    closed = Outcome("b", "lead", "agent:lead:b", Status.CLOSED)
    assert exit_code(Report("cleanup-sessions", results=(REFUSED,))) is ExitCode.REFUSED
    assert exit_code(Report("cleanup-sessions", results=(REFUSED, closed))) is ExitCode.SOME_FAILED
    by_number = Report("cleanup-sessions", results=(REFUSED,), untold=(Remainder(Status.CLOSED, 3, 12),))
    assert exit_code(by_number) is ExitCode.SOME_FAILED
