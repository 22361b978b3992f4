"""A run of --demo: on a sample store in a temporary directory, which is thrown away."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any, Protocol

from ..core.errors import UsageProblem
from ..core.report import Report
from ..core.wish import Options, Wish
from ..operations import runtimes
from ..ports.context import Console as Heard
from ..ports.context import Context
from ..ports.runtime import Place

_ABOUT = (
    "This is a demonstration: nothing of yours is touched. "
    "Its sample store is removed at the end, with every file that is named below."
)


class Console(Protocol):
    """Where a run of the sample says what it does; with `as_json` nothing may be said but the report."""

    as_json: Any

    def say(self, *lines: str) -> None:
        """Print lines for people."""

    def tell(self, line: str) -> None:
        """Say a line at once, before slow work begins."""

    def show(self, found: Report) -> int:
        """Print a report; return its exit code."""


def perform(wish: Wish, options: Options, console: Console, execute: Callable[..., Report]) -> int:
    """Run a wish on the sample, with before and after for people; return its exit code.

    `execute` does what is wished: `operations.close.execute`.
    """
    if options.export is not None:
        raise UsageProblem("--demo keeps nothing", "leave out --export")
    with tempfile.TemporaryDirectory(prefix="session-closer-demo-") as place:
        where = runtimes.entrance().sample(os.path.realpath(os.path.join(place, "state")))
        if not console.as_json:
            console.say(_ABOUT, "", "before", *_listing(where), "")
        found = execute(where, wish, options, console=Heard(console.tell))
        code = console.show(found)
        if not console.as_json and not options.dry_run:
            console.say("", "after", *_listing(where))
        return code


def _listing(where: Place) -> list[str]:
    lines = []
    runtime = runtimes.found(where, Context(Options(dry_run=True)))
    for agent in where.agents():
        store = runtime.detect(agent)
        assert store is not None
        keys = store.read().sessions
        # Counted: what a report calls kept is of the agents that it is about.
        lines += [f"  agent {agent}, {len(keys)} sessions", *(f"    {key}" for key in keys)]
    return lines
