"""What the files of sessions take on the disk in a runtime that has stores, by agent and kind; nothing is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ..core import names
from ..core.listed import Inventory, Sought, Use
from ..core.report import StoreResult
from ..core.wish import Options
from ..journal import history
from ..journal.stopped import storage
from ..ports.context import Context
from ..ports.runtime import Part, Place
from ..system.clock import REAL, Clock
from . import runtimes

_BESIDE = ("", "-wal", "-shm", "-journal")


def look(where: Place, agent: str | None, clock: Clock = REAL) -> Inventory:
    """Return what takes the disk, of one agent or of all; no gateway is asked."""
    runtimes.check_place(where, [] if agent is None else [agent])
    runtime = runtimes.found(where, Context(Options(dry_run=True), clock=clock))
    try:
        runtime.context.console.warn(*runtime.exposure())
        parts = runtime.parts(agent, None)
        used = [use for part in _each_store(parts) for use in _uses(part)]
        ours = [] if agent is not None else list(_ours(where.state))
    except OSError as problem:
        raise storage(problem, where.state) from None
    finally:
        runtime.close()
    return Inventory(
        tuple(StoreResult(part.agent or "", part.store.index, part.store.era) for part in _each_store(parts)),
        sought=Sought(usage=True),
        usage=(*used, *ours),
        warnings=tuple(runtime.context.console.warnings),
    )


def _each_store(parts: Sequence[Part]) -> list[Part]:
    """Return a part for each agent's folder: several may share an index."""
    found = {(part.store.folder, part.agent): part for part in parts}
    return list(found.values())


def _uses(part: Part) -> Iterator[Use]:
    sizes: dict[str, list[int]] = defaultdict(list)
    folder, index = part.store.folder, part.store.index
    for name, size in _files(folder):
        sizes[_kind(name, os.path.basename(index))].append(size)
    if os.path.dirname(index) != folder:
        # Anything may lie beside an index elsewhere: only what is its own is counted.
        own = {os.path.basename(index) + suffix for suffix in _BESIDE}
        for name, size in _files(os.path.dirname(index)):
            if name in own or names.is_index_backup(name, os.path.basename(index)):
                sizes["index" if name in own else "backup"].append(size)
    for kind, found in sorted(sizes.items()):
        yield Use(part.agent or "", kind, len(found), sum(found))


def _kind(name: str, index: str) -> str:
    """Return what a file in a folder of sessions is."""
    if name == index:
        return "index"
    if names.is_index_backup(name, index):
        return "backup"
    if names.is_archive(name):
        return "old_window" if names.is_old_window(name) else "archive"
    if names.is_transcript(name):
        return "transcript"
    return "companion" if names.is_companion(name) else "other"


def _ours(state: str) -> Iterator[Use]:
    """Give what our own records take."""
    sizes = [size for folder, _, _ in os.walk(history.root(state)) for _, size in _files(folder)]
    if sizes:
        yield Use("", "receipts", len(sizes), sum(sizes))


def _files(folder: str) -> Iterator[tuple[str, int]]:
    """Give the files in a folder, links left aside, each with its bytes."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield entry.name, entry.stat(follow_symlinks=False).st_size
