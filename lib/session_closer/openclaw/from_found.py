"""What was found of one session that somebody else has deleted or reset, or of ours by another key. Nothing writes."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from typing import Any

from ..core import escape, keys, names
from ..core.actions import NONE, REMOVED
from ..core.durable import SESSIONS, Move
from ..core.effects import Effect
from ..core.errors import CorruptStore, Ours, Refused, UsageProblem
from ..journal import receipts
from ..journal.checks import raw_entry
from ..journal.receipts import Places
from ..journal.record import SessionRecord, StoreRecord
from ..journal.source import Origin, Source
from ..system import files
from ..system.clock import Clock
from . import found, remains, stores
from .files import entries, values
from .files.document import with_members
from .files.store import parse, read_index
from .found import FOUND, Find
from .home import Home
from .undo import entry_of, silent

PREFIX = f"{FOUND}:"
_RESTORE = Ours("restore-sessions", there=True)
GONE = "label, model, pin and what else was set for it: only its transcript was written down"


def from_found(where: Home, wanted: str, given: str | None, places: Places, clock: Clock) -> tuple[Source, list[str]]:
    """Return one find by its id, and what is to be said of it; `given` is the key that it is to get.

    Refused where nothing has the id, or its key is not known and none is given.
    """
    find = _as_meant(where, found.pick(where, wanted.removeprefix(PREFIX)), given)
    shown = find.shown
    key = shown.key if given is None else _new_key(given, find)
    if key is None:
        what = f"nobody has written down the key of {PREFIX}{shown.id}"
        raise Refused(what, (_RESTORE, f"{PREFIX}{shown.id} --as KEY"), name="no_key")
    _check_twins(where, find, key)
    if find.run is not None:
        source = _by_receipt(where, find, find.run, places)
        return (source if key == shown.key else _renamed(where, source, find, key)), []
    session, note = _session(where, find, key, clock)
    index = where.database(shown.agent) if find.era == "sqlite" else where.index(shown.agent)
    # What was packed for a database cannot be a file store's transcript.
    era = "sqlite" if any(move.target.endswith(".zst") for move in session.moves) else find.era
    store = StoreRecord(shown.agent, era, index, {SESSIONS: where.folder(shown.agent)}, sessions=(session,))
    return Source((store,), Origin.FOUND), note


def _as_meant(where: Home, find: Find, given: str | None) -> Find:
    """Return a find as that of the agent whose key is given, where its archive may be of several agents."""
    agent, shown = keys.agent_of(given or ""), find.shown
    if shown.key is not None or shown.archive is None or agent not in where.known_agents()[0]:
        return find
    is_its = where.beside(agent) == os.path.dirname(shown.archive)
    return find._replace(shown=shown._replace(agent=agent)) if is_its else find


def _new_key(given: str, find: Find) -> str:
    """Return the key that --as names; UsageProblem where it can be none, or another agent's."""
    agent = find.shown.agent
    key = keys.target(given, agent).candidates[0]
    why = ""
    if keys.agent_of(key) != agent or keys.slip(given, agent) is not None:
        why = f"is no key of agent {agent}, which it belongs to"
    elif keys.is_main(key):
        why = "is a main session, which nothing here could close again"
    elif key != find.shown.key and (key != key.lower() or not key.isprintable() or any(map(str.isspace, key))):
        why = "is no key that OpenClaw would write: lower case, no blanks"
    if why:
        raise UsageProblem(f"--as {escape.quoted(given)} {why}", f"--as agent:{agent}:<id>, with an id of your own")
    return key


def _check_twins(where: Home, find: Find, key: str) -> None:
    """Raise Refused where a session has a key that a person, or OpenClaw, could take for this one."""
    store = stores.detect(where, find.shown.agent)
    for other in store.read().sessions if store is not None else ():
        if other != key and keys.folded(other) == keys.folded(key):
            what = f"{escape.quoted(key)} is but for case the key {escape.quoted(other)}, which is in use"
            raise Refused(what, (_RESTORE, f"{PREFIX}{find.shown.id} --as KEY"))


def _by_receipt(where: Home, find: Find, run: str, places: Places) -> Source:
    """Return what the receipt of the run that closed or archived it has of it, and nothing else."""
    shown = find.shown
    source = receipts.choose(where.state, run, places)
    wanted = (shown.agent, shown.key, shown.session_id)
    own = []
    for store in source.stores:
        only = tuple(one for one in store.sessions if (store.agent, one.key, one.session_id) == wanted)
        if only:
            own.append(store.but(sessions=only, orphans=(), removes=()))
    return source._replace(origin=Origin.FOUND, stores=tuple(own))


