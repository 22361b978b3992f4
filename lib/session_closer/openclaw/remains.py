"""What lies on the disk of sessions that are gone: archives, a database's own, rows in backups. Nothing writes.

No transcript is read for it, and no gateway is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..core import keys, names
from ..core.errors import CloserError
from ..core.model import Session
from ..core.tuples import NamedTuple
from ..system import files, pieces
from . import stores
from .files.store import parse, read_index
from .home import Home
from .sqlite.store import SqliteStore

# Of one agent's backups so much is read, the newest first; each may be as large as a store.
_BACKUP_BYTES = 512 << 20
_LINE_BYTES = 64 << 10


class Archive(NamedTuple):
    """A transcript that was put away: `live` is the name that it had, `owner` the session id in that.

    `key` and `size` (in bytes) are None where only a file tells of it.
    """

    name: str
    live: str
    owner: str
    reason: str
    at: datetime
    key: str | None = None
    size: int | None = None


class Row(NamedTuple):
    """A session that a backup of an index has and the index has no more; `backup` is the newest with it, its path."""

    session: Session
    backup: str
    at: datetime


@dataclass(slots=True)
class Scene:
    """One agent's folder, store and backups as they are now: what is live, and what remains of the rest."""

    agent: str
    era: str
    folder: str
    live: Mapping[str, str | None]
    ids: frozenset[str | None]
    archives: dict[str, Archive] = field(default_factory=dict)
    by_owner: dict[str, list[Archive]] = field(default_factory=lambda: defaultdict(list))
    companions: dict[tuple[str, datetime], list[str]] = field(default_factory=lambda: defaultdict(list))
    trajectories: dict[str, str] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)


def scene(where: Home, agent: str, warn: Callable[[str], None]) -> Scene:
    """Return what there is of an agent's sessions; CloserError, or OSError, where it cannot be looked at."""
    store = stores.detect(where, agent)
    sessions = {} if store is None else store.read().sessions
    live = {key: session.session_id for key, session in sessions.items()}
    era = "files" if store is None else store.era
    made = Scene(agent, era, where.folder(agent), live, frozenset(live.values()))
    for name in (*files.listed(made.folder), *files.listed_whole(where.beside(agent))):
        _take_name(made, name)
    if isinstance(store, SqliteStore):
        for kept in store.put_away():
            at, file = datetime.fromtimestamp(kept.at / 1000, UTC), f"{kept.session_id}.jsonl"
            of_it = Archive(kept.name, file, kept.session_id, kept.reason, at, kept.key, kept.size)
            made.archives[kept.name] = of_it
    made.archives = {name: one for name, one in made.archives.items() if one.owner not in made.ids}
    for one in made.archives.values():
        made.by_owner[one.owner].append(one)
    _take_rows(where, made, warn)
    return made


def _take_name(made: Scene, name: str) -> None:
    """Note what a file in a sessions folder is, by its name."""
    live, reason, at = names.archived_from(name), names.archived_how(name), names.archived_at(name)
    if name.endswith(".trajectory.jsonl") or (live is not None and live.endswith(".trajectory.jsonl")):
        made.trajectories[names.base(name).partition(".trajectory.jsonl")[0]] = name
    owners = names.owners(live) if live is not None else set()
    if live is None or at is None or not owners:
        return
    # The transcript of a topic has the session's id ahead of the topic's number; in a database there are none.
    owner = min(owners, key=len) if made.era == "files" else names.base(live).removesuffix(".jsonl")
    if names.is_companion(live):
        made.companions[owner, at].append(name)
    elif reason in ("deleted", "reset") and names.is_transcript(names.base(live)):
        made.archives[name] = Archive(name, live, owner, reason, at)


def _take_rows(where: Home, made: Scene, warn: Callable[[str], None]) -> None:
    left = _BACKUP_BYTES
    backups = sorted(_backups(where, made.agent), reverse=True)
    for number, (written, size, path) in enumerate(backups):
        left -= size
        if left < 0:
            warn(f"agent {made.agent}: {len(backups) - number} older backups of its index were not looked at")
            return
        try:
            members = parse(read_index(path)[0], path, made.agent).members
        except CloserError as problem:
            warn(problem.message)
            continue
        at = names.backed_up_at(os.path.basename(path)) or datetime.fromtimestamp(written, UTC)
        for key, member in members.items():
            own, session = keys.agent_of(key), member.row
            is_its = own == made.agent or (own is None and where.has_own_indexes())
            if is_its and session.id_usable and session.session_id and session.session_id not in made.ids:
                made.rows.setdefault((key, session.session_id), Row(session, path, at))


def _backups(where: Home, agent: str) -> Iterator[tuple[float, int, str]]:
    """Give the time, size and path of each copy of an agent's index: ours, OpenClaw's, and its importer's."""
    place, index = os.path.split(where.index(agent))
    imported = os.path.join(os.path.dirname(where.folder(agent)), "session-sqlite-import-archive")
    for folder in (place, *([] if os.path.islink(imported) else [imported])):
        for name in files.listed(folder):
            path = os.path.join(folder, name)
            if names.is_index_backup(name, index) and not os.path.islink(path):
                with contextlib.suppress(FileNotFoundError):
                    found = os.stat(path)
                    yield found.st_mtime, found.st_size, path


def key_in_trajectory(made: Scene, session_id: str) -> str | None:
    """Return the key that a session's trajectory names, None where there is none of this agent's."""
    name = made.trajectories.get(session_id)
    if name is None:
        return None
    try:
        line = pieces.piece(os.path.join(made.folder, name), 0, _LINE_BYTES).partition(b"\n")[0]
        event = json.loads(line)
    except (OSError, ValueError, RecursionError):
        return None
    key = event.get("sessionKey") if isinstance(event, dict) else None
    return key if isinstance(key, str) and keys.agent_of(key) == made.agent else None


def first_line(folder: str, name: str) -> bytes:
    """Return the beginning of a file's first line; OSError where it cannot be read."""
    return pieces.piece(os.path.join(folder, name), 0, _LINE_BYTES).partition(b"\n")[0]
