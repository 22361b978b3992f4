"""The one place that prints: what is said on stdout and stderr, and what is left where nobody can read it."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..core.errors import UsageProblem
from ..core.escape import quoted, shown

if TYPE_CHECKING:
    from ..render.grid import Block

# Work that is done sooner needs no word of how far it is.
_PATIENCE_SECONDS = 1.0
_PAUSE_SECONDS = 0.1


class Unwritten(Exception):
    """What was to be said could not be written; `done`: it was an account of what was done."""

    done = True


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


def put(result: Iterable[Block], complaints: Iterable[str] = (), *, enough: bool, whole: bool = False) -> None:
    """Print a result on stdout and its complaints on stderr.

    `enough`: where whoever reads has gone away, it is as good as read; else BrokenPipeError. `whole`: the result holds
    its complaints, so that nothing is lost where these cannot be written.
    """
    for block in result:
        for line in _lines(block):
            _tell(sys.stdout, line, enough=enough)
    try:
        for line in complaints:
            _tell(sys.stderr, shown(line), enough=enough)
    except (BrokenPipeError, Unwritten):
        if not whole:
            raise
        _silence(sys.stderr)


@contextlib.contextmanager
def paged() -> Iterator[None]:
    """Let what is printed meanwhile be read in a pager, where stdout is a terminal; until its reader has left it."""
    if not sys.stdout.isatty():
        yield
        return
    import shlex
    import subprocess

    named = os.environ.get("PAGER") or "less"
    try:
        pager = subprocess.Popen(shlex.split(named), stdin=subprocess.PIPE)
    except (OSError, ValueError, IndexError) as problem:
        raise UsageProblem(f"the pager {quoted(named)} cannot be started: {problem}", "set PAGER to one") from None
    assert pager.stdin is not None
    terminal = os.dup(sys.stdout.fileno())
    os.dup2(pager.stdin.fileno(), sys.stdout.fileno())
    pager.stdin.close()
    try:
        yield
    finally:
        # What a reader has left unread must not come out on the terminal.
        _empty(sys.stdout)
        os.dup2(terminal, sys.stdout.fileno())
        os.close(terminal)
        _wait(pager.wait)


def _empty(stream: Any) -> None:
    try:
        stream.flush()
    except OSError:
        _silence(stream)
        stream.flush()


def _wait(ended: Callable[[], int]) -> None:
    """Wait for a pager, which itself heeds what interrupts."""
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            ended()
            return


def tell(line: str) -> None:
    """Say a line on stderr at once, before slow work begins."""
    # What cannot be said is no reason to stop in the middle of a run: its report comes at the end.
    try:
        _say(sys.stderr, shown(line))
    except (BrokenPipeError, Unwritten):
        _silence(sys.stderr)


class Progress:
    """How far a run is: shown on a terminal once it has taken more than a second."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PATIENCE_SECONDS
        self._first: tuple[float, int] | None = None
        self._shown = False
        self._agents = ""
        # Asked once: whoever has many small things to do is not to wait for the answer each time.
        self._on_terminal: bool | None = None

    def show(self, done: int, total: int, *, every_ten: bool, drawn: bool) -> None:
        """Show that so many are done; where stderr is no terminal, every ten of them if that is wanted.

        `drawn`: with a bar, and how fast it goes.
        """
        if not sys.stderr.isatty():
            if every_ten and done and (done % 10 == 0 or done == total):
                tell(f"{done} of {total}")
            return
        now = time.monotonic()
        if done == 0:
            # What was shown before was another work, with a speed of its own.
            self._first = None
        # The end of one of several agents is no end.
        is_over = done >= total and not self._agents
        if now < self._next and not (is_over and self._shown):
            return
        self._next = now + _PAUSE_SECONDS
        if not is_over:
            self._shown = True
            _rewrite(self._drawn(done, total, now) if drawn else f"{done} of {total}")
        else:
            self.clear()

    def watch(self, done: int, total: int) -> None:
        """Show with a bar that so many are done, on a terminal and nowhere else."""
        if self._on_terminal is None:
            self._on_terminal = sys.stderr.isatty()
        if self._on_terminal:
            self.show(done, total, every_ten=False, drawn=True)

    def agents(self, done: int, total: int) -> None:
        """Show, ahead of how far the next one is, that so many of several agents are done, all: that is over."""
        self._agents = f"{done:,} of {total:,} agents" if done < total else ""
        self._first = None
        if not self._agents:
            self.clear()

    def clear(self) -> None:
        """Take what is shown away, so that what is said next has the line."""
        if self._shown:
            self._shown = False
            _rewrite("")

    def _drawn(self, done: int, total: int, now: float) -> str:
        from . import terminal

        # How long it took to get where it was first looked at is not known.
        if self._first is None or done < self._first[1]:
            self._first = now, done
        since, before = self._first
        rate = (done - before) / (now - since) if now > since else 0.0
        return terminal.progress(done, total, rate, _columns(sys.stderr), sys.stderr.encoding, ahead=self._agents)


def _rewrite(line: str) -> None:
    """Put a line in the place of the last one on the terminal that stderr is."""
    try:
        sys.stderr.write(f"\r{line}\033[K")
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def width() -> int | None:
    """Return the columns of the terminal that stdout is, None where it is none."""
    return _columns(sys.stdout) if sys.stdout.isatty() else None


def load_drawing() -> None:
    """Load what draws, where a terminal will need it: what is not whole of it may end no run in its middle."""
    if sys.stdout.isatty() or sys.stderr.isatty():
        from . import terminal  # noqa: F401


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


def _lines(block: Block) -> Iterable[str]:
    """Return the lines of what is printed, which move no cursor: on a terminal as it is drawn there."""
    if isinstance(block, str):
        return [shown(block)]
    columns = width()
    if columns is None:
        return map(shown, block.lines)
    from . import terminal

    return terminal.lines(block, columns, sys.stdout.encoding)


def _columns(stream: Any) -> int:
    try:
        there = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        there = 0
    named = os.environ.get("COLUMNS", "")
    return int(named) if named.isdecimal() and int(named) else there or 80


def _tell(stream: Any, line: str, *, enough: bool) -> None:
    try:
        _say(stream, line)
    except BrokenPipeError:
        if not enough:
            raise
        _silence(stream)
    except Unwritten as problem:
        problem.done = not enough
        raise


def _say(stream: Any, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise Unwritten(problem.strerror) from None


def _silence(stream: Any) -> None:
    """Let a stream that cannot be written to lead nowhere: what is left in its buffer would fail at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
