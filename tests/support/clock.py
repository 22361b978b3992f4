"""Clocks to be handed in: waits that are short, and moments that are not now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from session_closer.system.clock import REAL, Clock

_MOMENT = 0.02
_handed: list[Clock] = [REAL]


class Brisk(Clock):
    """Who waits is kept for a moment only, and then finds that all of the time has passed, or `leap` times as much."""

    def __init__(self, leap: float = 1.0) -> None:
        self._leap = leap
        self._skipped = 0.0

    def monotonic(self) -> float:
        """Return seconds that go forward in leaps."""
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        """Wait for a moment."""
        time.sleep(min(seconds, _MOMENT))
        self._skipped += self._leap * seconds


class At(Clock):
    """It is one moment, for ever."""

    def __init__(self, moment: datetime) -> None:
        self._moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self._moment


class Still(At):
    """It is one moment, for ever, and by the seconds, too."""

    def seconds(self) -> float:
        """Return the moment."""
        return self._moment.timestamp()


class Ahead(Brisk):
    """The clock was set ahead of the machine's, by so much."""

    def __init__(self, **ahead: float) -> None:
        super().__init__()
        self.ahead = timedelta(**ahead)

    def now(self) -> datetime:
        """Return the time by this clock."""
        return datetime.fromtimestamp(time.time(), UTC) + self.ahead

    def seconds(self) -> float:
        """Return the time by this clock, since 1970."""
        return time.time() + self.ahead.total_seconds()


@contextlib.contextmanager
def handed(clock: Clock) -> Iterator[None]:
    """Hand a clock to each command that is run in this process."""
    _handed.append(clock)
    try:
        yield
    finally:
        _handed.remove(clock)


def current() -> Clock:
    """Return the clock that a command is given."""
    return _handed[-1]


HandIn = Callable[[Clock], None]
