"""The runtimes: the one place that names them, and what is asked of one before a run begins."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from ..core.errors import UsageProblem
from ..core.escape import quoted
from ..core.tuples import NamedTuple
from ..system.clock import REAL, Clock

if TYPE_CHECKING:
    from ..ports import artifacts
    from ..ports.context import Context
    from ..ports.past import Past
    from ..ports.runtime import Entrance, Opening, Place, Runtime

OPENCLAW = "openclaw"
# Each by its package, which is imported when it is meant.
RUNTIMES: Mapping[str, str] = MappingProxyType({OPENCLAW: "session_closer.openclaw"})


class Files(NamedTuple):
    """A runtime that keeps files: its package, and what lies in a home of it and of no other runtime."""

    package: str
    marks: tuple[str, ...]


FILES: Mapping[str, Files] = MappingProxyType(
    {
        "hermes": Files("session_closer.hermes", ("state.db",)),
        "nanoclaw": Files("session_closer.nanoclaw", ("data/v2.db", "store/messages.db")),
    }
)


def homes(
    environ: Mapping[str, str], *, runtime: str | None, named: str | None, profile: str | None
) -> artifacts.Place | None:
    """Return the place of a runtime that keeps files; None where one with stores is meant.

    `runtime` is its name, None: it is told by what lies in the folder that is `named`.
    """
    if runtime is None and named is not None:
        runtime = next((name for name, one in FILES.items() if _has_one(named, one.marks)), None)
    if runtime is None or runtime in RUNTIMES:
        return None
    if runtime not in FILES:
        raise UsageProblem(f"{quoted(runtime)} is no runtime", f"--runtime {'|'.join((*RUNTIMES, *FILES))}")
    found = cast("artifacts.Entrance", import_module(f"{FILES[runtime].package}.entrance"))
    return found.find(environ, named=named, profile=profile)


def exporting(name: str) -> artifacts.Exporting:
    """Return what exports sessions of a runtime that keeps files."""
    return cast("artifacts.Exporting", import_module(f"{FILES[name].package}.parts"))


def _has_one(folder: str, marks: Sequence[str]) -> bool:
    return any(os.path.lexists(os.path.join(os.path.expanduser(folder), mark)) for mark in marks)


def entrance(name: str = OPENCLAW) -> Entrance:
    """Return what a runtime's package offers."""
    return cast("Entrance", import_module(f"{RUNTIMES[name]}.entrance"))


def _opening(place: Place) -> Opening:
    return cast("Opening", import_module(f"{RUNTIMES[place.runtime]}.runtime"))


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


def exposure(place: Place) -> list[str]:
    """Return a line for each folder that others may write to, and one where nothing there is of the runtime."""
    return entrance(place.runtime).exposure(place)


def apart(place: Place) -> Place:
    """Return a place whose gateway is neither looked for nor asked."""
    return entrance(place.runtime).apart(place)


def past(place: Place, clock: Clock = REAL) -> Past:
    """Return what was put away below a place, as far as it is known without a gateway."""
    return entrance(place.runtime).past(place, clock)
