"""One session of a database as an export takes it: all of it in one read transaction, packed events unpacked."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from ...core.durable import Move
from ...core.errors import CorruptStore, Refused
from ...core.export.parts import ENTRY, TRAJECTORY, TRANSCRIPT, WINDOWS, LeftOut, Parts, Stream, safe
from ...core.model import Session
from ...core.status import Status
from ...core.tuples import NamedTuple
from ...journal.source import ChosenSession
from ...system import files
from ..home import Home
from ..taken import taken
from . import returnable
from .database import names_in, reading
from .packed import pieces, unpacked
from .store import SqliteStore, has_archives

if TYPE_CHECKING:
    from sqlite3 import Connection

_COLD = "session_transcript_cold_archives"
_EVENT_BYTES, _COLD_BYTES = 512 << 20, 2 << 30
_REMEDY = "openclaw doctor"
_GATHERED = 1 << 20


class _Table(NamedTuple):
    """A table of events of a session: what its text is packed in, and where its own count of bytes is, if it has it."""

    name: str
    packed: str
    counted: str


class _Cold(NamedTuple):
    """A transcript that is packed as a whole: in its row, or else in a file of this name; `size` when unpacked."""

    name: str
    sha256: str
    size: int


@contextmanager
def parts(home: Home, store: SqliteStore, session: Session, *, with_media: bool) -> Iterator[Parts]:
    """Give one session as it is now; the streams can be read while this lasts."""
    with reading(store.index) as connection:
        # All that is read is of one moment.
        connection.execute("begin")
        yield _parts(home, store, connection, session, with_media=with_media)


@contextmanager
def put_away(home: Home, store: SqliteStore, chosen: ChosenSession, *, with_media: bool) -> Iterator[Parts]:
    """Give one session that a run has put away; Refused where it is neither hidden nor in an archive."""
    session = store.read().sessions.get(chosen.session.key)
    if session is not None and session.session_id == chosen.session.session_id:
        with parts(home, store, session, with_media=with_media) as found:
            yield found
        return
    entry = (chosen.session.entry or "").encode()
    streams = [Stream(ENTRY, "the receipt", len(entry), lambda: iter([entry]))]
    streams += [_of_archive(store, TRANSCRIPT, move.target) for move in _archives(home, store, chosen)]
    left_out = [LeftOut(TRAJECTORY, "OpenClaw has deleted it; its rows are beside the receipt")]
    if len(streams) == 1:
        left_out.append(LeftOut(TRANSCRIPT, "nothing was said"))
    yield taken(home, entry, streams, left_out, with_media=with_media)


def _archives(home: Home, store: SqliteStore, chosen: ChosenSession) -> Sequence[Move]:
    """Return the archive of a session's transcript, none where nothing was said; Refused where it is gone."""
    [item] = returnable.look(home, store, [chosen])
    if item.status is Status.FAILED:
        raise Refused(item.error or "its archive is gone", "restore-sessions RECEIPT --check", name="gone")
    own = f"{chosen.session.session_id}.jsonl"
    return item.moves or [move for move in chosen.session.moves if move.source == own]


def _packed(store: SqliteStore, archive: str) -> bytes:
    """Return an archive as it is; Refused where it is not what OpenClaw has archived."""
    raw, digest = store.kept(archive)
    if raw is None:
        path = os.path.join(store.folder, archive)
        try:
            raw, _ = files.read(path, _COLD_BYTES)
        except OSError as problem:
            raise Refused(f"{path} cannot be read: {problem.strerror}", "check the file", name="gone") from None
        if digest is not None and hashlib.sha256(raw).hexdigest() != digest:
            raise Refused(f"{archive} does not hold what OpenClaw archived", _REMEDY, name="gone")
    return raw


