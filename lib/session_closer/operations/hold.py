"""Hold one agent's store against other closers, with nothing left of an interrupted run that concerns it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from ..core import names
from ..core.errors import Busy
from ..journal import history
from ..openclaw.files import commit
from ..openclaw.installation import Installation
from ..system import flock
from ..system.files import is_folder
from . import recover

_ROUNDS = 5


@contextmanager
def locked(here: Installation, agent: str) -> Iterator[None]:
    """Hold an agent's folders, with no interrupted run left that concerns it: look again after taking the lock."""
    store = here.stores[agent]
    # One folder under two spellings may not be locked twice.
    places = sorted({os.path.realpath(folder) for folder in (store.place, store.folder) if is_folder(folder)})
    tried: set[str] = set()
    for _ in range(_ROUNDS):
        with ExitStack() as held:
            for folder in places:
                held.enter_context(flock.folder(folder))
            left = recover.pending(here.home, agent) - tried
            if not left:
                yield
                return
            tried |= left
        here.warn(*recover.recover(here, [agent]))
    raise Busy(f"runs on agent {agent} are interrupted again and again", "run the same command again")


def put_away_leftovers(here: Installation, agent: str) -> None:
    """Put away what a killed run has left beside a store; nothing where another closer is at it, whose it may be."""
    store = here.stores[agent]
    stamp = names.free_stamp(history.now(), os.listdir(store.place))
    name = names.backup_name(os.path.basename(store.index), stamp)
    with suppress(Busy), flock.folder(store.place, wait=0.0):
        if not recover.pending(here.home, agent):
            commit.clean(here.disk, commit.Place(store.index, name, commit.unnoted, commit.unnoted, here.warn))
