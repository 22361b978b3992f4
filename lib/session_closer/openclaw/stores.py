"""The kinds of store: one module each and one line here."""

from __future__ import annotations

from collections.abc import Callable

from ..core.errors import Refused
from ..journal import history
from ..ports.store import Store
from ..system.files import exists
from .files import store as files
from .home import Home
from .sqlite import store as sqlite

STORES: dict[str, Callable[[Home, str], Store]] = {"files": files.FileStore, "sqlite": sqlite.SqliteStore}


def detect(home: Home, agent: str) -> Store | None:
    """Return the agent's store by what is on disk, None where there is none; Refused where the evidence is mixed."""
    database, index = home.database(agent), home.index(agent)
    has_index = exists(index)
    kind = "sqlite" if sqlite.holds_sessions(database) else "files" if has_index else None
    if kind == "sqlite" and has_index and home.has_own_indexes():
        left = history.interrupted(home.state)
        if left:
            raise Refused(
                f"agent {agent} has both a session database and {index}, and {left[0]}",
                "repeat it without --dry-run and --check, or start any changing command",
                name="mixed_store",
            )
        raise Refused(
            f"agent {agent} has both a session database and {index}: a stale file or an unfinished migration",
            "openclaw gateway stop, openclaw doctor --fix, openclaw gateway start",
            name="mixed_store",
        )
    return STORES[kind](home, agent) if kind is not None else None