def _of_archive(store: SqliteStore, name: str, archive: str) -> Stream:
    """Return what OpenClaw has archived as a file of a bundle; Refused where it is gone, or not what it was."""
    packed = _packed(store, archive)
    size = sum(map(len, _text_of(archive, packed)))
    return Stream(name, os.path.join(store.folder, archive), size, partial(_text_of, archive, packed))


def _reset(connection: Connection, session: Session, taken: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give the name in a bundle, and the archive, of each transcript that a key had before a reset."""
    if not has_archives(connection):
        return
    query = (
        "select session_id, archive_name from session_transcript_archives"
        " where session_key = ? and reason = 'reset' order by created_at"
    )
    known = set(taken)
    for own, archive in connection.execute(query, (session.key,)).fetchall():
        tries = (f"{WINDOWS}/{safe(str(own))}{f'.{at}' if at else ''}.jsonl" for at in itertools.count())
        name = next(each for each in tries if each not in known)
        known.add(name)
        yield name, str(archive)


def _text_of(archive: str, packed: bytes) -> Iterator[bytes]:
    return pieces(archive, packed, remedy=_REMEDY) if archive.endswith(".zst") else iter([packed])


def _parts(home: Home, store: SqliteStore, connection: Connection, session: Session, *, with_media: bool) -> Parts:
    row = connection.execute(
        "select current_session_id, entry_json from session_nodes where session_key = ?", (session.key,)
    ).fetchone()
    if row is None or row[0] != session.session_id or not isinstance(row[1], str):
        raise Refused("it is not in its store any more", "look again with list-sessions", name="gone")
    entry = row[1].encode()
    streams = [Stream(ENTRY, f"{store.index}: session_nodes", len(entry), lambda: iter([entry]))]
    left_out = []
    for own, name in _windows(connection, session):
        found = [*_of_window(store, connection, own, name)]
        streams += found
        if name == TRANSCRIPT and not any(stream.name == TRANSCRIPT for stream in found):
            left_out.append(LeftOut(TRANSCRIPT, "nothing was said"))
    for name, archive in _reset(connection, session, {stream.name for stream in streams}):
        try:
            streams.append(_of_archive(store, name, archive))
        except Refused as problem:
            left_out.append(LeftOut(name, problem.message))
    return taken(home, entry, streams, left_out, with_media=with_media)


def _windows(connection: Connection, session: Session) -> Iterator[tuple[str, str]]:
    """Give the id of each window of a session, the current one first, and the name of its transcript in a bundle."""
    yield session.session_id or "", TRANSCRIPT
    if "session_key" in names_in(connection, "select name from pragma_table_info('session_windows')"):
        query = "select session_id from session_windows where session_key = ? and session_id <> ? order by created_at"
        for (own,) in connection.execute(query, (session.key, session.session_id)).fetchall():
            yield str(own), f"{WINDOWS}/{safe(str(own))}.jsonl"


def _of_window(store: SqliteStore, connection: Connection, own: str, name: str) -> Iterator[Stream]:
    trajectory = TRAJECTORY if name == TRANSCRIPT else name.replace(".jsonl", ".trajectory.jsonl")
    warm = [*_of_table(store, connection, _table(connection, "transcript_events"), own, name)]
    if "archive_sha256" in names_in(connection, f"select name from pragma_table_info('{_COLD}')"):  # noqa: S608
        yield from _cold(store, connection, own, f"{WINDOWS}/{safe(own)}.cold.jsonl" if warm else name)
    yield from warm
    yield from _of_table(store, connection, _table(connection, "trajectory_runtime_events"), own, trajectory)


def _table(connection: Connection, name: str) -> _Table | None:
    columns = names_in(connection, f"select name from pragma_table_info('{name}')")  # noqa: S608
    if not {"session_id", "seq", "event_json"} <= columns:
        return None
    return _Table(
        name,
        "event_zstd" if "event_zstd" in columns else "null",
        "event_utf8_bytes" if "event_utf8_bytes" in columns else "null",
    )


def _of_table(
    store: SqliteStore, connection: Connection, table: _Table | None, own: str, name: str
) -> Iterator[Stream]:
    if table is None:
        return
    # A count of its own, by which it shows whether what is read is all there is.
    query = (
        f"select count(*), sum(coalesce({table.counted}, length(cast(event_json as blob)), 0) + 1)"  # noqa: S608
        f" from {table.name} where session_id = ?"
    )
    count, size = connection.execute(query, (own,)).fetchone()
    if count:
        origin = f"{store.index}: {table.name} {own}"
        yield Stream(name, origin, int(size), lambda: _events(connection, table, own, int(count)), int(count))


def _events(connection: Connection, table: _Table, own: str, count: int) -> Iterator[bytes]:
    """Give the events of a session, each as a line."""
    query = (
        f"select seq, event_json, {table.packed}, {table.counted} from {table.name}"  # noqa: S608
        " where session_id = ? order by seq"
    )
    some: list[bytes] = []
    size = read = 0
    for seq, text, packed, counted in connection.execute(query, (own,)):
        line = _line(f"event {seq} of {own}", text, packed, counted)
        read += 1
        size += len(line)
        some += (line, b"\n")
        if size >= _GATHERED:
            yield b"".join(some)
            some, size = [], 0
    yield b"".join(some)
    if read != count:
        raise CorruptStore(f"{table.name} holds {count} events of {own}, and {read} were read", _REMEDY)


def _line(what: str, text: object, packed: object, counted: object) -> bytes:
    if isinstance(text, str):
        line = text.encode("utf-8", "surrogatepass")
    elif isinstance(packed, bytes):
        line = unpacked(what, packed, most=_EVENT_BYTES, remedy=_REMEDY)
    else:
        raise CorruptStore(f"{what} has neither text nor what could be unpacked", _REMEDY)
    if isinstance(counted, int) and counted != len(line):
        raise CorruptStore(f"{what} has {len(line)} bytes, and its row says {counted}", _REMEDY)
    if b"\n" in line:
        raise CorruptStore(f"{what} is more than one line", _REMEDY)
    return line


def _cold(store: SqliteStore, connection: Connection, own: str, name: str) -> Iterator[Stream]:
    """Give a transcript that OpenClaw has packed as a whole, since nobody has used it for long."""
    query = (
        "select archive_name, archive_sha256, event_count, raw_bytes"  # noqa: S608
        f" from {_COLD} where session_id = ?"
    )
    for archive, digest, count, size in connection.execute(query, (own,)).fetchall():
        read = partial(_unpacked, store, connection, own, _Cold(archive, digest, size))
        yield Stream(name, f"{store.index}: {_COLD} {own}", int(size), read, int(count))


def _unpacked(store: SqliteStore, connection: Connection, own: str, cold: _Cold) -> Iterator[bytes]:
    query = f"select archive_blob from {_COLD} where session_id = ? and archive_name = ?"  # noqa: S608
    blob = connection.execute(query, (own, cold.name)).fetchone()[0]
    packed = blob if isinstance(blob, bytes) else _packed_beside(store, cold.name)
    if hashlib.sha256(packed).hexdigest() != cold.sha256:
        raise CorruptStore(f"{cold.name} does not hold what OpenClaw has packed", _REMEDY)
    size = 0
    for piece in pieces(cold.name, packed, remedy=_REMEDY):
        size += len(piece)
        yield piece
    if size != cold.size:
        raise CorruptStore(f"{cold.name} has {size} bytes, and its row says {cold.size}", _REMEDY)


def _packed_beside(store: SqliteStore, archive: str) -> bytes:
    for folder in (store.folder, store.place):
        path = os.path.join(folder, os.path.basename(archive))
        if files.is_file(path):
            return files.read(path, _COLD_BYTES)[0]
    raise Refused(f"{archive} is neither in {store.folder} nor in {store.place}", _REMEDY, name="unreadable")
