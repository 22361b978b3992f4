"""The two databases in a session's folder, read as they are on disk: beside them nothing is ever made."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Container, Mapping
from typing import Any

from ..artifacts import scan
from ..core import claude_folder
from ..core.artifacts import UNREADABLE
from ..core.tuples import NamedTuple
from ..system import images
from . import kinds

INBOUND, OUTBOUND = "inbound.db", "outbound.db"
_OPEN = "status in ('pending', 'processing', 'paused')"


class Mail(NamedTuple):
    """What the two say: why the folder is in use, "": it is not; from whom messages came that wait; what goes on.

    `sources` are None where that cannot be read; `trouble` says why one of the two cannot, "": both can.
    """

    why: str
    sources: frozenset[str] | None
    continued: frozenset[str]
    trouble: str = ""


class Mailboxes:
    """Those of all sessions; what was read is kept until a file changes. Folders are paths below the root."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._known: dict[str, tuple[object, Mail]] = {}
        self._groups: dict[str, dict[str, Mail]] = {}

    def look_again(self) -> None:
        """Ask from now on again which folders there are, and whether anything has changed in them."""
        self._groups.clear()

    def of(self, folder: str) -> Mail:
        """Return what the databases in a folder say."""
        stamp = tuple(images.stamp(f"{self._root}/{folder}/{name}") for name in (INBOUND, OUTBOUND))
        known = self._known.get(folder)
        if known is None or known[0] != stamp:
            known = self._known[folder] = stamp, self._read(folder)
        return known[1]

    def of_group(self, group: str) -> Mapping[str, Mail]:
        """Return what the databases in each folder of a group say."""
        if group not in self._groups:
            above = f"{kinds.SESSIONS}/{group}"
            folders = [f"{above}/{name}" for name in self._names(above) if self.has_one(f"{above}/{name}")]
            self._groups[group] = {folder: self.of(folder) for folder in folders}
        return self._groups[group]

    def but_for(self, folder: str) -> list[Mail]:
        """Return what those in all folders of all groups but one say."""
        every = [mail for group in self._names(kinds.SESSIONS) for mail in self.of_group(group).items()]
        return [mail for each, mail in every if each != folder]

    def troubles(self) -> list[str]:
        """Return why databases that were asked for cannot be read, a line for each folder."""
        return [mail.trouble for _, mail in self._known.values() if mail.trouble]

    def has_one(self, folder: str) -> bool:
        """Tell whether a folder has one of the two."""
        return any(os.path.lexists(f"{self._root}/{folder}/{name}") for name in (INBOUND, OUTBOUND))

    def _names(self, path: str) -> list[str]:
        with scan.opened(self._root, path) as folder:
            return [] if folder is None else sorted(name for name in os.listdir(folder) if not name.startswith("."))

    def _read(self, folder: str) -> Mail:
        sources: frozenset[str] | None = None
        name = INBOUND
        try:
            with images.opened(self._root, f"{folder}/{INBOUND}") as inbound:
                pending, sources, delivered = _received(inbound)
            name = OUTBOUND
            with images.opened(self._root, f"{folder}/{OUTBOUND}") as outbound:
                why, continued = _sent(outbound, delivered)
        except (OSError, sqlite3.Error) as problem:
            return Mail(UNREADABLE, sources, frozenset(), f"{self._root}/{folder}/{name} cannot be read: {problem}")
        return Mail(pending or why, sources, continued)


def _sent(outbound: sqlite3.Connection | None, delivered: Container[Any]) -> tuple[str, frozenset[str]]:
    """Return why a container is not done, "": it is, and which of Claude Code's sessions it goes on with."""
    if outbound is None:
        return "", frozenset()
    why = "working" if outbound.execute("select 1 from processing_ack where status = 'processing'").fetchone() else ""
    if not why and any(one not in delivered for (one,) in outbound.execute("select id from messages_out")):
        why = "undelivered"
    said = outbound.execute("select value from session_state where key like 'continuation:%' or key = 'sdk_session_id'")
    return why, frozenset[str]().union(*(claude_folder.ids(str(value)) for (value,) in said))


def _received(inbound: sqlite3.Connection | None) -> tuple[str, frozenset[str], frozenset[Any]]:
    """Return why there is work to be done, "": there is none, from which sessions, and what was delivered."""
    if inbound is None:
        return "", frozenset(), frozenset()
    why = "pending" if inbound.execute(f"select 1 from messages_in where {_OPEN}").fetchone() else ""  # noqa: S608
    delivered = frozenset(one for (one,) in inbound.execute("select message_out_id from delivered"))
    return why, _sources(inbound), delivered


def _sources(inbound: sqlite3.Connection) -> frozenset[str]:
    columns = inbound.execute("select 1 from pragma_table_info('messages_in') where name = 'source_session_id'")
    if columns.fetchone() is None:
        return frozenset()
    return frozenset(one for (one,) in inbound.execute(f"select source_session_id from messages_in where {_OPEN}"))  # noqa: S608
