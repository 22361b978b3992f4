"""What is said of a run that was stopped, and what to do after it."""

from __future__ import annotations

import os

from ..core.errors import (
    Busy,
    ChangedUnderneath,
    CloserError,
    GatewayNeeded,
    Interrupted,
    PartlyDone,
    Refused,
    StorageFailed,
    UsageProblem,
)
from . import history

_ONCE_MORE = "run the same command again"
# What may end a run in its middle; its record stays open then, and the next changing command finishes it.
STOPPING = (Busy, ChangedUnderneath, GatewayNeeded, Refused, StorageFailed, OSError, KeyboardInterrupt)


def once_more(state: str) -> str:
    """Return what to do after a run that was stopped: what it has begun is in the record of a run that is open."""
    try:
        begun = history.open_runs(state)
    except CloserError:
        begun = []
    return f"{_ONCE_MORE}: it finishes what was begun" if begun else _ONCE_MORE


def nowhere(problem: Exception) -> UsageProblem | None:
    """Return what is wrong where a path begins in a folder that is gone, None where a problem is not that."""
    try:
        os.getcwd()
    except OSError:
        if isinstance(problem, FileNotFoundError):
            return UsageProblem("the folder where this was called is gone, and a path begins there", "cd elsewhere")
    return None


def storage(problem: OSError, state: str) -> CloserError:
    """Return the error of a run that the file system stopped."""
    # What was made whole by that folder has no name yet.
    gone = nowhere(problem) if problem.filename is None else None
    return gone or StorageFailed(
        f"{problem.filename or state}: {problem.strerror or problem}", f"mend that, then {once_more(state)}"
    )


def stopped(problem: BaseException, state: str, *, has_changed: bool) -> CloserError:
    """Return the error of a run below `state` that one of STOPPING has ended; `has_changed`: a store, so far."""
    if isinstance(problem, KeyboardInterrupt):
        return Interrupted("interrupted", once_more(state))
    if isinstance(problem, OSError):
        return storage(problem, state)
    assert isinstance(problem, CloserError)
    # Exit 3 promises that nothing was changed.
    return PartlyDone(problem) if isinstance(problem, Refused) and has_changed else problem
