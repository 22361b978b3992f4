"""Whether what a record says of a store is so: it speaks of places that this state directory has, and it is there."""

from __future__ import annotations

from ..core.durable import SESSIONS
from ..journal.record import Damaged, StoreRecord
from ..ports.store import StoreGone
from ..system import files
from .home import Home
from .owner import check_folders


def check_place(home: Home, store: StoreRecord) -> None:
    """A record may only speak of stores that this state directory has (I8)."""
    paths = {"files": home.index(store.agent), "sqlite": home.database(store.agent)}
    if store.path != paths.get(store.era) or store.roots != {SESSIONS: home.folder(store.agent)}:
        raise Damaged(f"points to {store.path}")
    check_folders(home, [store.agent])


def check_there(store: StoreRecord) -> None:
    """Raise StoreGone where there is no store by the path in a record."""
    if not files.exists(store.path):
        raise StoreGone(f"its store {store.path} is gone")
