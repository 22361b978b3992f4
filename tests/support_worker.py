"""Stand in for the process that outlives a command, and for what happens between a plan and its lock."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from session_closer.gateway import handoff, worker

NOBODY = 2**31 - 5
# Does something when all is planned and the lock is about to be taken.
Between = Callable[[Callable[[], object]], None]


class Left:
    """What commands left to the process that outlives them: done here, where a test can look on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.pauses = 0
        self.meanwhile: Callable[[int], None] = self.ends
        monkeypatch.setattr(handoff, "subprocess", SimpleNamespace(Popen=self.start, DEVNULL=-3))
        monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=time.monotonic, sleep=self.pause))

    def start(self, words: list[str], **how: Any) -> Any:
        assert how["start_new_session"] is True
        # The record's flock goes along: nobody takes the run for an interrupted one.
        descriptor, begun = how["pass_fds"]
        os.write(begun, b".")
        self.tasks.append({**json.loads(words[-1]), "descriptor": os.dup(descriptor), "caller": NOBODY})
        return SimpleNamespace(pid=NOBODY)

    def pause(self, _seconds: float) -> None:
        self.pauses += 1
        self.meanwhile(self.pauses)

    def ends(self, number: int) -> None:
        raise AssertionError("nobody had to be waited for")

    def finish(self) -> int:
        (task,) = self.tasks
        self.tasks.clear()
        return worker.main(task)

    def die(self) -> None:
        """End as a process does that is killed."""
        for task in self.tasks:
            os.close(task["descriptor"])
        self.tasks.clear()
