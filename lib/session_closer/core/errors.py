"""Exit codes and the errors that carry them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command: a contract for scripts (docs/commands.md)."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    REFUSED = 3
    BUSY = 4
    CHANGED = 5
    GATEWAY_NEEDED = 6
    MISSING_DEPENDENCY = 69
    BUG = 70
    INTERRUPTED = 130


class Ours:
    """One of our commands by its name: where it is, whoever prints it says; `there`: for the same place, too."""

    def __init__(self, command: str, *, there: bool = False) -> None:
        self.command, self.there = command, there

    def __str__(self) -> str:
        return self.command


Remedy = str | tuple[str | Ours, ...]


class CloserError(Exception):
    """A whole run that ends without doing what was asked: what, and what to do next.

    A remedy that names commands of ours is given in parts.
    """

    code = ExitCode.BUG
    name = "bug"

    def __init__(self, message: str, remedy: Remedy = "", *, name: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if name is not None:
            self.name = name

    def next_step(self, called: Callable[[Ours], str] = str) -> str:
        """Return what to do next, "" where nothing is known; `called` tells how a command of ours is called."""
        if isinstance(self.remedy, str):
            return self.remedy
        return " ".join(part if isinstance(part, str) else called(part) for part in self.remedy)


class UsageProblem(CloserError):
    """The words of the command line make no sense together."""

    code = ExitCode.USAGE
    name = "usage"


class Refused(CloserError):
    """Protected, corrupt, foreign or too much at once: nothing was changed."""

    code = ExitCode.REFUSED
    name = "refused"


class CorruptStore(Refused):
    """The text of a store is not what OpenClaw would have written."""

    name = "corrupt_store"


class UnknownAgent(CloserError):
    """There is no agent of this name: a slip, most likely."""

    code = ExitCode.SOME_FAILED
    name = "unknown_agent"

    def __init__(self, agent: str, known: Sequence[str]) -> None:
        there, remedy = ", ".join(known) or "none", "--agent with one of them" if known else "another --state-dir"
        super().__init__(f"there is no agent {agent} here; agents: {there}", remedy)


class Busy(CloserError):
    """A lock was not free within the time we may wait."""

    code = ExitCode.BUSY
    name = "busy"


class ChangedUnderneath(CloserError):
    """Somebody else kept writing; everything that was written is kept."""

    code = ExitCode.CHANGED
    name = "changed_underneath"


class GatewayNeeded(CloserError):
    """What was asked needs a gateway that answers."""

    code = ExitCode.GATEWAY_NEEDED
    name = "gateway_needed"


class PartlyDone(CloserError):
    """A refusal in the middle of a run: some of it is done."""

    code = ExitCode.SOME_FAILED

    def __init__(self, cause: CloserError) -> None:
        super().__init__(cause.message, cause.remedy, name=cause.name)


class StorageFailed(CloserError):
    """The file system refused a step; what was done until then is in the journal."""

    code = ExitCode.SOME_FAILED
    name = "storage"


class Interrupted(CloserError):
    """A signal ended the run; the next changing command finishes what was begun."""

    code = ExitCode.INTERRUPTED
    name = "interrupted"
