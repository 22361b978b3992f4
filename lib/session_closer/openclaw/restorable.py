"""What a receipt can bring back: each session's entry and files, verified against what was recorded. Nothing writes."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple

from ..artifacts import measuring
from ..core import durations, escape, keys, names
from ..core.claims import Claims
from ..core.durable import SESSIONS, Move
from ..core.effects import Effect, Lost
from ..core.errors import Busy, CloserError, Ours, Refused
from ..core.model import PUT_AWAY, Status
from ..core.report import ReceiptRow
from ..journal import history
from ..journal.codec import decode
from ..journal.record import Damaged, Mode, Off, RunRecord, SessionRecord, StoreRecord
from ..journal.written import read_record
from ..ports.store import Readable
from ..system import files
from . import stores
from .files import document
from .files.store import FileStore
from .found import FOUND
from .from_backup import live_or_empty
from .home import Home
from .shelf import Shelf, put_away_since
from .sqlite.store import SqliteStore, archives_of

LAST = "last"
RESTORE = "restore-sessions"
# OpenClaw's own default for archived transcripts of a file store; those of a database it keeps.
_KEPT_SECONDS = 30 * durations.SECONDS["d"]


Back = set[tuple[str, str, str | None]]


class Chosen(NamedTuple):
    """One session of a receipt that is to be brought back, with the name that was given for it, and its run.

    `at`: the store's place among the run's, in the order of their closing.
    """

    store: StoreRecord
    session: SessionRecord
    given: str
    run: RunRecord
    at: int


class Item(NamedTuple):
    """One session of a receipt: `entry` is its member in a file store, or its `entry_json`.

    `moves` are the renames to be undone. `how`: file, import (into a database), unarchive, or orphan: a file without a
    session, whose name stands for the key. `effects` are those of the close that is undone, `left_out` says by kind
    or id why what has a way back was not brought back. `modes` and `jobs` are
    what the close has recorded of its worktree and its cron jobs, `left` what else is not as it was.
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
    effects: tuple[Effect, ...] = ()
    left_out: Mapping[str, str] = MappingProxyType({})
    modes: tuple[Mode, ...] = ()
    jobs: tuple[Off, ...] = ()
    left: tuple[Lost, ...] = ()


def receipts(home: Home) -> list[ReceiptRow]:
    """Return every receipt, newest first, those of runs that have not ended among them."""
    return [row for row, _ in _records(home)]


def _records(home: Home) -> list[tuple[ReceiptRow, RunRecord | None]]:
    """Return each receipt with what it says, None where that cannot be read; newest first."""
    found: dict[str, tuple[ReceiptRow, RunRecord | None]] = {}
    back: Back = set()
    # Newest first: what a restore has brought back was closed before it, and may have been closed again since.
    for run, path, raw in history.named_records(home.state):
        # A run that ends meanwhile is found twice, at last as a receipt.
        try:
            record = decode(raw)
        except Damaged:
            found[run] = ReceiptRow(run, "", "damaged", "", None, (), 0, 0, 0, path), None
            continue
        # All receipts together may be larger than the memory.
        bare = tuple(store.but(sessions=(), orphans=()) for store in record.stores)
        found[run] = _row(home, record, path, back), record.but(stores=bare)
        changed = {
            (store.agent, session.key, session.session_id)
            for store in record.stores
            for session in store.sessions
            if session.status in ("restored", *PUT_AWAY)
        }
        if is_restore(record):
            back |= changed
        else:
            back -= changed
    by_path = {row.path: row.restored for row, _ in found.values()}
    # One that has begun in this moment is the newest.
    place = {begun.run: number for number, begun in enumerate(history.beginnings(home.state))}
    newest_first = sorted(found, key=lambda run: (place.get(run, len(place)), run), reverse=True)
    return [(_with_later(row, record, by_path), record) for row, record in map(found.__getitem__, newest_first)]


def _with_later(row: ReceiptRow, record: RunRecord | None, restored: Mapping[str, int]) -> ReceiptRow:
    """Return the row with what is back of the caller's own session, which a run of its own has closed."""
    results = record.results if record is not None else ()
    return row._replace(restored=row.restored + sum(restored.get(str(result.receipt), 0) for result in results))


