"""What a backup beside an index tells of a close without a receipt, or of an index that was lost. Nothing writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections import defaultdict

from ..core import escape, keys, names
from ..core.durable import SESSIONS, Move
from ..core.errors import Ours, Refused
from ..core.model import Session
from ..journal import history
from ..journal.codec import scan
from ..journal.record import Damaged, SessionRecord, StoreRecord
from ..journal.source import Origin, Source
from .files.index import live_or_empty
from .files.members import Document
from .files.store import parse, read_index
from .home import Home
from .shelf import Shelf, put_away_after
from .undo import silent


def from_backup(home: Home, path: str) -> Source:
    """Return what a close without a receipt left: the sessions of a backup of an index, and archived transcripts."""
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
        remedy = (Ours("restore-sessions", there=True), "FILE, a sessions.json.bak-* in its place")
        raise Refused(what, remedy, name="no_receipt")
    index = indexes[theirs[0]]
    raw, _ = read_index(real)
    before = parse(raw, real, theirs[0])
    live = live_or_empty(index, theirs[0], anew=True)
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
        sessions = tuple(_left_over(home, agent, before, key, shelf) for key in gone.get(agent, ()))
        stores_of_it.append(StoreRecord(agent, "files", index, {SESSIONS: folder}, name, len(raw), hashed, sessions))
    return Source(tuple(stores_of_it), Origin.BACKUP, sequence=sequence)


def _maker(home: Home, index: str, name: str) -> int:
    """Return the place of the run that made a backup in the order of all; behind all of them where none did."""
    for raw in history.all_records(home.state):
        with contextlib.suppress(Damaged):
            record, stores = scan(raw)
            if any(store.path == index and name in (store.backup, *store.displaced) for store in stores):
                return record.sequence
    return sys.maxsize


def _left_over(home: Home, agent: str, before: Document[Session], key: str, shelf: Shelf) -> SessionRecord:
    session, entry = before.members[key].row, before.member_bytes(key)
    named = names.parted(session.session_file or "")[1]
    ids = {session.session_id or "", named.removesuffix(".jsonl")} if session.id_usable else set()
    theirs = {name for one in ids for name in shelf.owned.get(one, ())} | ({named} & shelf.latest.keys())
    moves = tuple(Move(live, shelf.latest[live]) for live in sorted(theirs))
    member, lives = before.members[key], {named, session.session_file or "", *(f"{one}.jsonl" for one in ids if one)}
    return SessionRecord(
        key,
        session.session_id,
        member.start,
        len(entry),
        hashlib.sha256(entry).hexdigest(),
        status="closed",
        moves=moves,
        effects=() if moves else silent(home, agent, lives),
    )
