"""The runtimes: the one place that names them, and what is asked of one before a run begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import cast

from ..ports.context import Context
from ..ports.runtime import Entrance, Opening, Place, Runtime
from ..ports.undo import Past
from ..system.clock import REAL, Clock

OPENCLAW = "openclaw"
# Each by its package, which is imported when it is meant.
RUNTIMES: Mapping[str, str] = MappingProxyType({OPENCLAW: "session_closer.openclaw"})


def entrance(name: str = OPENCLAW) -> Entrance:
    """Return what a runtime's package offers."""
    return cast(Entrance, import_module(f"{RUNTIMES[name]}.entrance"))


def _opening(place: Place) -> Opening:
    return cast(Opening, import_module(f"{RUNTIMES[place.runtime]}.runtime"))


def opened(place: Place, context: Context) -> Runtime:
    """Return the runtime whose place this is, as a run sees it: its gateway is looked for, and connected to."""
    return _opening(place).opened(place, context)


def found(place: Place, context: Context) -> Runtime:
    """Return the runtime whose place this is: its gateway is looked for, and nothing is asked of it."""
    return _opening(place).found(place, context)


def from_task(task: Mapping[str, str]) -> Place:
    """Return the place that `Runtime.task` was asked for, in the process that does the task."""
    return entrance(task["runtime"]).place_of(task)


def check_place(place: Place, agents: Sequence[str]) -> None:
    """Refuse a place that is not there, or is not ours alone."""
    entrance(place.runtime).check_place(place, agents)


def past(place: Place, clock: Clock = REAL) -> Past:
    """Return what was put away below a place, as far as it is known without a gateway."""
    return entrance(place.runtime).past(place, clock)
