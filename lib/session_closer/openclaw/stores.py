"""The kinds of store, each a module, and which of them an agent has."""

from __future__ import annotations

from ..core.errors import Refused
from ..core.model import Snapshot
from ..journal import history
from ..ports.readable import Readable
from ..system.files import exists
from .files.store import FileStore
from .home import Home
from .sqlite.database import holds_sessions


def detect(home: Home, agent: str) -> Readable | None:
    """Return the agent's store by what is on disk, None where there is none; Refused where the evidence is mixed."""
    found = kind(home, agent)
    if found != "sqlite":
        return FileStore(home, agent) if found is not None else None
    from .sqlite.store import SqliteStore  # only where there is one

    return SqliteStore(home, agent)


def absent(home: Home, agent: str) -> Snapshot:
    """Return the snapshot of an agent that has no store."""
    return Snapshot(agent, home.index(agent), home.folder(agent), {})


def kind(home: Home, agent: str) -> str | None:
    """Return which kind of store an agent has, None where it has none; Refused where the evidence is mixed."""
    database, index = home.database(agent), home.index(agent)
    has_index = exists(index)
    found = "sqlite" if holds_sessions(database) else "files" if has_index else None
    if found == "sqlite" and has_index and home.has_own_indexes():
        left = history.interrupted(home.state)
        if left:
            raise Refused(
                f"agent {agent} has both a session database and {index}, and {left[0]}",
                "repeat it without --dry-run and --check, or start any changing command",
                name="mixed_store",
            )
        raise Refused(
            f"agent {agent} has both a session database and {index}: a stale file or an unfinished migration",
            ", ".join(f"{home.openclaw} {words}" for words in ("gateway stop", "doctor --fix", "gateway start")),
            name="mixed_store",
        )
    return found
