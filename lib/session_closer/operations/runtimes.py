"""The runtimes: the one place that names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..openclaw import access
from ..openclaw.home import Home
from ..openclaw.runtime import OpenClawRuntime, place_of
from ..ports.context import Context

# Where a runtime keeps things, as the command line names it.
Place = Home


def opened(where: Home, context: Context) -> OpenClawRuntime:
    """Return the runtime whose place this is, as a run sees it: its gateway is looked for."""
    return OpenClawRuntime.opened(where, context)


def found(where: Home, context: Context) -> OpenClawRuntime:
    """Return the runtime whose place this is: its gateway is looked for, and nothing is asked of it."""
    return OpenClawRuntime.found(where, context)


def from_task(task: Mapping[str, str]) -> Home:
    """Return the place that `Runtime.task` was asked for, in the process that does the task."""
    return place_of(task)


def check_place(where: Home, agents: Sequence[str]) -> None:
    """Refuse a place that is not there, or is not ours alone."""
    access.check_place(where, list(agents))
