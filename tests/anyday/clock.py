"""A clock that is not the machine's: built from `clock.c`, handed to a process and all that it starts by LD_PRELOAD."""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
FILE, MOMENT, SHARE = "MOVED_CLOCK", "MOVED_CLOCK_MOMENT", "MOVED_CLOCK_SHARE"
# What an environment that inherits nothing has to name for its processes to have the same clock.
HANDED = {name: os.environ[name] for name in ("LD_PRELOAD", FILE, "TZ") if FILE in os.environ and name in os.environ}


class Clock:
    """The file that says how far the clock is moved, in ns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "ab") as file:
            file.truncate(8)
        with open(path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)

    @property
    def offset(self) -> int:
        """How far the clock is moved."""
        return int(struct.unpack("=q", self._page[:8])[0])

    @offset.setter
    def offset(self, value: int) -> None:
        self._page[:8] = struct.pack("=q", value)

    def set(self, moment: int, real: Callable[[], int]) -> None:
        """Let it be a moment now, in ns since 1970; `real` tells the time of the machine."""
        self.offset = moment - real()

    def real(self) -> int:
        """Return the machine's time in a process that has this clock."""
        return time.time_ns() - self.offset


def build(folder: Path) -> Path:
    """Compile the library; CalledProcessError or FileNotFoundError where that cannot be done."""
    library = folder / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library
