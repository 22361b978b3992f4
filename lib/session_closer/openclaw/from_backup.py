"""A receipt made of a backup beside an index: for a close without one, or an index that was lost. Nothing writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections import defaultdict

from ..core import escape, keys, names
from ..core.durable import SESSIONS, Move
from ..core.errors import CorruptStore, Ours, Refused
from ..core.model import Session
from ..journal import history
from ..journal.codec import scan
from ..journal.record import Damaged, RunRecord, SessionRecord, StoreRecord, receipt_of
from ..system import files
from .files import document
from .files.members import Document
from .files.store import check, parse, read_index
from .found import FOUND
from .home import Home
from .shelf import Shelf, put_away_after

FROM_BACKUP = "from-backup"
# What they bring back may be all that is left of an index.
ANEW = (FROM_BACKUP, FOUND)


def from_backup(home: Home, path: str) -> RunRecord:
    """Return a receipt made of what a close without one left: a backup of an index, and archived transcripts."""
    real = os.path.realpath(path)
    place, name = os.path.split(real)
    indexes = {agent: home.index(agent) for agent in home.agents()}
    theirs = [
        agent
        for agent, index in indexes.items()
        if os.path.realpath(os.path.dirname(index)) == place
        and name.startswith(names.backup_name(os.path.basename(index), ""))
    ]
    if not theirs:
        what = f"{escape.quoted(path)} is no backup beside a sessions.json of {home.state}"
        raise Refused(what, (Ours("restore-sessions"), "FILE, a sessions.json.bak-* in its place"), name="no_receipt")
    index = indexes[theirs[0]]
    raw, _ = read_index(real)
    before = parse(raw, real, theirs[0])
    live = live_or_empty(index, theirs[0], FROM_BACKUP)
    gone: dict[str, list[str]] = defaultdict(list)
    for key in before.members:
        if key not in live.members:
            # One index may hold the sessions of all agents, the transcripts are in the folder of each.
            own = keys.agent_of(key)
            gone[own if own in theirs else theirs[0]].append(key)
    hashed = hashlib.sha256(raw).hexdigest()
    sequence = _maker(home, index, name)
    stores_of_it = []
    for agent in gone or theirs[:1]:
        folder = home.folder(agent)
        shelf = put_away_after(home, agent, real, sequence)
        sessions = tuple(_left_over(before, key, before.members[key].row, shelf) for key in gone.get(agent, ()))
        stores_of_it.append(StoreRecord(agent, "files", index, {SESSIONS: folder}, name, len(raw), hashed, sessions))
    return receipt_of(FROM_BACKUP, home.state, tuple(stores_of_it), sequence)


def _maker(home: Home, index: str, name: str) -> int:
    """Return the place of the run that made a backup in the order of all; behind all of them where none did."""
    for raw in history.all_records(home.state):
        with contextlib.suppress(Damaged):
            record, stores = scan(raw)
            if any(store.path == index and name in (store.backup, *store.displaced) for store in stores):
                return record.sequence
    return sys.maxsize


def _left_over(before: Document[Session], key: str, session: Session, shelf: Shelf) -> SessionRecord:
    entry = before.member_bytes(key)
    named = names.parted(session.session_file or "")[1]
    ids = {session.session_id or "", named.removesuffix(".jsonl")} if session.id_usable else set()
    theirs = {name for one in ids for name in shelf.owned.get(one, ())} | ({named} & shelf.latest.keys())
    moves = tuple(Move(live, shelf.latest[live]) for live in sorted(theirs))
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


def live_or_empty(index: str, agent: str, operation: str) -> Document[Session]:
    """Return an index as it is now; one that is gone or no store is empty where it may be begun anew."""
    if operation in ANEW and lost(index) is not None:
        return parse(b"{}", index, agent)
    return parse(read_index(index)[0], index, agent)


def lost(index: str) -> str | None:
    """Return what is wrong with an index that holds no sessions any more: it is gone, or no store; None if it does."""
    if not files.exists(index):
        return "is gone"
    try:
        check(read_index(index)[0], index)
    except CorruptStore as problem:
        # One that is too large to be looked at may be whole.
        return problem.message.removeprefix(f"{index} ") if os.stat(index).st_size <= document.MAX_BYTES else None
    return None
