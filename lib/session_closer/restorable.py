"""What a receipt can bring back: each session's entry and files, verified against what was recorded. Nothing writes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from . import document, durations, files, history, keys, measuring, names, stores
from .document import Document
from .errors import CloserError, Refused
from .home import Home
from .model import Move, ReceiptRow, Session, Status
from .planning import Claims
from .record import Damaged, RunRecord, SessionRecord, StoreRecord, decode
from .stores import Store
from .stores.files import FileStore, parse, read_index
from .stores.sqlite import SqliteStore

LAST = "last"
RESTORE = "restore-sessions"
UNDONE = ("closed", "archived")
# OpenClaw's own default for archived transcripts of a file store; those of a database it keeps.
_KEPT_SECONDS = 30 * durations.SECONDS["d"]


class Chosen(NamedTuple):
    """One session of a receipt that is to be brought back, with the name that was given for it."""

    store: StoreRecord
    session: SessionRecord
    given: str


class Item(NamedTuple):
    """One session of a receipt: `entry` is its member in a file store, or its `entry_json`.

    `moves` are the renames to be undone. `how`: file, import (into a database), unarchive, or orphan: a file without a
    session, whose name stands for the key.
    """

    given: str
    agent: str
    key: str
    session_id: str | None
    status: Status
    how: str = "file"
    entry: str = ""
    moves: tuple[Move, ...] = ()
    error: str | None = None
    until: str | None = None


def receipts(home: Home) -> list[ReceiptRow]:
    """Return every receipt, newest first, those of runs that have not ended among them."""
    found = []
    for raw in history.all_records(home.state):
        try:
            record = decode(raw)
        except Damaged:
            continue
        sessions = [session for store in record.stores for session in store.sessions]
        files = sum(len(store.orphans) for store in record.stores)
        done = record.state == "done"
        path = history.receipt_path(home.state, record.id) if done else history.record_path(home.state, record.id)
        found.append(
            ReceiptRow(
                record.id,
                record.operation,
                record.state,
                record.started_at,
                record.reason,
                tuple(store.agent for store in record.stores),
                len(sessions) + files,
                0 if is_restore(record) else sum(session.status in UNDONE for session in sessions) + files,
                path,
            )
        )
    return sorted(found, key=lambda row: row.id, reverse=True)


def is_restore(record: RunRecord) -> bool:
    """Tell whether a run brought sessions back."""
    return any(store.restores for store in record.stores)


def choose(home: Home, which: str) -> RunRecord:
    """Return the receipt of a run: `last` that closed something, an id or the beginning of one, or its path."""
    wanted = os.path.basename(which).removesuffix(".json")
    if wanted != which and history.receipt_path(home.state, wanted) != os.path.realpath(which):
        raise _no_receipt(f"{keys.quoted(which)} is no receipt of {home.state}")
    rows = [row for row in receipts(home) if row.state == "done"]
    if which == LAST:
        rows = [row for row in rows if row.closed][:1]
    else:
        rows = [row for row in rows if row.id == wanted] or [
            row for row in rows if wanted and row.id.startswith(wanted)
        ]
    if len(rows) != 1:
        said = f"{len(rows)} receipts begin with" if rows else "there is no receipt"
        raise _no_receipt(f"{said} {keys.plain(wanted)} in {home.state}")
    return _with_deferred(home, _read(home, rows[0].path))


def _read(home: Home, path: str) -> RunRecord:
    """Return a receipt that speaks of stores of this state directory alone (I8)."""
    try:
        found = decode(files.read(path, history.LIMIT)[0])
    except (OSError, Damaged) as problem:
        raise _no_receipt(f"{path} cannot be read: {problem}") from None
    if found.state_dir != home.state:
        raise _no_receipt(f"{path} is a receipt of {found.state_dir}")
    for store in found.stores:
        own = home.database(store.agent) if store.era == "sqlite" else home.index(store.agent)
        if (store.path, store.transcripts) != (own, home.folder(store.agent)):
            raise _no_receipt(f"{path} speaks of {store.path}, agent {store.agent} has {own}")
    return found


def _with_deferred(home: Home, record: RunRecord) -> RunRecord:
    """Return a receipt with the session that was closed for it later, which has a receipt of its own."""
    more: list[StoreRecord] = []
    for row in record.results:
        path = row.get("receipt")
        if isinstance(path, str):
            name = os.path.basename(path).removesuffix(".json")
            if names.is_run_id(name) and path == history.receipt_path(home.state, name):
                more += _read(home, path).stores
    return replace(record, stores=(*record.stores, *more))


def _no_receipt(what: str) -> Refused:
    return Refused(what, "restore-sessions --list", name="no_receipt")


def select(
    record: RunRecord, wanted: Sequence[str], statuses: Sequence[str] = UNDONE
) -> tuple[list[Chosen], list[str]]:
    """Return the sessions of a receipt with such an end that are wanted (all if none is named), and unknown names."""
    closed = [(store, session) for store in record.stores for session in store.sessions if session.status in statuses]
    closed += [(store, _orphan(move)) for store in record.stores if not store.restores for move in store.orphans]
    if not wanted:
        return [Chosen(store, session, name_of(session)) for store, session in closed], []
    chosen: dict[tuple[str, str], Chosen] = {}
    unknown = []
    for name in wanted:
        hits = [
            (store, session)
            for store, session in closed
            if name in (session.key, name_of(session))
            or session.key in keys.target(name, store.agent if _is_id(name) else None).candidates
        ]
        for store, session in hits:
            chosen.setdefault((store.agent, name_of(session)), Chosen(store, session, name))
        if not hits:
            unknown.append(name)
    return list(chosen.values()), unknown


def _orphan(move: Move) -> SessionRecord:
    """Return an archived file that belonged to no session as what a restore works on: it has no key."""
    return SessionRecord("", None, 0, 0, "", status="closed", moves=(move,))


def name_of(session: SessionRecord) -> str:
    """Return the key of a session, or the name of a file that belonged to none."""
    return session.key or session.moves[0].source


def _is_id(name: str) -> bool:
    return not name.startswith("agent:")


def look(home: Home, agent: str, chosen: Sequence[Chosen]) -> tuple[Store | None, list[Item]]:
    """Return an agent's store as it is now, and what would become of each of its sessions; raise Refused."""
    store = stores.detect(home, agent)
    if isinstance(store, SqliteStore):
        return store, _into_database(home, store, chosen)
    store = FileStore(home, agent)
    live = parse(read_index(store.index)[0], store.index, agent)
    store.document = live
    claims = Claims.of(member.row for member in live.members.values())
    return store, [_into_file(home, store, claims, one) for one in chosen]


