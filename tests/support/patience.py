"""How long what has to end may take."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# What has not ended after so many seconds hangs: a busy machine takes its time.
PATIENCE_SECONDS = 300


@contextlib.contextmanager
def it_ends() -> Iterator[None]:
    """Fail where the block does not end, also where it waits for something that never comes."""

    def late(number: int, frame: FrameType | None) -> NoReturn:
        raise AssertionError(f"has not ended within {PATIENCE_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
