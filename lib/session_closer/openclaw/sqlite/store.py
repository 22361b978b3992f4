"""The SQLite store: rows of `session_nodes` in an agent's own database (OpenClaw from 2026.8.1 on), read only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...core import names
from ...core.details import Details
from ...core.durations import moment
from ...core.errors import Refused
from ...core.model import Session, Snapshot, Traits
from ...core.status import Route
from ...core.tuples import NamedTuple
from ...system import files
from ..home import Home
from .database import names_in, reading

if TYPE_CHECKING:
    from sqlite3 import Connection

_TEXT = (
    "case when json_valid(entry_json) and json_type(entry_json, '{0}') = 'text'"
    " then json_extract(entry_json, '{0}') end"
)
_EVENT_BYTES = {"event_utf8_bytes": "event_utf8_bytes", "event_json": "length(cast(event_json as blob))"}
_ARCHIVE_COLUMNS = {
    "archive_name", "session_key", "session_id", "reason", "created_at", "archive_blob", "archive_sha256",
}  # fmt: skip
_CHUNK = 500


class Row(NamedTuple):
    """One session as its row shows it.

    `archived_at` is in ms since 1970, None while it is not archived; `events` is the number of its last transcript
    event, -1 while it has none.
    """

    key: str
    session_id: str
    entry: str
    archived_at: int | None
    status: str | None
    events: int


class Archive(NamedTuple):
    """What the database keeps of a session that was deleted or reset; `at` in ms since 1970, `size` in bytes."""

    name: str
    key: str
    session_id: str
    reason: str
    at: int
    size: int


class Kept(NamedTuple):
    """The bytes of an archive, None where the database has them not, or not whole, and the hash that they had."""

    raw: bytes | None
    sha256: str | None


# A row may have upper case in its key (a Matrix room): the session id that goes along tells rows apart.
TRAITS = Traits(
    frozenset({Route.GATEWAY}), hides=True, restarts=False, loose_files=False, any_case=True, own_cleanup=True
)


class SqliteStore:
    """One agent's session database and the folder that gets the archives of its transcripts."""

    era = "sqlite"
    traits = TRAITS

    def __init__(self, home: Home, agent: str) -> None:
        self.agent = agent
        self.index = home.database(agent)
        self.folder = home.folder(agent)
        self.beside = ""

    @property
    def place(self) -> str:
        """The folder of the database."""
        return os.path.dirname(self.index)

    def read(self) -> Snapshot:
        """Return the store as it is now; raise Refused where it cannot be read."""
        query = (
            "select session_key, current_session_id, status, pinned_at, archived_at, updated_at,"  # noqa: S608
            f" {_TEXT.format('$.chatType')}, {_TEXT.format('$.model')},"
            f" {_TEXT.format('$.worktree.id')},"
            f" {_TEXT.format('$.spawnedBy')}, {_TEXT.format('$.parentSessionKey')}"
            " from session_nodes order by session_key"
        )
        with reading(self.index) as connection:
            sessions = {
                key: Session(
                    self.agent,
                    key,
                    session_id,
                    None,
                    status,
                    pinned=pinned is not None,
                    id_usable=names.is_session_id(session_id),
                    archived=archived is not None,
                    updated_at=moment(updated),
                    chat_type=chat_type,
                    model=model,
                    archived_at=archived if isinstance(archived, int) else None,
                    worktree=worktree,
                    parents=tuple(dict.fromkeys(filter(None, parents))),
                )
                for key, session_id, status, pinned, archived, updated, chat_type, model, worktree, *parents in _told(
                    self.index, connection.execute(query)
                )
            }
        return Snapshot(
            self.agent,
            self.index,
            os.path.realpath(self.folder),
            sessions,
            files=frozenset(files.listed(self.folder)),
            traits=TRAITS,
        )

    def rows(self, keys: Sequence[str]) -> dict[str, Row]:
        """Return those of the keys that are in the store, with their entries; raise Refused."""
        found: dict[str, Row] = {}
        with reading(self.index) as connection:
            for some in _chunks(keys):
                marks = ",".join("?" * len(some))
                query = (
                    "select n.session_key, n.current_session_id, n.entry_json, n.archived_at, n.status,"  # noqa: S608
                    " (select max(seq) from transcript_events e where e.session_id = n.current_session_id)"
                    f" from session_nodes n where n.session_key in ({marks})"
                )
                for key, session_id, entry, archived, status, events in _told(
                    self.index, connection.execute(query, some)
                ):
                    last = -1 if events is None else int(events)
                    found[key] = Row(key, session_id, entry, archived, status, last)
        return found

    def sizes(self, sessions: Sequence[Session], _: Snapshot) -> dict[str, int | None]:
        """Return the bytes of the sessions' transcript events by key, None where the table does not tell; Refused."""
        ids = list(dict.fromkeys(session.session_id for session in sessions if session.session_id))
        found: dict[str, int] = {}
        with reading(self.index) as connection:
            columns = names_in(connection, "select name from pragma_table_info('transcript_events')")
            # A packed event has no text, but its length.
            told = [sql for column, sql in _EVENT_BYTES.items() if column in columns]
            if not told:
                return dict.fromkeys((session.key for session in sessions), None)
            for some in _chunks(ids):
                query = (
                    f"select session_id, sum(coalesce({', '.join(told)}, 0)) from transcript_events"  # noqa: S608
                    f" where session_id in ({','.join('?' * len(some))}) group by session_id"
                )
                found.update(_told(self.index, connection.execute(query, some)))
        return {session.key: found.get(session.session_id or "", 0) for session in sessions}

    def details(self, keys: Iterable[str]) -> Mapping[str, Details]:
        """Return what these sessions are called and have used, by key; raise Refused."""
        from .. import details  # only a list asks

        found: dict[str, Details] = {}
        with reading(self.index) as connection:
            for some in _chunks(list(keys)):
                marks = ",".join("?" * len(some))
                query = (
                    "select session_key, entry_json from session_nodes"  # noqa: S608
                    f" where json_valid(entry_json) and session_key in ({marks})"
                )
                found |= details.read(_told(self.index, connection.execute(query, some)), len(some))
        return found

    def uses(self, session_id: str) -> bool:
        """Tell whether a session that is there has this id."""
        return any(session.session_id == session_id for session in self.read().sessions.values())

    def archives(self, session_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the archive names that OpenClaw has for deleted sessions, also those of archives not written yet."""
        found: dict[str, list[str]] = {}
        with reading(self.index) as connection:
            if not names_in(connection, "select name from pragma_table_info('session_transcript_archives')"):
                return found
            for some in _chunks(session_ids):
                marks = ",".join("?" * len(some))
                query = (
                    "select session_id, archive_name from session_transcript_archives"  # noqa: S608
                    f" where reason = 'deleted' and session_id in ({marks}) order by created_at"
                )
                for session_id, name in _told(self.index, connection.execute(query, some)):
                    found.setdefault(session_id, []).append(name)
        return found

    def put_away(self) -> list[Archive]:
        """Return what the database keeps of sessions that were deleted or reset; raise Refused."""
        query = (
            "select archive_name, session_key, session_id, reason, created_at, length(archive_blob)"
            " from session_transcript_archives"
        )
        with reading(self.index) as connection:
            if not has_archives(connection):
                return []
            return [Archive(*row) for row in _told(self.index, connection.execute(query))]

    def kept(self, archive: str) -> Kept:
        """Return an archive as the database keeps it; raise Refused where it cannot be read."""
        query = "select archive_blob, archive_sha256 from session_transcript_archives where archive_name = ?"
        with reading(self.index) as connection:
            rows = connection.execute(query, (archive,)).fetchall() if has_archives(connection) else []
        for blob, digest in rows:
            is_whole = isinstance(blob, bytes) and hashlib.sha256(blob).hexdigest() == digest
            return Kept(blob if is_whole else None, digest)
        return Kept(None, None)


def has_archives(connection: Connection) -> bool:
    """Tell whether there is a table of archives that we can read: OpenClaw makes it with the first."""
    return names_in(connection, "select name from pragma_table_info('session_transcript_archives')") >= _ARCHIVE_COLUMNS


def all_archives(store: SqliteStore, session_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the archives of deleted sessions, the latest last: those that OpenClaw knows of behind all others."""
    found: dict[str, list[str]] = {session_id: [] for session_id in session_ids}
    for name in sorted(files.listed(store.folder)):
        session_id = (names.archived_from(name) or "").removesuffix(".jsonl")
        if session_id in found and names.is_put_away(name):
            found[session_id].append(name)
    for session_id, known in store.archives(session_ids).items():
        found[session_id] = [name for name in found[session_id] if name not in known] + known
    return found


def archives_of(store: SqliteStore, session_ids: Sequence[str], is_new: Callable[[str], bool]) -> dict[str, list[str]]:
    """Return the archive that OpenClaw has made of each deleted session: the latest of those that are new."""
    found = all_archives(store, session_ids)
    return {session_id: [name for name in known if is_new(name)][-1:] for session_id, known in found.items()}


def _told(path: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Give rows; Refused for one with bytes, which a database may hold wherever OpenClaw has text or numbers."""
    for row in rows:
        if bytes in map(type, row):
            raise Refused(f"{path} holds a row with bytes for text", "openclaw doctor", name="unknown_store")
        yield row


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(keys), _CHUNK):
        yield keys[at : at + _CHUNK]