def _row(home: Home, record: RunRecord, path: str, back: Back) -> ReceiptRow:
    """Return what a list shows of a receipt; `back`: the sessions that later restores have brought back."""
    sessions = [(store.agent, session) for store in record.stores for session in store.sessions]
    files = sum(len(store.orphans) for store in record.stores)
    restore = is_restore(record)
    closed = [(agent, session) for agent, session in sessions if session.status in PUT_AWAY]
    # The caller's own session was closed by a run of its own, for this one.
    later = [result for result in record.results if result.late]
    agents = (*(store.agent for store in record.stores), *(result.agent for result in later))
    return ReceiptRow(
        record.id,
        record.operation,
        "done" if record.state == "done" else "interrupted" if history.is_left(home.state, record.id) else "open",
        record.started_at,
        record.reason,
        tuple(dict.fromkeys(agents)),
        len(sessions) + len(later) + files,
        0 if restore else len(closed) + sum(result.status in PUT_AWAY for result in later) + files,
        sum(session.status == "restored" for _, session in sessions)
        if restore
        else sum((agent, session.key, session.session_id) in back for agent, session in closed),
        path,
    )


def is_restore(record: RunRecord) -> bool:
    """Tell whether a run brought sessions back."""
    return any(store.restores for store in record.stores)


def choose(home: Home, which: str, *, looking: bool) -> RunRecord:
    """Return the receipt of a run: `last` that closed something, an id or the beginning of one, or its path.

    Busy where that run has not ended; Refused where it was interrupted, or its receipt cannot be read. `looking`:
    interrupted runs have not been finished ahead of this, as far as they can be.
    """
    wanted = os.path.basename(which).removesuffix(".json")
    if wanted != which and history.receipt_path(home.state, wanted) != os.path.realpath(which):
        raise _no_receipt(f"{escape.quoted(which)} is no receipt of {home.state}")
    records = _records(home)
    if which == LAST:
        # One that has not ended, or cannot be read, may be the run that is meant.
        others = ("open", "damaged", "interrupted") if looking else ("open", "damaged")
        rows = [
            row
            for row, record in records
            if row.closed or (row.state in others and not (record is not None and is_restore(record)))
        ][:1]
        rows = [_asking(records, row) for row in rows]
    else:
        rows = [row for row, _ in records if row.id == wanted] or [
            row for row, _ in records if wanted and row.id.startswith(wanted)
        ]
    if not rows and which == LAST:
        raise _no_receipt(f"no run has closed anything in {home.state} yet")
    if len(rows) != 1:
        said = f"{len(rows)} receipts begin with" if rows else "there is no receipt"
        raise _no_receipt(f"{said} {escape.plain(wanted)} in {home.state}")
    (row,) = rows
    if row.state == "open":
        raise Busy(f"run {row.id} has not ended: {_waiting_for(row, records)}", "run the same command again then")
    if row.state == "interrupted":
        raise Refused(
            f"run {row.id} was interrupted: what it has closed is known when it is finished",
            "any changing command finishes it; restore-sessions does that first, without --dry-run and --check",
            name="interrupted_run",
        )
    return _with_deferred(home, _read(home, row.path))


def _asking(records: Sequence[tuple[ReceiptRow, RunRecord | None]], row: ReceiptRow) -> ReceiptRow:
    """Return the run that left this one to the process which outlived it, else the row itself."""
    for other, record in records:
        if record is not None and any(result.receipt == row.path for result in record.results):
            return other
    return row


def _waiting_for(row: ReceiptRow, records: Sequence[tuple[ReceiptRow, RunRecord | None]]) -> str:
    record = next(record for other, record in records if other is row)
    results = record.results if record is not None else ()
    own = [result.key for result in results if result.status == Status.DEFERRED]
    return f"it waits until the turn of {escape.plain(own[0])} ends" if own else "a process is at it"


def _read(home: Home, path: str) -> RunRecord:
    """Return a receipt that speaks of stores of this state directory alone (I8)."""
    try:
        found = decode(read_record(path).raw)
    except (OSError, Damaged) as problem:
        raise _no_receipt(f"{path} cannot be read: {problem}") from None
    if found.state_dir != home.state:
        raise _no_receipt(f"{path} is a receipt of {found.state_dir}")
    for store in found.stores:
        own = home.database(store.agent) if store.era == "sqlite" else home.index(store.agent)
        if (store.path, store.roots) != (own, {SESSIONS: home.folder(store.agent)}):
            raise _no_receipt(f"{path} speaks of {store.path}, agent {store.agent} has {own}")
    return found