def _into_file(home: Home, store: FileStore, claims: Claims, one: Chosen) -> Item:
    recorded, session, given = one
    assert store.document is not None
    live = store.document
    if not session.key:
        return _orphan_back(home, store, claims, one)
    item = Item(given, store.agent, session.key, session.session_id, Status.WOULD_RESTORE)
    member = live.members.get(session.key)
    if member is not None and member.row.session_id == session.session_id:
        return item._replace(status=Status.ALREADY_RESTORED)
    if member is not None:
        return item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
    if recorded.era != "files":
        return item._replace(status=Status.FAILED, error="it was closed in a database, and the agent has files now")
    try:
        entry = entry_of(recorded, session)
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    return _with_files(home, store, item._replace(entry=entry), session, claims)


def _orphan_back(home: Home, store: FileStore, claims: Claims, one: Chosen) -> Item:
    move = one.session.moves[0]
    item = Item(one.given, store.agent, move.source, None, Status.WOULD_RESTORE, how="orphan")
    found = _with_files(home, store, item, one.session, claims)
    nothing_left = found.status is Status.WOULD_RESTORE and not found.moves
    return found._replace(status=Status.ALREADY_RESTORED) if nothing_left else found


def _with_files(home: Home, store: Store, item: Item, session: SessionRecord, claims: Claims | None) -> Item:
    """Return the item with the renames to be undone, or with what stands in their way.

    `claims` of the sessions that are there now, None for a database, whose archives OpenClaw does not delete by age.
    """
    moves = []
    for move in session.moves:
        live, archive = os.path.join(store.folder, move.source), os.path.join(store.folder, move.target)
        shared = claims is not None and claims.cover(move.source)
        if os.path.lexists(live) and not os.path.lexists(archive) and (shared or _is_what_was(store.folder, move)):
            continue
        wrong = measuring.change(store.folder, move)
        if wrong is not None:
            return item._replace(status=Status.FAILED, error=f"{keys.quoted(move.target)} {wrong}")
        if os.path.lexists(live):
            return item._replace(status=Status.CONFLICT, error=f"{keys.quoted(move.source)} is there again")
        moves.append(move)
    return item._replace(moves=tuple(moves), until=_until(home, moves, keep_days=claims is not None))


def _is_what_was(folder: str, move: Move) -> bool:
    return measuring.change(folder, move._replace(target=move.source)) is None


def entry_of(recorded: StoreRecord, session: SessionRecord) -> str:
    """Return the member that a file store had for a session; Refused where its backup is not what it was."""
    assert recorded.backup is not None
    path = os.path.join(os.path.dirname(recorded.path), recorded.backup)
    try:
        raw = files.piece(path, session.offset, session.length)
    except OSError as problem:
        raise Refused(f"its backup {path} cannot be read: {problem.strerror}") from None
    if hashlib.sha256(raw).hexdigest() != session.sha256:
        raise Refused(f"its backup {path} is not what it was")
    entry = raw.decode("utf-8")
    if document.member(entry)[0] != session.key:
        raise Refused(f"what {path} has there is another session's")
    return entry


