"""A command as a program: its signals, what ends it before it can say so itself, and its exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from ..core.errors import CloserError, ExitCode, StorageFailed
from ..core.escape import quoted
from . import calls, streams

_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Who has installed packages for us tells what is damaged of them, and what to do.
damaged_packages: Callable[[Exception], tuple[str, ...]] | None = None


class _Incomplete(CloserError):
    """A package that this needs is not whole."""

    code = ExitCode.MISSING_DEPENDENCY
    name = "missing_dependency"


def start(command: type[Any]) -> int:
    """Run a command, a class of `app.Reader`, as a program: whatever ends it ends in a documented exit code."""
    streams.prepare()
    _heed_signals()
    # The entries of a large store are many and hold no cycles: looking for some costs a tenth of the run.
    gc.disable()
    # Completion words in the environment would make plumbum print and leave, whatever was asked.
    os.environ.pop("COMP_WORDS", None)
    try:
        code: int = command.run([calls.called(sys.argv[0], command.OPERATION), *sys.argv[1:]], exit=False)[1]
        # plumbum takes a closed pipe for an exit code.
        streams.flush()
        return code
    except BrokenPipeError:
        streams.forsake()
        return ExitCode.SOME_FAILED
    except streams.Unwritten as problem:
        from ..render.text import error_line

        remedy = command.ACCOUNT if problem.done else ""
        what = CloserError(f"the result cannot be written: {problem}", remedy)
        streams.forsake(error_line(what))
        return ExitCode.SOME_FAILED
    except KeyboardInterrupt:
        # Ahead of what the command itself tells, or behind it.
        return ExitCode.INTERRUPTED
    except Exception as problem:
        if os.environ.get("SESSION_CLOSER_TRACEBACK"):
            raise
        return _end(command, _explained(problem))
    finally:
        # All is done and said, and the exit code is to say so.
        for number in _HEEDED:
            signal.signal(number, signal.SIG_IGN)


def _explained(problem: Exception) -> CloserError:
    """Return what is to be told of what nobody has foreseen, and of what a package did that is not whole."""
    if known := _of_the_machine(problem):
        return known
    damage = damaged_packages(problem) if damaged_packages is not None else ()
    if damage:
        return _Incomplete(*damage)
    import traceback

    place = traceback.extract_tb(problem.__traceback__)[-1]
    return CloserError(
        f"{type(problem).__name__} at {os.path.basename(place.filename)}:{place.lineno}: {quoted(str(problem))}",
        "this is a bug: report it, with SESSION_CLOSER_TRACEBACK=1; the next run finishes what was begun",
    )


def _of_the_machine(problem: Exception) -> CloserError | None:
    """Return the error of a machine that lacks what every program needs, None where it is none of that."""
    if isinstance(problem, MemoryError):
        return StorageFailed("there is not enough memory", "free some, then run the same command again", name="memory")
    from ..journal.stopped import nowhere  # nothing else is told by what only runs need

    return nowhere(problem)


def _end(command: type[Any], error: CloserError) -> int:
    shown = command(command.OPERATION)
    shown.as_json = "--json" in shown.switches(sys.argv[1:])
    shown.fail(error, ())
    return int(error.code)


def _heed_signals() -> None:
    """Let what would end the process interrupt the run; what nohup or a shell's & has let it ignore, it ignores."""
    for number in _HEEDED:
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        # The kernel and the shell both send it when a terminal goes, and what was one can say nothing more.
        signal.signal(number, signal.SIG_IGN)
        streams.leave_terminals()
    raise KeyboardInterrupt
