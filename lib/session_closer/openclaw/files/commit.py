"""Put a new `sessions.json` in place so that no write of anybody is lost: exchange, compare, merge."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from ...artifacts import measuring
from ...core import names
from ...core.errors import ChangedUnderneath, CorruptStore
from ...core.tuples import NamedTuple
from ...system import files
from ...system.disk import Disk
from . import document
from .lock import StoreLock
from .members import Document
from .store import check

ATTEMPTS = 20
# OpenClaw 2026.2 notices an edit by its time stamp only, and the clock of a file system ticks every 4 ms.
_TICK_NS = 10_000_000
# Times of vfat are even seconds.
_COARSE_NS = 2_000_000_000


class Place:
    """The index to be changed: `backup` is the name that further backups are numbered after.

    `displaced` is told the name of each further backup, `merged` that the live store contains all of them now,
    `warn` whatever else a person should know.
    """

    def __init__(
        self,
        index: str,
        backup: str,
        displaced: Callable[[str], None],
        merged: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self.index: Final = index
        self.backup: Final = backup
        self.displaced: Final = displaced
        self.merged: Final = merged
        self.warn: Final = warn

    @property
    def folder(self) -> str:
        """The folder of the index."""
        return os.path.dirname(self.index)

    @property
    def fresh(self) -> str:
        """Where a file is written that is not finished."""
        return self.index + names.FRESH

    @property
    def swap(self) -> str:
        """Where a finished store waits for the exchange, and the displaced one lies after it."""
        return self.index + names.SWAP


class Installed(NamedTuple):
    """What an install came to: the keys that both sides changed, and the text that it left as the store."""

    contested: list[str]
    live: Document[Any]


def unnoted(_name: str = "") -> None:
    """Stand in for a callback where nothing is recorded."""


def publish_backup(disk: Disk, index: str, raw: bytes, name: str) -> str:
    """Write a backup that is complete from its first instant (I4) and overwrites nothing; return its name."""
    temp = index + names.FRESH
    files.remove(disk, [temp])
    files.put(disk, temp, raw, aside=True)
    made, tried = os.lstat(temp), [temp]
    folder = os.path.dirname(index)
    try:
        return publish(disk, folder, temp, name, lambda name: tried.append(os.path.join(folder, name)))
    except BaseException:
        # A backup that nobody was told of would stay for good, and each try would leave one more.
        files.remove(disk, [path for path in tried if _is(path, made)])
        raise


def _is(path: str, made: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.lstat(path), made)
    except FileNotFoundError:
        return False


def publish(disk: Disk, folder: str, temp: str, name: str, note: Callable[[str], None] = unnoted) -> str:
    """Give a finished file its name, or the first numbered one that is free; return it, durable.

    `note` is told each name before it is tried.
    """
    number = 0
    while True:
        numbered = f"{name}-{number}" if number else name
        if files.exists(os.path.join(folder, numbered)):
            number += 1
            continue
        note(numbered)
        try:
            disk.rename_new(temp, os.path.join(folder, numbered))
        except FileExistsError:
            number += 1
        else:
            disk.sync_folder(folder)
            return numbered


def install(disk: Disk, place: Place, live: Document[Any], new: Document[Any], lock: StoreLock) -> Installed:
    """Make `new` the store; whatever others wrote in between is merged in.

    What is installed is a document, never mere bytes: only what could be read is a store (I1). After each exchange the
    displaced file shows what was live at that instant: nothing can slip through between a look and the swap.
    ChangedUnderneath after too many rounds: then every version is kept as a backup.
    """
    contested: list[str] = []
    base, ours = live, new
    for _ in range(ATTEMPTS):
        installed, displaced = _swap(disk, place, base.raw, ours.raw, lock)
        if installed:
            place.merged()
        if displaced is None:
            return Installed(contested, ours)
        theirs = _keep_displaced(disk, place, displaced)
        if theirs is None:
            return Installed(contested, ours)
        merged = document.merge(base, ours, theirs)
        contested.extend(merged.contested)
        base = ours if installed else theirs
        if merged.raw == base.raw:
            place.merged()
            return Installed(contested, base)
        ours = check(merged.raw, place.index)
    raise ChangedUnderneath(
        f"{place.index} was rewritten {ATTEMPTS} times while it was being changed; every version is kept beside it",
        "run the same command again, or --via gateway",
    )


def _swap(disk: Disk, place: Place, expected: bytes, new: bytes, lock: StoreLock) -> tuple[bool, bytes | None]:
    """Exchange the live store for `new`.

    Returns whether `new` is live now, and the bytes that were live where they are not the expected ones.
    """
    fresh, swap = place.fresh, place.swap
    files.remove(disk, [fresh])
    before = os.stat(place.index, follow_symlinks=False)
    files.put(disk, fresh, new, like=place.index)
    if not measuring.holds(fresh, new):
        raise CorruptStore(f"{fresh} does not hold what was written to it", "check the disk")
    _make_younger(disk, fresh, before.st_mtime_ns)
    disk.rename(fresh, swap)
    if not lock.still_ours():
        raise ChangedUnderneath(f"the lock of {place.index} was taken over", "run the same command again")
    if not disk.exchange(swap, place.index):
        return _replace(disk, place, swap, expected)
    disk.sync_folder(place.folder)
    if not measuring.holds(swap, expected):
        return True, files.read(swap, document.MAX_BYTES)[0]
    # I2: the same bytes are in a backup.
    disk.unlink(swap)
    return True, None


def _make_younger(disk: Disk, path: str, than_ns: int) -> None:
    """Give a file a time that shows that it is another one, also where a file system rounds times."""
    for tick in (_TICK_NS, _COARSE_NS):
        wanted = max(time.time_ns(), than_ns + tick)
        disk.set_times(path, wanted, wanted)
        if os.stat(path, follow_symlinks=False).st_mtime_ns > than_ns:
            return


def _replace(disk: Disk, place: Place, swap: str, expected: bytes) -> tuple[bool, bytes | None]:
    """Rename over the store where the file system cannot exchange: look as late as possible, then replace."""
    if not measuring.holds(place.index, expected):
        now, _ = files.read(place.index, document.MAX_BYTES)
        disk.unlink(swap)
        return False, now
    disk.rename(swap, place.index)
    disk.sync_folder(place.folder)
    return True, None


def _keep_displaced(disk: Disk, place: Place, displaced: bytes) -> Document[Any] | None:
    """Publish what we displaced as a backup (I2) and return it parsed, None where it is no store at all."""
    keep(disk, place)
    try:
        return check(displaced, place.index)
    except CorruptStore as problem:
        place.warn(f"somebody wrote a store that is not valid in between, it is kept as a backup: {problem.message}")
        return None


def keep(disk: Disk, place: Place) -> str | None:
    """Publish the file in the swap name, if there is one, as a further backup; return its name."""
    if not files.exists(place.swap):
        return None
    files.own(disk, place.swap)
    # Noted before it has its name: what others wrote may be nowhere else, and has to be merged whenever we die.
    return publish(disk, place.folder, place.swap, place.backup, place.displaced)


def clean(disk: Disk, place: Place) -> None:
    """Remove what a killed run of ours left beside the store; a store in the swap name becomes a backup."""
    files.remove(disk, [place.fresh])
    name = keep(disk, place)
    if name is not None:
        place.warn(f"an interrupted run left a store behind, it is kept as {os.path.join(place.folder, name)}")
