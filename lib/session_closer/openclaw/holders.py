"""Who else has a session by a name: looked up in the stores of the other agents."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from ..core.errors import CloserError
from ..core.model import Snapshot
from .files.named_files import SEARCHED_BYTES
from .files.neighbours import others
from .files.store import FileStore, parse, read_index
from .home import Home
from .sqlite.store import SqliteStore
from .stores import detect


def holders(home: Home, read: Mapping[str, Snapshot], agent: str, tails: Collection[str]) -> dict[str, list[str]]:
    """Return by tail the keys `agent:<other>:<tail>` and `agent:<other>:project-<tail>` that other agents have.

    `read`: what was in the stores that have been read, by agent.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for other, _ in others(home, agent):
        keys_of = {key: tail for tail in tails for key in _keys(other, tail)}
        with suppress(CloserError, OSError):
            holds = _searched(home, read, other, keys_of)
            for key, tail in keys_of.items():
                if holds(key):
                    found[tail].append(key)
    return found


def _keys(agent: str, tail: str) -> tuple[str, str]:
    return f"agent:{agent}:{tail}", f"agent:{agent}:project-{tail}"


def _searched(home: Home, read: Mapping[str, Snapshot], agent: str, wanted: Collection[str]) -> Callable[[str], bool]:
    if agent in read:
        return read[agent].sessions.__contains__
    store = detect(home, agent)
    if isinstance(store, SqliteStore):
        return store.rows(list(wanted)).__contains__
    if not isinstance(store, FileStore) or os.stat(store.index).st_size > SEARCHED_BYTES:
        return frozenset().__contains__
    raw = read_index(store.index)[0]
    spelled = (json.dumps(key, ensure_ascii=ascii_only) for key in wanted for ascii_only in (True, False))
    if not any(one.encode("utf-8", "surrogatepass") in raw for one in spelled):
        return frozenset().__contains__
    return parse(raw, store.index, agent).members.__contains__