def _renamed(where: Home, source: Source, find: Find, key: str) -> Source:
    renamed = []
    for store in source.stores:
        sessions = tuple(_with_key(where, find, store, session, key) for session in store.sessions)
        # Where the entry was in the backup says nothing of another key's place.
        renamed.append(store.but(backup=None, sessions=sessions))
    return source._replace(stores=tuple(renamed))


def _with_key(where: Home, find: Find, store: StoreRecord, session: SessionRecord, key: str) -> SessionRecord:
    held = entry_of(store, session)
    value = values.member(held)[1] if store.era == "files" else held
    return _placed(where, find, key, value, session.moves).but(events=session.events)


def _session(where: Home, find: Find, key: str, clock: Clock) -> tuple[SessionRecord, list[str]]:
    """Return what a receipt would say of a session of somebody else's, and what of it is known to be lost."""
    shown = find.shown
    _check_transcripts(where, find)
    value = None if find.backup is None else _value_in(find.backup, shown.agent, str(shown.key))
    if value is not None:
        named = entries.named(value).path
        lives = (f"{shown.session_id}.jsonl", *((named, names.parted(named)[1]) if isinstance(named, str) else ()))
        effects = () if find.moves else silent(where, shown.agent, lives)
        found_so = _placed(where, find, key, value, find.moves).but(effects=effects)
        return found_so, [f"what was set for it is what {find.backup} has"]
    now = int(clock.seconds() * 1000)
    # Without a beginning OpenClaw takes the transcript's, and resets an old session with the next message to it.
    made: dict[str, Any] = {"sessionId": shown.session_id, "updatedAt": now, "sessionStartedAt": now}
    if find.era == "sqlite":
        # OpenClaw's importer would add it.
        made["delivery"] = {"kind": "none"}
    # Whoever deleted it took them along.
    gone = Effect("settings", "", "", 1, REMOVED, NONE, GONE)
    return _placed(where, find, key, json.dumps(made), find.moves).but(effects=(gone,)), []


def _placed(where: Home, find: Find, key: str, value: str, moves: tuple[Move, ...]) -> SessionRecord:
    """Return a session as it is to be in the store, with an entry that names its transcript."""
    named = entries.named(value)
    own, folder, members = named.own, where.folder(find.shown.agent), dict[str, str]()
    if find.era == "files" and moves:
        is_taken = key != find.shown.key and files.exists(os.path.join(folder, moves[0].source))
        if is_taken:
            # OpenClaw up to 2026.5 gives the session after a reset the file name of the one before.
            own = members["sessionId"] = str(uuid.uuid5(uuid.NAMESPACE_URL, moves[0].target))
            moves = (Move(os.path.join(os.path.dirname(moves[0].target), f"{own}.jsonl"), moves[0].target),)
        if is_taken or named.path is None:
            members["sessionFile"] = os.path.join(folder, moves[0].source)
    try:
        text = with_members(value, members) if members else value
    except CorruptStore as problem:
        raise Refused(f"the entry of {escape.quoted(key)} {problem.message}", "look at it") from None
    return _recorded(find, key, own, text, moves)


def _text(key: str) -> str:
    """Return a key as JSON, as OpenClaw writes it; half a surrogate pair, which no file can hold, escaped."""
    text = json.dumps(key, ensure_ascii=False)
    return text if text.isascii() or not any("\ud800" <= one <= "\udfff" for one in text) else json.dumps(key)


def _value_in(backup: str, agent: str, key: str) -> str | None:
    """Return the entry that a backup of an index has for a key; None where it has none any more."""
    members = parse(read_index(backup)[0], backup, agent)
    return values.member(members.member_bytes(key).decode("utf-8"))[1] if key in members.members else None


def _recorded(find: Find, key: str, own: Any, value: str, moves: tuple[Move, ...]) -> SessionRecord:
    """Return a session of a receipt that holds its entry: of a file store its member, of a database its value."""
    held = value if find.era == "sqlite" else f"{_text(key)}: {value}"
    raw = raw_entry(held)
    return SessionRecord(
        key, own, 0, len(raw), hashlib.sha256(raw).hexdigest(), status="closed", moves=moves, entry=held
    )


def _check_transcripts(where: Home, find: Find) -> None:
    """Raise Refused for a file that is no transcript by its first line; one that is packed is looked at later."""
    for move in find.moves:
        if move.target.endswith(".zst") or names.is_companion(move.source):
            continue
        try:
            event = json.loads(remains.first_line(where.folder(find.shown.agent), move.target))
        except (OSError, ValueError, RecursionError) as problem:
            if find.era == "sqlite" and isinstance(problem, FileNotFoundError):
                continue  # the database keeps it
            event = None
        if not (isinstance(event, dict) and event.get("type") == "session"):
            raise Refused(f"{escape.quoted(move.target)} does not begin as a transcript does", "look at it")