def _with_deferred(home: Home, record: RunRecord) -> RunRecord:
    """Return a receipt with the session that was closed for it later, which has a receipt of its own."""
    more: list[StoreRecord] = []
    for row in record.results:
        name = os.path.basename(row.receipt or "").removesuffix(".json")
        if names.is_run_id(name) and row.receipt == history.receipt_path(home.state, name):
            more += _read(home, row.receipt).stores
    return record.but(stores=(*record.stores, *more))


def _no_receipt(what: str) -> Refused:
    return Refused(what, (Ours(RESTORE), "--list"), name="no_receipt")


def select(
    record: RunRecord, wanted: Sequence[str], statuses: Collection[str] = PUT_AWAY
) -> tuple[list[Chosen], list[str]]:
    """Return the sessions of a receipt with such an end that are wanted (all if none is named), and unknown names."""
    stores_of_it = list(enumerate(record.stores))
    closed = [(at, session) for at, store in stores_of_it for session in store.sessions if session.status in statuses]
    closed += [(at, _orphan(move)) for at, store in stores_of_it if not store.restores for move in store.orphans]

    def one(at: int, session: SessionRecord, given: str) -> Chosen:
        return Chosen(record.stores[at], session, given, record, at)

    if not wanted:
        return [one(at, session, name_of(session)) for at, session in closed], []
    chosen: dict[tuple[str, str], Chosen] = {}
    unknown = []
    for name in wanted:
        # What a run has closed can be named as it is, also where it could be no target.
        hits = [(at, session) for at, session in closed if name == name_of(session)] or [
            (at, session)
            for at, session in closed
            if session.key in keys.target(name, record.stores[at].agent if _is_id(name) else None).candidates
        ]
        for at, session in hits:
            chosen.setdefault((record.stores[at].agent, name_of(session)), one(at, session, name))
        if not hits:
            if (slip := keys.slip(name, keys.agent_of(name) or keys.DEFAULT_AGENT)) is not None:
                raise slip
            unknown.append(name)
    return list(chosen.values()), unknown


def _orphan(move: Move) -> SessionRecord:
    """Return an archived file that belonged to no session as what a restore works on: it has no key."""
    return SessionRecord("", None, 0, 0, "", status="closed", moves=(move,))


def is_orphan(session: SessionRecord) -> bool:
    """Tell whether this is a file that belonged to no session: it has no entry."""
    return not session.sha256


def name_of(session: SessionRecord) -> str:
    """Return the key of a session, or the name of a file that belonged to none."""
    return session.moves[0].source if is_orphan(session) else session.key


def _is_id(name: str) -> bool:
    return not name.startswith("agent:")


def look(home: Home, agent: str, chosen: Sequence[Chosen]) -> tuple[Readable | None, list[Item]]:
    """Return an agent's store as it is now, and what would become of each of its sessions; raise Refused."""
    store = stores.detect(home, agent)
    # Most sessions miss nothing that is not in their record, and receipts may hold tens of thousands of archives.
    since = chosen[0].run.sequence, chosen[0].run.id
    shelf = functools.cache(lambda: put_away_since(home, agent, chosen[0].store.era, since))
    if isinstance(store, SqliteStore):
        return store, _with_way_out(chosen, _into_database(home, store, shelf, chosen))
    store = FileStore(home, agent)
    live = live_or_empty(store.index, agent, chosen[0].run.operation)
    store.document = live
    claims = Claims.of(member.row for member in live.members.values())
    return store, _with_way_out(chosen, [_into_file(home, store, claims, shelf, one) for one in chosen])


def _with_way_out(chosen: Sequence[Chosen], items: list[Item]) -> list[Item]:
    """Return items of what was found with a way on where something else is in its place."""
    if chosen[0].run.operation != FOUND:
        return items
    hint, told = "--as KEY brings it back beside it, under another key", []
    for item in items:
        why = {one.kind: one.note for one in item.effects if one.kind in ("settings", "transcript")}
        found = item._replace(left_out={**item.left_out, **why})
        told.append(found._replace(error=f"{item.error}; {hint}") if item.status is Status.CONFLICT else found)
    return told


