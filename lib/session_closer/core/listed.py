"""What a list shows of a runtime that keeps files: its sessions, what is nobody's, and what takes the disk (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import durations
from .errors import CloserError, ExitCode
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .report import StoreResult

OPEN = "open"
# More is no number that every reader of JSON has.
_LATEST_MS = 1 << 53


class SessionLine(NamedTuple):
    """A session of a home: `last` is when its last message came, in seconds since 1970, None where there is none.

    `state`: OPEN, or how it ended; `guard`: why its files stay, "": nothing keeps them. `running`: a process has it
    open. `number` and `size`, in bytes, are those of its files.
    """

    agent: str
    id: str
    source: str
    title: str
    state: str
    last: float | None
    guard: str = ""
    running: bool = False
    number: int = 0
    size: int = 0

    @property
    def last_ms(self) -> int | None:
        """When its last message came, in milliseconds since 1970, None where no usable time says so."""
        at = None if self.last is None else durations.finite(self.last * 1000)
        return int(at) if at is not None and abs(at) < _LATEST_MS else None


class Held(NamedTuple):
    """One file or folder of a home: its bytes, and whose it is, None: nobody's; `owned`: a session should have it."""

    kind: str
    owner: str | None
    size: int
    owned: bool = True


class Use(NamedTuple):
    """How many of one kind there are, and what they take, in bytes; `within`: another kind counts them, too."""

    agent: str
    kind: str
    number: int
    size: int
    within: bool = False


class Sought(NamedTuple):
    """What a list is to show: sessions that have all these words in their id, title or source, at most `limit`.

    `older_than`: only those that are open, and whose last message is more seconds ago. `usage`: what takes the disk.
    """

    words: tuple[str, ...] = ()
    older_than: float | None = None
    limit: int | None = None
    usage: bool = False


class Inventory(NamedTuple):
    """What a list says: `total` sessions match; `orphans` are files of sessions that are not known.

    `usage` is None unless it was asked for; `notes` say what could be done about it. `error`: there is no list.
    """

    homes: tuple[StoreResult, ...] = ()
    rows: tuple[SessionLine, ...] = ()
    total: int = 0
    orphans: tuple[Use, ...] = ()
    sought: Sought = Sought()
    now: float = 0.0
    usage: tuple[Use, ...] | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    error: CloserError | None = None

    @property
    def has_more(self) -> bool:
        """Tell whether more sessions match than are shown."""
        return self.total > len(self.rows)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code: an empty list is a list, too."""
        return ExitCode.OK if self.error is None else self.error.code

    def age(self, line: SessionLine) -> float | None:
        """Return how many seconds ago a session's last message came, None where that is not known."""
        return durations.since(line.last_ms, self.now)


def matching(lines: Iterable[SessionLine], sought: Sought, now: float) -> list[SessionLine]:
    """Return the sessions that are sought, at a moment in seconds since 1970, the newest first."""
    words = [word.lower() for word in sought.words]
    found = []
    for line in lines:
        said = f"{line.id}\n{line.title}\n{line.source}".lower()
        if all(word in said for word in words) and _is_of_age(line, sought.older_than, now):
            found.append(line)
    return sorted(found, key=lambda line: (-(line.last_ms or 0), line.agent, line.id))


def _is_of_age(line: SessionLine, older_than: float | None, now: float) -> bool:
    if older_than is None:
        return True
    return line.state == OPEN and line.last_ms is not None and now - line.last_ms / 1000 > older_than
