"""What OpenClaw's importer leaves behind of what it was given: plain copies, and a manifest that names them.

The bytes are in the archive that the session came from. Left alone, a later import of OpenClaw's would take the copies
for history that it has missed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

from ...core import late
from ...core.errors import Refused
from ...journal import history
from ...journal.record import StoreRecord
from ...system import files
from ...system.disk import Disk
from ..home import Home
from ..installation import Installation
from . import importer
from .store import SqliteStore

ARCHIVE, RUNS = "session-sqlite-import-archive", "session-sqlite-migration-runs"
_STAMP = late.pattern(r"\.imported-([0-9]{13})(?:\W|$)")
_LIMIT, _MANIFEST_BYTES = 2 << 30, 16 << 20

Content = tuple[int, str]


def put_away(here: Installation, store: SqliteStore, record: StoreRecord, back: Collection[str], began: str) -> None:
    """Remove what an import of a run that began then has left of the sessions that are back; a warning says what stays.

    What OpenClaw did not import it may still want: then the index that it was given stays, too.
    """
    since = history.moment(began)
    if since is None:
        return
    sessions = [session for session in record.sessions if session.key in back]
    ours = {(record.size, record.sha256)} if len(sessions) == len(record.sessions) else set()
    try:
        for session in sessions:
            for move in session.moves:
                ours.add(content(importer.transcript(store, session, move)))
        left = clear(here.disk, here.home, store.agent, ours, since)
    except (OSError, Refused) as problem:
        here.warn(f"copies that OpenClaw's import has left were not removed: {problem}")
        return
    if left:
        here.warn(f"OpenClaw's import has left {len(left)} files that are not ours to remove, the first: {left[0]}")


def content(data: bytes) -> Content:
    """Return by what a copy is known: its bytes and their sha256."""
    return len(data), hashlib.sha256(data).hexdigest()


def clear(disk: Disk, home: Home, agent: str, ours: Collection[Content], since: datetime) -> list[str]:
    """Remove the copies of what we gave to an import that began after `since`; return the paths of what is left of it.

    A file that is older, or of which no archive has the bytes, stays.
    """
    folder = os.path.join(home.state, "agents", agent, ARCHIVE)
    removed, left = set(), []
    for path in _since(folder, since):
        if _content(path) in ours:
            files.remove(disk, [path])
            removed.add(path)
        else:
            left.append(path)
    runs = os.path.join(home.state, RUNS)
    for path in [os.path.join(runs, name) for name in sorted(files.listed(runs)) if name.endswith(".json")]:
        found = _manifest(path, agent)
        if found is None or (history.moment(str(found["startedAt"])) or since) < since:
            continue
        if "completedAt" in found and set(_archives(found)) <= removed:
            files.remove(disk, [path])
        else:
            left.append(path)
    for place in (folder, runs):
        _tidy(disk, place)
    return left


def _since(folder: str, since: datetime) -> Iterator[str]:
    began = since.timestamp() * 1000
    for name in sorted(files.listed(folder)):
        stamp = _STAMP.search(name)
        if stamp is not None and int(stamp[1]) >= began:
            yield os.path.join(folder, name)


def _content(path: str) -> Content | None:
    try:
        return content(files.read(path, _LIMIT)[0])
    except OSError as problem:
        if not files.is_no_file(problem):
            raise
        return None


def _manifest(path: str, agent: str) -> dict[str, Any] | None:
    """Return what a manifest of an import of this agent alone says, None for any other file."""
    try:
        found = json.loads(files.read(path, _MANIFEST_BYTES)[0])
        agents = {target["agentId"] for target in found["targets"]}
        history.moment(str(found["startedAt"]))
        list(_archives(found))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if agents == {agent} else None


def _archives(manifest: dict[str, Any]) -> Iterator[str]:
    for target in manifest["targets"]:
        for move in (*target["plannedMoves"], *target["completedMoves"]):
            yield str(move["archivePath"])


def _tidy(disk: Disk, folder: str) -> None:
    """Remove a folder that is empty, and make what was removed durable."""
    if not files.is_folder(folder):
        return
    if files.listed(folder):
        disk.sync_folder(folder)
        return
    disk.remove_folder(folder)
    disk.sync_folder(os.path.dirname(folder))
