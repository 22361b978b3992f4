"""What the files of sessions take on the disk in a runtime that has stores, by agent and kind; nothing is written."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

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
        shared = [part.store.beside for part in parts if part.store.beside]
        # Whose a file is in a folder with the indexes of several agents, all of them tell.
        every = parts if agent is None or not shared else runtime.parts(None, None)
        used = [use for use in _uses(every) if agent is None or use.agent == agent]
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


def _uses(parts: Sequence[Part]) -> Iterator[Use]:
    """Give what there is of each agent; what is of several, or of nobody known, is of none."""
    sizes: dict[tuple[str, str], list[int]] = defaultdict(list)
    elsewhere: dict[str, list[Part]] = defaultdict(list)
    for part in _each_store(parts):
        folder, (place, index) = part.store.folder, os.path.split(part.store.index)
        if os.path.realpath(place) != os.path.realpath(folder):
            elsewhere[place].append(part)
        # Of one file for all agents what is nobody's own has no folder.
        for name, size in _files(folder) if part.agent is not None else ():
            sizes[part.agent or "", _kind(name, index)].append(size)
    for place, those in elsewhere.items():
        for agent, kind, size in _beside(place, those):
            sizes[agent, kind].append(size)
    for (agent, kind), found in sorted(sizes.items()):
        yield Use(agent, kind, len(found), sum(found))


def _beside(place: str, parts: Sequence[Part]) -> Iterator[tuple[str, str, int]]:
    """Give agent, kind and bytes of what is of sessions in a folder of indexes: anything else may lie there, too."""
    agents = _by_index(parts)
    is_one = len(parts) == 1 and parts[0].snapshot.own_index
    by_id = {} if is_one else _by_id(parts)
    paths = chain.from_iterable(part.snapshot.files for part in parts)
    listed = {os.path.basename(path) for path in paths if os.path.dirname(path) == place}
    for name, size in _files(place):
        kind, of_it = _of_index(name, agents)
        if of_it:
            yield _one(of_it), kind, size
        elif name in listed:
            ids = names.owners(names.archived_from(name) or name)
            owners = agents.values() if is_one else [by_id[one] for one in ids if one in by_id]
            yield _one({agent for those in owners for agent in those}), _kind(name, ""), size


def _by_index(parts: Sequence[Part]) -> Mapping[str, Collection[str]]:
    """Return the agents of each index by its name; "" is among those of one for all agents."""
    found: dict[str, set[str]] = defaultdict(set)
    for agent, store, snapshot in parts:
        found[os.path.basename(store.index)].update({agent or ""} if snapshot.own_index else {agent or "", ""})
    return found


def _by_id(parts: Sequence[Part]) -> Mapping[str, Collection[str]]:
    """Return the agents that have a session of an id."""
    found: dict[str, set[str]] = defaultdict(set)
    for agent, store, snapshot in parts:
        for session in snapshot.sessions.values() if store.beside else ():
            found[session.session_id or ""].add(agent or "")
    return found


def _of_index(name: str, agents: Mapping[str, Collection[str]]) -> tuple[str, Collection[str]]:
    """Return what a file is beside an index, and whose; nobody's where it is neither an index nor a backup of one."""
    for index, those in agents.items():
        if name in {index + suffix for suffix in _BESIDE}:
            return "index", those
        if names.is_index_backup(name, index):
            return "backup", those
    return "", ()


def _one(agents: Collection[str]) -> str:
    """Return the agent where there is one alone, else ""."""
    return next(iter(agents)) if len(agents) == 1 else ""


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