def _into_file(home: Home, store: FileStore, claims: Claims, shelf: Callable[[], Shelf], one: Chosen) -> Item:
    recorded, session, given = one.store, one.session, one.given
    assert store.document is not None
    live = store.document
    if is_orphan(session):
        return _orphan_back(home, store, claims, one)
    item = Item(given, store.agent, session.key, session.session_id, Status.WOULD_RESTORE, effects=session.effects)
    item = item._replace(jobs=session.jobs)
    member = live.members.get(session.key)
    there = member is not None and member.row.session_id == session.session_id
    if member is not None and not there:
        return item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
    if recorded.era != "files":
        if there:
            return item._replace(status=Status.ALREADY_RESTORED)
        return item._replace(status=Status.FAILED, error="it was closed in a database, and the agent has files now")
    try:
        entry = live.member_bytes(session.key).decode("utf-8") if there else entry_of(recorded, session)
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    moves = tuple(_as_it_is_now(store, move, shelf) for move in session.moves)
    whole = session.but(moves=(*moves, *_left_for_another(store, entry, session, shelf)))
    found = _with_files(home, store, item._replace(entry=entry), whole, claims)
    # Where it was written back by hand, or by a gateway, its files may still be put away.
    if there and (found.status is not Status.WOULD_RESTORE or not found.moves):
        return item._replace(status=Status.ALREADY_RESTORED)
    return found


def _as_it_is_now(store: FileStore, move: Move, shelf: Callable[[], Shelf]) -> Move:
    """Return a rename with the archive's present name: a session that shared it may have been back in between."""
    if files.exists(os.path.join(store.folder, move.target)):
        return move
    later = move.but(target=shelf().latest.get(move.source, move.target))
    return move if measuring.change(store.folder, later) else later


def _left_for_another(
    store: FileStore, entry: str, session: SessionRecord, shelf: Callable[[], Shelf]
) -> tuple[Move, ...]:
    """Return the renames of files that stayed as another session used them, which a later run has closed."""
    try:
        value = json.loads(document.member(entry)[1])
    except (ValueError, RecursionError):
        return ()
    path, own = (value.get(name) for name in ("sessionFile", "sessionId")) if isinstance(value, dict) else (None, None)
    if not names.is_session_id(own):
        return ()
    known = {move.source for move in session.moves}

    def lacks(name: str) -> bool:
        return name not in known and not files.exists(os.path.join(store.folder, name))

    named = names.parted(path)[1] if isinstance(path, str) else ""
    transcripts = {name for name in (f"{own}.jsonl", named) if names.is_transcript(name) and lacks(name)}
    if not transcripts:
        return ()
    theirs = {name for one in transcripts for name in shelf().owned.get(one.removesuffix(".jsonl"), ())}
    return tuple(Move(name, shelf().latest[name]) for name in sorted(theirs) if lacks(name))


def _orphan_back(home: Home, store: FileStore, claims: Claims, one: Chosen) -> Item:
    move = one.session.moves[0]
    item = Item(one.given, store.agent, move.source, None, Status.WOULD_RESTORE, how="orphan")
    found = _with_files(home, store, item, one.session, claims)
    nothing_left = found.status is Status.WOULD_RESTORE and not found.moves
    return found._replace(status=Status.ALREADY_RESTORED) if nothing_left else found


def _with_files(home: Home, store: Readable, item: Item, session: SessionRecord, claims: Claims | None) -> Item:
    """Return the item with the renames to be undone, or with what stands in their way.

    `claims` of the sessions that are there now, None for a database, whose archives OpenClaw does not delete by age.
    """
    moves = []
    for move in session.moves:
        live, archive = os.path.join(store.folder, move.source), os.path.join(store.folder, move.target)
        shared = claims is not None and claims.cover(move.source)
        if files.exists(live) and not files.exists(archive) and (shared or _is_what_was(store.folder, move)):
            continue
        wrong = measuring.change(store.folder, move)
        if wrong is not None and not _is_kept(store, move):
            return item._replace(status=Status.FAILED, error=f"{escape.quoted(move.target)} {wrong}")
        if files.exists(live):
            return item._replace(status=Status.CONFLICT, error=f"{escape.quoted(move.source)} is there again")
        moves.append(move)
    return item._replace(moves=tuple(moves), until=_until(home, moves, keep_days=claims is not None))


