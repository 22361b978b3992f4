"""Disks that fail on purpose: kills, errors and interrupts before and after each step that changes something."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from session_closer.system.disk import Disk
from support.early import import_all
from support.users import fork

import_all()


# Made of other steps, which can be killed between.
COMPOSED = frozenset({"rename_new", "take_name", "move_new"})
STEPS = sorted(
    {name for name, _ in inspect.getmembers(Disk, inspect.isfunction) if not name.startswith("_")} - COMPOSED
)
# A kill before and after these leaves the same disk: only a power cut tells them apart.
NO_CHANGE = frozenset({"sync", "sync_folder", "close"})
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.EINTR)
# Called before and after each step: number, name, "before" or "after".
At = Callable[[int, str, str], None]


class Counting(Disk):
    """A disk that calls `at(number, name, when)` before and after each step."""

    def __init__(self, at: At) -> None:
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


class Plain(Counting):
    """A file system that can neither exchange nor rename without replacing: NFS."""

    def rename_exclusive(self, source: str, target: str) -> bool:
        return False

    def move_exclusive(self, folder: int, source: str, target: int, name: str) -> bool:
        return False

    def exchange(self, one: str, other: str) -> bool:
        return False


class Bare(Plain):
    """One that has no hard links either: virtiofs, FUSE, what Android shares."""

    def link(self, source: str, target: str) -> bool:
        return False


class Torn(Disk):
    """A disk that writes at most three bytes at a time."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:3])


class Tearing(Counting):
    """A disk on which the write that is step number `point` puts down `share` of its bytes, then calls `then`."""

    def __init__(self, at: At, point: int, share: float, then: Callable[[], None]) -> None:
        super().__init__(at)
        self.point, self.share, self.then = point, share, then

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.calls != self.point:
            return int(super().write(descriptor, data))
        self.calls += 1
        written = os.write(descriptor, data[: int(len(data) * self.share)])
        self.then()
        return written


def nothing(_number: int, _name: str, _when: str) -> None:
    """Let every step go through."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: int, when: str) -> At:
    """Kill before or after one step."""

    def at(number: int, _name: str, moment: str) -> None:
        if (number, moment) == (point, when):
            kill()

    return at


def fail_at(point: int, when: str, number: int) -> At:
    """Fail at one step: before it has an effect, or after it had one."""

    def at(step: int, _name: str, moment: str) -> None:
        if (step, moment) == (point, when):
            raise OSError(number, os.strerror(number), "injected")

    return at


def fail_from(point: int, names: Iterable[str], number: int) -> At:
    """Fail at every step of these names, from one step on: a disk that is full stays full."""
    failing = frozenset(names)

    def at(step: int, name: str, moment: str) -> None:
        if step >= point and moment == "before" and name in failing:
            raise OSError(number, os.strerror(number), "injected")

    return at


def interrupt_at(point: int) -> At:
    """Press control-C before one step."""

    def at(step: int, _name: str, moment: str) -> None:
        if (step, moment) == (point, "before"):
            raise KeyboardInterrupt

    return at


def in_child(work: Callable[[], Any]) -> int:
    """Run something in a forked process; return its wait status. A traceback there is an exit code of 99."""
    pid = fork()
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
