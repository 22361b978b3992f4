"""A terminal of so many columns, and what no output may hold, as a terminal could take it for an order."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import NamedTuple

from support.programs import BARE, importable

# C0 but the newline that ends a line, DEL, C1.
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
# Colours and their end: they move no cursor.
STYLE = re.compile(r"\x1b\[[0-9;]*m")
# Ahead of a command: for what it shows while it goes on, each look at the clock is two seconds after the last.
SLOWLY = """
import itertools, time
from session_closer.cli import streams
passed = itertools.count(time.monotonic() + 2.0, 2.0)
streams.time = type("Clock", (), {"monotonic": staticmethod(lambda: next(passed))})
"""


class Seen(NamedTuple):
    """What a terminal got, and the exit code of what wrote it."""

    text: str
    code: int

    @property
    def words(self) -> str:
        """The text without its styles."""
        return STYLE.sub("", self.text)


def on_terminal(
    name: str, *words: str, state: Path | None = None, width: int = 80, before: str = "", **env: str
) -> Seen:
    """Return what a command prints on a terminal, which stdout and stderr both are; `before` is run ahead of it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environ = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    environ.update(PYTHONPATH=importable(), TERM="xterm-256color")
    module = name.replace("-", "_")
    program = f"import sys; from session_closer.cli.commands.{module} import main\n{before}\nsys.exit(main())"
    place = [] if state is None else ["--state-dir", str(state)]
    command = [sys.executable, *BARE, "-B", "-c", program, *place, *words]
    seen = b""
    try:
        with subprocess.Popen(
            command, env={**environ, **env}, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            with contextlib.suppress(OSError):
                while part := os.read(ours, 65536):
                    seen += part
    finally:
        os.close(ours)
    return Seen(seen.decode().replace("\r\n", "\n"), process.returncode)
