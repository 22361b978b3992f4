"""Runs that are cut off in the middle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

from session_closer.core import keys
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.openclaw import home
from session_closer.operations.close import execute
from session_closer.system.disk import Disk

from support.stores import Store


def perform(store: Store, *words: str, disk: Disk | None = None, **options: Any) -> Report:
    """Close sessions below the command line, on a disk of the test's choice."""
    wish = Wish("close-project-batch", tuple(keys.target(word, None) for word in words))
    return execute(home.find(os.environ, state_dir=str(store.state)), wish, Options(**options), disk=disk)


class Killed(BaseException):
    """Stands for SIGKILL."""


class DiesAt(Disk):
    """A disk whose process is killed before its step number `at`: from then on nothing takes effect."""

    def __init__(self, at: float = math.inf) -> None:
        self.at, self.steps = at, 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in vars(Disk) or name.startswith("_"):
            return found

        def step(*arguments: Any) -> Any:
            self.steps += 1
            if self.steps > self.at:
                raise Killed
            return found(*arguments)

        return step


def killed(run: Callable[[Disk], object], point: int) -> bool:
    """Run something and kill it before a step; tell whether it came to that."""
    try:
        run(DiesAt(point))
    except Killed:
        return True
    return False


class KilledDisk(Disk):
    """A disk that is cut off before or after the first call of one step: nothing takes effect from then on."""

    def __init__(self, step: str, *, after: bool = False) -> None:
        self.step = step
        self.after = after
        self.dead = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in vars(Disk) or name.startswith("_"):
            return found

        def step(*arguments: Any) -> Any:
            if self.dead:
                raise Killed
            if name != self.step:
                return found(*arguments)
            if self.after:
                found(*arguments)
            self.dead = True
            raise Killed

        return step


def interrupt(store: Store, *words: str, committed: bool) -> None:
    """Leave an interrupted run behind, killed just before or just after the new store is in place."""
    # Before: the journal is written, the new store is not in place. After: it is, but no transcript is moved.
    try:
        perform(store, *words, disk=KilledDisk("exchange", after=committed))
    except Killed:
        assert store.open_runs()
    else:
        raise AssertionError("the run was not killed")