def _is_kept(store: Readable, move: Move) -> bool:
    """Tell whether the database itself keeps an archive, whatever has become of the file."""
    return isinstance(store, SqliteStore) and store.kept(move.target).raw is not None


def _is_what_was(folder: str, move: Move) -> bool:
    return measuring.change(folder, move.but(target=move.source)) is None


def entry_of(recorded: StoreRecord, session: SessionRecord) -> str:
    """Return the member that a file store had for a session; Refused where its backup is not what it was."""
    if session.entry is not None:
        return session.entry
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


def _into_database(home: Home, store: SqliteStore, shelf: Callable[[], Shelf], chosen: Sequence[Chosen]) -> list[Item]:
    now = store.rows([one.session.key for one in chosen])
    items = []
    for one in chosen:
        session, given = one.session, one.given
        if is_orphan(session):
            why = "it was archived in a folder of files, and the agent has a database now"
            items.append(Item(given, store.agent, name_of(session), None, Status.FAILED, how="orphan", error=why))
            continue
        item = Item(given, store.agent, session.key, session.session_id, Status.WOULD_RESTORE, "import")
        item = item._replace(effects=session.effects, modes=session.modes, jobs=session.jobs)
        item = item._replace(left_out=_not_in_a_database(one))
        row = now.get(session.key)
        if row is not None and row.session_id != session.session_id:
            item = item._replace(status=Status.CONFLICT, error="the key is in use again, by another session")
        elif row is not None and (row.archived_at is None or session.archived_before):
            item = item._replace(status=Status.ALREADY_RESTORED)
        elif row is not None:
            item = item._replace(how="unarchive")
        else:
            item = _to_import(home, store, shelf, item, one)
        items.append(item)
    return items


def _not_in_a_database(one: Chosen) -> Mapping[str, str]:
    """Return what a file store could get back, and a database cannot."""
    moved = one.store.era == "files" and any(e.action == "removed" and e.undo == "exact" for e in one.session.effects)
    why = "it was kept in a file, and OpenClaw has a database now: bind the chat anew"
    return MappingProxyType({"binding": why} if moved else {})


def _to_import(home: Home, store: SqliteStore, shelf: Callable[[], Shelf], item: Item, one: Chosen) -> Item:
    recorded, session = one.store, one.session
    try:
        entry = session.entry if session.entry is not None else document.member(entry_of(recorded, session))[1]
    except CloserError as problem:
        return item._replace(status=Status.FAILED, error=problem.message)
    transcripts = tuple(move for move in session.moves if move.source == f"{session.session_id}.jsonl")
    if session.events >= 0 and not transcripts:
        # A cron job and its latest run have one session id: their transcript goes with the last of them.
        own = session.session_id or ""
        began = history.moment(one.run.started_at)
        late = archives_of(store, [own], lambda name: names.is_made_since(name, began))[own]
        archive = shelf().latest.get(f"{own}.jsonl", late[0] if late else None)
        transcripts = (Move(f"{own}.jsonl", archive),) if archive is not None else ()
        if not transcripts and not store.uses(own):
            return item._replace(
                status=Status.FAILED, error="the archive of its transcript was not found when it was closed"
            )
        session = session.but(moves=(*session.moves, *transcripts))
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
    return history.iso(min(stamps) + timedelta(seconds=kept))


def _kept_seconds(home: Home, default: float | None) -> float | None:
    if home.setting("session", "maintenance", "mode") == "warn":
        return None
    own = home.setting("session", "maintenance", "resetArchiveRetention")
    if own is False:
        return None
    found = durations.seconds(own, unit="d")
    if found is None and default is not None:
        # As OpenClaw reads them: the older name counts where the newer one is not set at all.
        after = home.setting("session", "maintenance", "pruneAfter")
        days = home.setting("session", "maintenance", "pruneDays")
        found = durations.seconds(days if after is None else after, unit="d")
    return default if found is None else found
