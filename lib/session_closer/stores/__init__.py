"""The kinds of store: one module each and one line here."""

from __future__ import annotations

import os
from typing import Protocol

from ..errors import Refused
from ..home import Home
from ..model import Snapshot
from . import files, sqlite


class Store(Protocol):
    """One agent's sessions; `read` looks, everything that changes goes through the executor."""

    era: str
    agent: str
    index: str
    folder: str

    def read(self) -> Snapshot:
        """Return the store as it is now; raise CorruptStore."""


STORES = {"files": files.FileStore}


def detect(home: Home, agent: str) -> files.FileStore | None:
    """Return the agent's store by what is on disk, None where there is none; Refused where we may not touch it."""
    database = sqlite.database(home.state, agent)
    tables = sqlite.session_tables(database)
    index = home.index(agent)
    has_index = os.path.lexists(index)
    if tables and has_index and home.has_own_indexes():
        raise Refused(
            f"agent {agent} has both a session database and {index}: a stale file or an unfinished migration",
            "openclaw doctor",
            name="mixed_store",
        )
    if tables:
        raise Refused(
            f"agent {agent} keeps its sessions in SQLite ({database}), this version closes file stores",
            f"openclaw sessions delete KEY --agent {agent} --yes",
            name="sqlite_store",
        )
    return STORES["files"](home, agent) if has_index else None
