"""Stand in for the process that outlives a command, and for what happens between a plan and its lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import psutil
import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.operations import handoff, worker
from session_closer.operations.task import Task, decoded

from support.clock import Brisk
from support.commands import Answer, run_json
from support.keys import LEAD
from support.stores import Store

# The session of whoever calls, and another.
ME, OTHER = LEAD + "alpha", LEAD + "topics"
NOBODY = 2**31 - 5
# Does something when all is planned and the lock is about to be taken.
Between = Callable[[Callable[[], object]], None]
# Does something when all of an export is written and about to be compared; given is the key of its session.
BeforeComparing = Callable[[Callable[[str], object]], None]


class Left:
    """What commands left to the process that outlives them: done here, where a test can look on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: list[Task] = []
        self.pauses = 0
        self.meanwhile: Callable[[int], None] = self.ends
        monkeypatch.setattr(handoff, "subprocess", SimpleNamespace(Popen=self.start, DEVNULL=-3))

    def start(self, words: list[str], **how: Any) -> Any:
        assert how["start_new_session"] is True
        # The record's flock goes along: nobody takes the run for an interrupted one.
        descriptor, begun = how["pass_fds"]
        os.write(begun, b".")
        left = decoded(words[-1])
        self.tasks.append(msgspec.structs.replace(left, descriptor=os.dup(descriptor), caller=NOBODY))
        return SimpleNamespace(pid=NOBODY)

    def pause(self) -> None:
        self.pauses += 1
        self.meanwhile(self.pauses)

    def ends(self, number: int) -> None:
        raise AssertionError("nobody had to be waited for")

    def finish(self) -> int:
        (task,) = self.tasks
        self.tasks.clear()
        return worker.main(task.encoded(), clock=Turns(self))

    def die(self) -> None:
        """End as a process does that is killed."""
        for task in self.tasks:
            os.close(task.descriptor)
        self.tasks.clear()


class Turns(Brisk):
    """A clock that tells what was left when the end of the caller's turn is waited for."""

    def __init__(self, left: Left) -> None:
        super().__init__()
        self._left = left

    def sleep(self, seconds: float) -> None:
        """Wait for a moment."""
        if seconds == worker.TURN_PAUSE:
            self._left.pause()
        else:
            super().sleep(seconds)


def batch(store: Store, *words: str) -> Answer:
    """Close sessions as their caller does whose own is ME."""
    return run_json(CloseProjectBatch, "--self", ME, *words, state=store.state)


def row(receipt: dict[str, Any], key: str = ME) -> dict[str, Any]:
    """Return the row of a key in a receipt."""
    (found,) = [row for row in receipt["results"] if row["key"] == key]
    return dict(found)


def receipts(store: Store) -> dict[str, dict[str, Any]]:
    """Return all receipts by their ids."""
    return {receipt["id"]: receipt for receipt in store.receipts()}


def workers(store: Store) -> list[psutil.Process]:
    """Return the processes that a command on this store has left behind."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "session_closer.operations.worker" in words and str(store.state) in words[-1]:
            found.append(process)
    return found
