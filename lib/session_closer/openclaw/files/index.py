"""An index that is gone, or holds no sessions any more: what is wrong with it, and an empty one in its place."""

from __future__ import annotations

import os

from ...core import names
from ...core.errors import CorruptStore
from ...core.model import Session
from ...system import files
from ...system.clock import Clock
from ...system.disk import Disk
from . import document
from .lock import store_lock
from .members import Document
from .store import check, parse, read_index


def live_or_empty(index: str, agent: str, *, anew: bool) -> Document[Session]:
    """Return an index as it is now; one that is gone or no store is empty where it may be begun anew."""
    if anew and lost(index) is not None:
        return parse(b"{}", index, agent)
    return parse(read_index(index)[0], index, agent)


def lost(index: str) -> str | None:
    """Return what is wrong with an index that holds no sessions any more: it is gone, or no store; None if it does."""
    if not files.exists(index):
        return "is gone"
    try:
        check(read_index(index)[0], index)
    except CorruptStore as problem:
        # One that is too large to be looked at may be whole.
        return problem.message.removeprefix(f"{index} ") if os.stat(index).st_size <= document.MAX_BYTES else None
    return None


def begin_anew(disk: Disk, index: str, clock: Clock) -> str:
    """Put an empty index where there is none that can be read; what is there gets another name, and stays.

    Return what is to be said of that, "" where there is one.
    """
    place = os.path.dirname(index)
    with store_lock(disk, index, clock=clock):
        why = lost(index)
        if why is None:
            return ""
        there, fresh = files.exists(index), index + names.FRESH
        files.remove(disk, [fresh])
        files.put(disk, fresh, b"{}\n", like=index if there else None)
        said = f"{index} {why}: a new one was begun"
        try:
            if there:
                stamp = names.free_stamp(clock.now(), os.listdir(place))
                aside = os.path.join(place, names.aside_name(os.path.basename(index), stamp))
                disk.rename_new(index, aside)
                said += f", what was there is kept as {aside}"
            disk.rename_new(fresh, index)
        except FileExistsError:
            # Somebody has written one in this moment.
            files.remove(disk, [fresh])
        disk.sync_folder(place)
    return said
