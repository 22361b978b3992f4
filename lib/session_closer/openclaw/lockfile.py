"""What OpenClaw's lock files say: whose they are, how old, and whether that process still holds them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ..core.tuples import NamedTuple
from ..system import processes, trust
from ..system.files import is_no_file

# A transcript's lock of which nobody can tell whose it is counts as stale to OpenClaw at this age, in seconds.
OLD_AFTER = 1800.0


def read(path: str) -> dict[str, Any]:
    """Return what a lock file says; nothing where it is empty, torn, no file or gone. OSError: it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return _content(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        if is_no_file(problem):
            return {}
        problem.filename = problem.filename or path
        raise


def _content(descriptor: int) -> dict[str, Any]:
    try:
        found = json.loads(os.read(descriptor, 65536))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Lock(NamedTuple):
    """A lock file that is there: what it says, its age in seconds, and whether the process that it names holds it.

    `held` is None where that cannot be told: no process is named, or one that lives and whose start the lock does not
    hold. `age` is below 0 for a date ahead of the clock.
    """

    content: dict[str, Any]
    age: float
    held: bool | None

    @property
    def pid(self) -> int | None:
        """The process that it names."""
        pid = self.content.get("pid")
        return pid if type(pid) is int else None

    @property
    def is_stale(self) -> bool:
        """Whether it protects nothing any more, as OpenClaw sees it."""
        return self.age > OLD_AFTER if self.held is None else not self.held


def look(path: str, start: str = "starttime") -> Lock | None:
    """Return a lock file as it is now, None where there is none; `start` is its word for its process's start."""
    try:
        date = os.lstat(path).st_mtime
    except FileNotFoundError:
        return None
    return _judged(read(path), date, start)


def _judged(content: dict[str, Any], written: float, start: str) -> Lock:
    date = _moment(content.get("createdAt"), written)
    pid = content.get("pid")
    held = processes.holds(pid, content.get(start), date) if type(pid) is int else None
    return Lock(content, time.time() - date, held)


def of_gateways(folder: str) -> Iterator[tuple[str, Lock | None, str]]:
    """Return path, lock and "" for each lock file of a gateway in a folder, or why it, or the folder, says nothing.

    What is looked at is what has been opened, so that nobody puts another in its place meanwhile.
    """
    try:
        place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as problem:
        if os.path.lexists(folder):
            yield folder, None, f"it cannot be opened as a folder: {problem.strerror}"
        return
    try:
        if why := trust.objection(os.fstat(place)):
            yield folder, None, why
            return
        for name in sorted(os.listdir(place)):
            if name.startswith("gateway.") and name.endswith(".lock"):
                yield os.path.join(folder, name), *_trusted(name, place)
    finally:
        os.close(place)


def _trusted(name: str, place: int) -> tuple[Lock | None, str]:
    """Return what a lock file in an open folder says, or why it does not count."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
    except OSError as problem:
        return None, "" if isinstance(problem, FileNotFoundError) else f"it cannot be opened: {problem.strerror}"
    try:
        status = os.fstat(descriptor)
        why = trust.objection(status)
        return (None, why) if why else (_judged(_content(descriptor), status.st_mtime, "startTime"), "")
    except OSError as problem:
        return None, f"it cannot be read: {problem.strerror}"
    finally:
        os.close(descriptor)


def _moment(text: object, other: float) -> float:
    """Return a date as OpenClaw writes it in seconds since 1970, the other one where it is none."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if found is None:
        return other
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)).total_seconds()


def run_in_flight(path: str) -> bool:
    """Tell whether a transcript's `.lock` is held: not by a process that is gone or another one, nor for too long."""
    lock = look(path)
    return lock is not None and not lock.is_stale
