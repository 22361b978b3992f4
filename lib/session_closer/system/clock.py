"""What time it is, and waiting: a value that is handed in, so that whoever tests can hand in another."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

Answer = TypeVar("Answer")


class Clock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return datetime.now(UTC)

    def iso_now(self) -> str:
        """Return the time as JavaScript writes it: 2026-11-21T00:41:24.769Z."""
        return self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def seconds(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only go forward, whoever sets the clock: for how long something takes."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def until(self, ask: Callable[[], Answer], seconds: float, pause: float) -> Answer:
        """Return the first answer that is true, or the last one when the time is up; asked at least once."""
        deadline = self.monotonic() + seconds
        while not (answer := ask()) and self.monotonic() < deadline:
            self.sleep(pause)
        return answer


REAL = Clock()