def _into_database(home: Home, store: SqliteStore, chosen: Sequence[Chosen]) -> list[Item]:
    now = store.rows([session.key for _, session, _ in chosen])
    items = []
    for recorded, session, given in chosen:
        if not session.key:
            why = "it was archived in a folder of files, and the agent has a database now"
            items.append(Item(given, store.agent, name_of(session), None, Status.FAILED, how="orphan", error=why))
            continue
        item = Item(given, store.agent, session.key, session.session_id, Status.WOULD_RESTORE, how="import")
        row = now.get(session.key)
        if row is not None and row.session_id != session.session_id:
            item = item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
        elif row is not None and (row.archived_at is None or session.archived_before):
            item = item._replace(status=Status.ALREADY_RESTORED)
        elif row is not None:
            item = item._replace(how="unarchive")
        else:
            item = _to_import(home, store, item, recorded, session)
        items.append(item)
    return items


def _to_import(home: Home, store: SqliteStore, item: Item, recorded: StoreRecord, session: SessionRecord) -> Item:
    try:
        entry = session.entry if session.entry is not None else document.member(entry_of(recorded, session))[1]
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    transcripts = tuple(move for move in session.moves if move.source == f"{session.session_id}.jsonl")
    if session.events >= 0 and not transcripts:
        return item._replace(
            status=Status.FAILED, error="the archive of its transcript was not found when it was closed"
        )
    found = _with_files(home, store, item._replace(entry=entry), session, None)
    return found._replace(moves=transcripts) if found.status is Status.WOULD_RESTORE else found


def _until(home: Home, moves: Sequence[Move], *, keep_days: bool) -> str | None:
    """Return until when OpenClaw keeps the archives, None where it does not delete them by age."""
    kept = _kept_seconds(home, default=_KEPT_SECONDS if keep_days else None)
    # `.bak.` archives of companions are not aged.
    stamps = [
        stamp for move in moves if (stamp := names.archived_at(move.target)) and not names.is_companion(move.source)
    ]
    if kept is None or not stamps:
        return None
    return _iso(min(stamps) + timedelta(seconds=kept))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _kept_seconds(home: Home, default: float | None) -> float | None:
    if home.setting("session", "maintenance", "mode") == "warn":
        return None
    own = home.setting("session", "maintenance", "resetArchiveRetention")
    if own is None and default is not None:
        own = home.setting("session", "maintenance", "pruneAfter")
    if own is False:
        return None
    found = durations.seconds(own, unit="d")
    return default if found is None else found


def from_backup(home: Home, path: str) -> RunRecord:
    """Return a receipt made of what a close without one left: a backup of an index, and archived transcripts."""
    real = os.path.realpath(path)
    agent = next(
        (agent for agent in home.agents() if os.path.dirname(home.index(agent)) == os.path.dirname(real)), None
    )
    if agent is None or not os.path.basename(real).startswith(
        names.backup_name(os.path.basename(home.index(agent)), "")
    ):
        what = f"{keys.quoted(path)} is no backup beside a sessions.json of {home.state}"
        raise Refused(what, "restore-sessions FILE, a sessions.json.bak-* in its place", name="no_receipt")
    index, folder = home.index(agent), home.folder(agent)
    raw, _ = read_index(real)
    before = parse(raw, real, agent)
    live = parse(read_index(index)[0], index, agent)
    listed = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    shelf: dict[str, str] = {}
    for name in listed:
        archived = names.archived_from(name)
        if archived is not None:
            shelf[archived] = name
    sessions = []
    for key, member in before.members.items():
        if key not in live.members:
            sessions.append(_left_over(before, key, member.row, shelf))
    record = StoreRecord(
        agent,
        "files",
        index,
        folder,
        os.path.basename(real),
        len(raw),
        hashlib.sha256(raw).hexdigest(),
        tuple(sessions),
    )
    return RunRecord("", "from-backup", "", "", home.state, stores=(record,), state="done")


def _left_over(before: Document[Session], key: str, session: Session, shelf: dict[str, str]) -> SessionRecord:
    entry = before.member_bytes(key)
    named = (session.session_file or "").rpartition("/")[2]
    ids = {session.session_id, named.removesuffix(".jsonl")} if session.id_usable else set()
    moves = tuple(
        Move(live, archive)
        for live, archive in shelf.items()
        if live == named or not ids.isdisjoint(names.owners(live))
    )
    member = before.members[key]
    return SessionRecord(
        key,
        session.session_id,
        member.start,
        len(entry),
        hashlib.sha256(entry).hexdigest(),
        status="closed",
        moves=moves,
    )
