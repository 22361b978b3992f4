"""Looks at a disk that fail on purpose: what a process opens, lists, reads and asks for below a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

OPENS = ("open", "listdir", "scandir", "read", "pread")
STATS = ("stat", "lstat")
ERRORS = (errno.EIO, errno.EACCES, errno.EMFILE)
# Called before each look: number, name.
AtLook = Callable[[int, str], None]


class Looks:
    """The looks of this process below `root`, counted: `at(number, name)` is called before each of them.

    They are no steps of `Disk`, which only what writes goes through, so the functions of `os` are replaced: for a
    process that ends with the run.
    """

    def __init__(self, root: str, at: AtLook, names: tuple[str, ...] = OPENS) -> None:
        self.root, self.at, self.names = root, at, names
        self.seen: list[str] = []
        self._ours: set[int] = set()

    def watch(self) -> None:
        """Replace the functions from here on."""
        for name in {*self.names, "open", "close"}:
            setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def look(what: Any = ".", *arguments: Any, **named: Any) -> Any:
            ours = self._is_ours(what)
            if name == "close":
                self._ours.discard(what)
            elif ours and name in self.names:
                number = len(self.seen)
                self.seen.append(name)
                self.at(number, name)
            found = real(what, *arguments, **named)
            if name == "open" and ours:
                self._ours.add(found)
            return found

        return look

    def _is_ours(self, what: Any) -> bool:
        if isinstance(what, int):
            return what in self._ours
        path = os.fsdecode(what)
        return path == self.root or path.startswith(self.root + os.sep)


def fail_look(point: int, number: int) -> AtLook:
    """Fail at one look, as a disk that does so once."""

    def at(look: int, _name: str) -> None:
        if look == point:
            raise OSError(number, os.strerror(number), "injected")

    return at


def watched(_number: int, _name: str) -> None:
    """Let every look go through."""
