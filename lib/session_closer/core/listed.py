"""What a list shows of a runtime that keeps files: its sessions, and what takes the disk (pure data)."""

from __future__ import annotations

from typing import NamedTuple


class SessionLine(NamedTuple):
    """A session of a home: `last` is when its last message came, in seconds since 1970, None where there is none.

    `state`: open, or how it ended; `guard`: why its artifacts stay, "": nothing keeps them. `running`: a process has it
    open.
    """

    agent: str
    id: str
    source: str
    title: str
    state: str
    last: float | None
    guard: str = ""
    running: bool = False


class Use(NamedTuple):
    """How many of one kind there are, and what they take on the disk, in bytes."""

    agent: str
    kind: str
    number: int
    size: int
