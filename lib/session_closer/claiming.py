"""Hold one agent's store against other closers, with nothing left of an interrupted run that concerns it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from . import locks, recovery
from .errors import Busy
from .run import Run

_ROUNDS = 5


@contextmanager
def locked(run: Run, agent: str) -> Iterator[None]:
    """Hold an agent's folders, with no interrupted run left that concerns it: look again after taking the lock."""
    store = run.stores[agent]
    # One folder under two spellings may not be locked twice.
    places = sorted({os.path.realpath(folder) for folder in (store.place, store.folder) if os.path.isdir(folder)})
    tried: set[str] = set()
    for _ in range(_ROUNDS):
        with ExitStack() as held:
            for folder in places:
                held.enter_context(locks.folder(folder))
            left = recovery.pending(run.home, agent) - tried
            if not left:
                yield
                return
            tried |= left
        run.warn(*recovery.recover(run, [agent]))
    raise Busy(f"runs on agent {agent} are interrupted again and again", "run the same command again")
