"""What is said of a run that was stopped, and what to do after it."""

from __future__ import annotations

from ..core.errors import CloserError, StorageFailed
from . import history

_ONCE_MORE = "run the same command again"


def once_more(state: str) -> str:
    """Return what to do after a run that was stopped: what it has begun is in the record of a run that is open."""
    try:
        begun = history.open_runs(state)
    except CloserError:
        begun = []
    return f"{_ONCE_MORE}: it finishes what was begun" if begun else _ONCE_MORE


def storage(problem: OSError, state: str) -> StorageFailed:
    """Return the error of a run that the file system stopped."""
    return StorageFailed(
        f"{problem.filename or state}: {problem.strerror or problem}", f"mend that, then {once_more(state)}"
    )
