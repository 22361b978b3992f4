"""The one place that prints: what is said on stdout and stderr, and what is left where nobody can read it."""

from __future__ import annotations

import io
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterable
from typing import Any

from ..core.escape import shown

# Work that is done sooner needs no word of how far it is.
_PATIENCE_SECONDS = 1.0


class Unwritten(Exception):
    """What was to be said could not be written."""


def prepare() -> None:
    """Open the standard streams that the caller has closed, and let them show what their encoding cannot."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one. A child is to have it, too, since what the child says must
            # not go into a file of ours.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def put(result: Iterable[str], complaints: Iterable[str] = (), *, enough: bool, whole: bool = False) -> None:
    """Print a result on stdout and its complaints on stderr.

    `enough`: where whoever reads has gone away, it is as good as read; else BrokenPipeError. `whole`: the result holds
    its complaints, so that nothing is lost where these cannot be written.
    """
    for line in result:
        _tell(sys.stdout, line, enough=enough)
    try:
        for line in complaints:
            _tell(sys.stderr, line, enough=enough)
    except (BrokenPipeError, Unwritten):
        if not whole:
            raise
        _silence(sys.stderr)


def tell(line: str) -> None:
    """Say a line on stderr at once, before slow work begins."""
    # What cannot be said is no reason to stop in the middle of a run: its report comes at the end.
    try:
        _say(sys.stderr, line)
    except (BrokenPipeError, Unwritten):
        _silence(sys.stderr)


class Progress:
    """How far a run is: shown on a terminal once it has taken more than a second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = False

    def show(self, done: int, total: int, *, every_ten: bool) -> None:
        """Show that so many are done; where stderr is no terminal, every ten of them if that is wanted."""
        if not sys.stderr.isatty():
            if every_ten and done and (done % 10 == 0 or done == total):
                tell(f"{done} of {total}")
            return
        if time.monotonic() - self._started < _PATIENCE_SECONDS and not self._shown:
            return
        self._shown = done < total
        try:
            sys.stderr.write(f"\r{done} of {total}" if self._shown else "\r\033[K")
            sys.stderr.flush()
        except OSError:
            _silence(sys.stderr)


def width() -> int | None:
    """Return the columns of the terminal that stdout is, None where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def flush() -> None:
    """Write what stdout has kept: what cannot be written would fail at the very end, when nothing can be said of it."""
    sys.stdout.flush()


def forsake(complaint: str = "") -> None:
    """Write no more on stdout, which cannot be written to, and say on stderr why, where that can be."""
    _silence(sys.stdout)
    if complaint:
        tell(complaint)


def leave_terminals() -> None:
    """Say nothing more on what was a terminal and is gone."""
    for stream in (sys.stdout, sys.stderr):
        if not stream.isatty() and stat.S_ISCHR(os.fstat(stream.fileno()).st_mode):
            _silence(stream)


def _tell(stream: Any, line: str, *, enough: bool) -> None:
    try:
        _say(stream, line)
    except BrokenPipeError:
        if not enough:
            raise
        _silence(stream)


def _say(stream: Any, line: str) -> None:
    try:
        stream.write(shown(line) + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise Unwritten(problem.strerror) from None


def _silence(stream: Any) -> None:
    """Let a stream that cannot be written to lead nowhere: what is left in its buffer would fail at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
