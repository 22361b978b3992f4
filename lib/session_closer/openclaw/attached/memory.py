"""What OpenClaw's memory search has of sessions: it goes on finding what was said in one that is closed. Reads only."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...core import names
from ...core.effects import Attached
from ...core.kinds import kind
from ...core.model import Session
from ...core.words import Kind
from ...system.files import exists
from ..home import Home
from ..sqlite import tables
from ..sqlite.database import reading

if TYPE_CHECKING:
    from sqlite3 import Connection

# Where an index says which files it holds, up to OpenClaw 2026.5 and later.
_FILES = ("files", "memory_index_sources")
_COLUMNS = {"path", "source"}
# OpenClaw indexes none of these.
_LEFT_OUT = frozenset({Kind.CRON, Kind.CRON_RUN, Kind.HEARTBEAT, Kind.DREAMING})
_FOUND = "memory search finds what was said in it, closed or not"
_WILL_BE = "memory search will find what was said in it"


def look(home: Home, agent: str, sessions: Sequence[Session]) -> Iterator[tuple[str, Attached]]:
    """Give what an agent's memory index has of each of its sessions, where it indexes any; raise Refused."""
    counts: Counter[str] = Counter()
    forgotten: set[str] = set()
    is_on = can_forget = False
    for path in (home.database(agent), os.path.join(home.state, "memory", f"{agent}.sqlite")):
        if exists(path, follow=True):
            with reading(path) as connection:
                found = _indexed(connection)
                is_on = is_on or bool(found) or _is_on(connection)
                # With the sessions in a database came the command that forgets one.
                can_forget = can_forget or bool(tables.columns(connection, "session_nodes"))
                counts += found
                forgotten |= _forgotten(connection)
    for session in sessions if is_on else ():
        session_id = session.session_id or ""
        count = counts[session_id]
        comes = session_id not in forgotten and kind(session.key, session.chat_type) not in _LEFT_OUT
        if session.id_usable and session_id and (count or comes):
            how = (
                f"openclaw memory forget --agent {agent} --session {session_id} makes it forget"
                if can_forget
                else "until its archive is deleted and openclaw memory index --force has run"
            )
            said = f"{_FOUND if count else _WILL_BE}; {how}"
            yield session.key, Attached("memory", session_id, count=count, detail=said)


def _indexed(connection: Connection) -> Counter[str]:
    """Return how many files of sessions an index holds, by session id: live ones and archives."""
    counts: Counter[str] = Counter()
    for table in _FILES:
        if tables.columns(connection, table) >= _COLUMNS:
            for (path,) in connection.execute(f"select path from {table} where source = 'sessions'"):  # noqa: S608
                name = str(path).rpartition("/")[2]
                counts.update(names.owners(names.archived_from(name) or name))
    return counts


def _forgotten(connection: Connection) -> set[str]:
    """Return the sessions that memory was told to forget: no index takes them again."""
    if "session_id" not in tables.columns(connection, "memory_session_tombstones"):
        return set()
    return {str(session_id) for (session_id,) in connection.execute("select session_id from memory_session_tombstones")}


def _is_on(connection: Connection) -> bool:
    """Tell whether an index is one of sessions, too, although it holds none yet."""
    if "value" not in tables.columns(connection, "memory_index_meta"):
        return False
    for (text,) in connection.execute("select value from memory_index_meta"):
        try:
            meta = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            continue
        sources = meta.get("sources") if isinstance(meta, dict) else None
        if isinstance(sources, list) and "sessions" in sources:
            return True
    return False
