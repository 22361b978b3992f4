"""Disks that fail on purpose, and a way to run a batch on them in a process of its own."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import traceback
from collections.abc import Callable
from typing import Any

from session_closer import keys
from session_closer.executor import execute
from session_closer.files import Disk
from session_closer.home import Home
from session_closer.model import Options, Report, Wish

STEPS = [name for name, _ in inspect.getmembers(Disk, inspect.isfunction) if not name.startswith("_")]
TARGETS = (
    "kelly-dashboard",
    "hydration-tracker",
    "cron:nightly-report",
    "invoice-import",
    "agent:researcher:kelly-dashboard",
)
CLOSING = {
    "project-lead": {
        "agent:project-lead:kelly-dashboard",
        "agent:project-lead:project-kelly-dashboard",
        "agent:project-lead:project-hydration-tracker",
        "project-hydration-tracker",
        "agent:project-lead:cron:nightly-report",
        "agent:project-lead:invoice-import",
    },
    "researcher": {"agent:researcher:kelly-dashboard"},
}


class Counting(Disk):
    """A disk that calls `at(number, name, when)` before and after each step."""

    def __init__(self, at: Callable[[int, str, str], None]) -> None:
        self.calls = 0
        self.at = at


def _wrap(name: str) -> Callable[..., Any]:
    real = getattr(Disk, name)

    def step(self: Counting, *arguments: Any) -> Any:
        number = self.calls
        self.calls += 1
        self.at(number, name, "before")
        try:
            return real(self, *arguments)
        finally:
            self.at(number, name, "after")

    return step


for _name in STEPS:
    setattr(Counting, _name, _wrap(_name))


class Torn(Disk):
    """A disk that writes at most three bytes at a time."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:3])


def batch(state: str, disk: Disk) -> Report:
    """Run the batch of every sweep: two agents, bare and legacy keys, shared transcripts."""
    wish = Wish("close-project-batch", tuple(keys.target(word, None) for word in TARGETS))
    return execute(Home(state, "demo", {}, isolated=True), wish, Options(), disk=disk)


def in_child(work: Callable[[], Any]) -> int:
    """Run something in a forked process; return its wait status. A traceback there is an exit code of 99."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def killed_at(state: str, point: int, when: str) -> bool:
    """Run the batch and kill it with SIGKILL before or after its step number `point`; tell whether it was hit."""

    def at(number: int, name: str, moment: str) -> None:
        if (number, moment) == (point, when):
            os.kill(os.getpid(), signal.SIGKILL)

    status = in_child(lambda: batch(state, Counting(at)))
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def fresh(template: str, state: str) -> str:
    """Return a fresh copy of a state directory, in the same place each time: transcripts are named by path."""
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(template, state)
    return state
