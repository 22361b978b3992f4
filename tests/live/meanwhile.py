"""What somebody else does all the time while a command runs, from before it starts until after it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def meanwhile(act: Callable[[], object], pause: float, *, least: int = 1) -> Iterator[None]:
    """Act again and again, `pause` seconds apart, while a block runs that begins after the first time.

    An act that fails is raised, and so is that fewer than `least` were done while the block ran.
    """
    times = 0
    first, stop = threading.Event(), threading.Event()

    def go_on() -> None:
        nonlocal times
        while not stop.is_set():
            try:
                act()
            finally:
                first.set()
            times += 1
            stop.wait(pause)

    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(go_on)
        first.wait()
        before = times
        try:
            yield
        finally:
            during = times - before
            stop.set()
        acting.result()
    assert during >= least, f"{during} of {least} done meanwhile: too little was tested"
