"""Hold one agent's store against other closers, with nothing left of an interrupted run that concerns it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from ..core.errors import Busy
from ..system import flock
from ..system.files import is_folder
from . import recover

if TYPE_CHECKING:
    from ..ports.readable import Readable
    from ..ports.runtime import Runtime
    from ..ports.store import Store

_ROUNDS = 5


@contextmanager
def locked(runtime: Runtime, store: Readable) -> Iterator[None]:
    """Hold a store's folders, with no interrupted run left that concerns it: look again after taking the lock."""
    # One folder under two spellings may not be locked twice.
    places = sorted({os.path.realpath(folder) for folder in {store.place, store.folder} if is_folder(folder)})
    tried: set[str] = set()
    for _ in range(_ROUNDS):
        with ExitStack() as held:
            for folder in places:
                held.enter_context(flock.folder(folder, clock=runtime.context.clock))
            left = recover.pending(runtime, store.agent) - tried
            if not left:
                yield
                return
            tried |= left
        runtime.context.console.warn(*recover.recover(runtime, [store.agent]))
    raise Busy(f"runs on agent {store.agent} are interrupted again and again", "run the same command again")


def put_away_leftovers(runtime: Runtime, store: Store) -> None:
    """Put away what a killed run has left beside a store; nothing where another closer is at it, whose it may be."""
    with suppress(Busy), flock.folder(store.place, wait=0.0, clock=runtime.context.clock):
        if not recover.pending(runtime, store.agent):
            store.clean()
