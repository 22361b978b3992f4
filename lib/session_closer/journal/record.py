"""The record of one run: redo journal while it lasts, receipt afterwards, and what an undo needs (pure)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from operator import attrgetter
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from ..core import keys, names
from ..core.effects import Effect
from ..core.model import Move

FORMAT = "session-closer/1"
PLANNED = "planned"
_LARGE = 1 << 20
# A size, an offset or a time past this could not be given to the system.
_MOST = 1 << 62
_SHOWN = 200
_ANSWER_MS = 60_000
# They stand in the text of a record as they are. Without a sha256: an entry that is not held.
_ROUTES, _SHA256 = ("files", "gateway"), re.compile("([0-9a-f]{64})?")
_NO_SESSIONS = b'"sessions": []'
_quote = json.encoder.encode_basestring_ascii


class Damaged(ValueError):
    """The record is not one that we could have written; `agents` are those that it speaks of, None: not to be told."""

    def __init__(self, what: str, agents: frozenset[str] | None = None) -> None:
        super().__init__(what)
        self.agents = agents


class Kept(NamedTuple):
    """A file beside the receipt with rows that were deleted: its plain name, the rows, its bytes and their sha256."""

    name: str
    rows: int
    size: int
    sha256: str


class Off(NamedTuple):
    """A cron job that was switched off: when that was asked (ms since 1970), its `updatedAtMs` since, 0: not known."""

    id: str
    asked: int
    at: int = 0

    def is_ours(self, updated: object) -> bool:
        """Tell whether a job with this `updatedAtMs` is as we have left it."""
        if type(updated) is not int:
            return False
        # Who was killed before the answer came knows no more than when it asked.
        return updated == self.at if self.at else self.asked <= updated <= self.asked + _ANSWER_MS


class Mode(NamedTuple):
    """The mode of a file or folder of a worktree, by its path within it."""

    path: str
    mode: int


class SessionRecord(NamedTuple):
    """One session and its files; `sha256` is the entry's, `length` its bytes.

    File store: the entry is the member at `offset` in the backup. SQLite: `entry` is the row's `entry_json`, `events`
    the number of its last transcript event (-1: none), `archived_at` when we archived it (ms since 1970),
    `archived_before` whether it was archived already, `hidden` that it was to be archived only, and not deleted.
    `effects` are those of the close on what was attached to it; `modes` those in its worktree that OpenClaw's snapshot
    does not keep, `jobs` the cron jobs that were switched off with it.
    """

    key: str
    session_id: str | None
    offset: int
    length: int
    sha256: str
    route: str = "files"
    status: str = PLANNED
    moves: tuple[Move, ...] = ()
    entry: str | None = None
    events: int = -1
    archived_at: int | None = None
    archived_before: bool = False
    hidden: bool = False
    effects: tuple[Effect, ...] = ()
    modes: tuple[Mode, ...] = ()
    jobs: tuple[Off, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreRecord:
    """One store: `backup` is a plain name beside `path`, `size` its bytes; None: a database, or no session goes.

    `displaced` names further backups, the first `merged` of which the live store contains. `restores`: the
    sessions were to be brought back; then `entry` holds the member of a file
    store, too, `moves` are undone, and `installs` is the sha256 of the index that is about to be installed. `orphans`
    are files without a session that are archived (or brought back), `removes` archives that are deleted for good.
    `kept` are files with what a deletion takes along. `ended` is what became of all sessions that still say planned; in
    JSON each of them says it.
    """

    agent: str
    era: str
    path: str
    transcripts: str
    backup: str | None = None
    size: int = 0
    sha256: str = ""
    sessions: tuple[SessionRecord, ...] = ()
    displaced: tuple[str, ...] = ()
    merged: int = 0
    restores: bool = False
    installs: str = ""
    orphans: tuple[Move, ...] = ()
    removes: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    ended: str = ""


@dataclass(frozen=True, slots=True)
class RestartRecord:
    """The restart that the run owes its gateway, and how it ended."""

    needed: bool = False
    done: bool = False
    result: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Everything one run did to which stores; times are ISO 8601 UTC.

    `sequence` counts the runs of a state directory, 0 in a receipt from before there was one. The run began `uptime`
    seconds after the machine's start `boot`, "" where that could not be told: neither follows the clock.
    """

    id: str
    # Ahead of all that may be long: the beginning of a file tells the order of the runs.
    sequence: int = field(default=0, kw_only=True)
    boot: str = field(default="", kw_only=True)
    uptime: float = field(default=0.0, kw_only=True)
    operation: str
    tool: str
    started_at: str
    state_dir: str
    by: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    finished_at: str | None = None
    state: str = "open"
    stores: tuple[StoreRecord, ...] = ()
    restart: RestartRecord = field(default_factory=RestartRecord)
    results: tuple[Mapping[str, Any], ...] = ()


def with_store(record: RunRecord, store: StoreRecord) -> RunRecord:
    """Return the record with a store added, or in its place where its path and agent are in it already."""
    names_of_it = [(known.path, known.agent) for known in record.stores]
    if (store.path, store.agent) not in names_of_it:
        return replace(record, stores=(*record.stores, store))
    at = names_of_it.index((store.path, store.agent))
    return replace(record, stores=(*record.stores[:at], store, *record.stores[at + 1 :]))


def ended(session: SessionRecord, status: str, moves: tuple[Move, ...]) -> SessionRecord:
    """Return a session with what became of it and its files; `_replace` takes three times as long."""
    return SessionRecord(
        session.key, session.session_id, session.offset, session.length, session.sha256, session.route, status,
        moves, session.entry, session.events, session.archived_at, session.archived_before,
        session.hidden, session.effects, session.modes, session.jobs,
    )  # fmt: skip


class Texts:
    """The sessions of a run's stores as JSON: they are many, and a record is written again and again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[tuple[SessionRecord, ...], bytes]] = {}

    def forget_all_but(self, stores: tuple[StoreRecord, ...]) -> None:
        """Keep the texts of these stores only: a run may note thousands of rows several times."""
        there = {id(store.sessions) for store in stores}
        self._known = {name: known for name, known in self._known.items() if name in there}

    def of(self, sessions: tuple[SessionRecord, ...]) -> bytes:
        """Return what stands between the brackets, made once for each tuple."""
        # The tuple is kept along with its text, so nothing else can have its identity.
        if id(sessions) not in self._known:
            self._known[id(sessions)] = sessions, ", ".join(map(_session_text, sessions)).encode()
        return self._known[id(sessions)][1]


def encode(record: RunRecord) -> bytes:
    """Return the record as JSON, one line: a receipt of thousands of sessions is written in milliseconds."""
    return b"".join(pieces(record, Texts()))


def pieces(record: RunRecord, texts: Texts) -> list[bytes]:
    """Return the record as JSON, a large one piece by piece: one whole text more would be a tenth of all memory."""
    texts.forget_all_but(record.stores)
    # The sessions are put in as text. A text of theirs in quotes is escaped, so it cannot be this one.
    bare = replace(record, stores=tuple(replace(store, sessions=()) for store in record.stores))
    first, *rest = _text({"format": FORMAT, **_fields(bare)}).encode().split(_NO_SESSIONS)
    out = [first]
    for store, behind in zip(record.stores, rest, strict=True):
        out += [b'"sessions": [', _ended_text(texts.of(store.sessions), store.ended), b"]", behind]
    out.append(b"\n")
    return out if sum(map(len, out)) >= _LARGE else [b"".join(out)]


def _ended_text(text: bytes, status: str) -> bytes:
    """Return the text of sessions with what became of those that say planned; in a key or a path it is escaped."""
    return text.replace(_status_text(PLANNED).encode(), _status_text(status).encode()) if status else text


def _status_text(status: str) -> str:
    return f'"status": {_quote(status)}'


def _text(part: Any) -> str:
    # Nothing in a record refers back to it, so there is no circle to look for.
    return json.dumps(part, default=_fields, check_circular=False)


def _session_text(session: SessionRecord) -> str:
    """Return a session as JSON; one of a file store, of which there may be ten thousands, the short way."""
    (
        key,
        session_id,
        offset,
        length,
        sha256,
        route,
        status,
        moves,
        entry,
        events,
        archived_at,
        archived_before,
        hidden,
        effects,
        modes,
        jobs,
    ) = session
    if entry is not None or archived_at is not None or hidden or effects or modes or jobs:
        return _text(_fields(session))
    return (
        f'{{"key": {_quote(key)}, "sessionId": {"null" if session_id is None else _quote(session_id)},'
        f' "offset": {offset}, "length": {length}, "sha256": "{sha256}", "route": "{route}", {_status_text(status)},'
        f' "moves": [{", ".join(map(_move_text, moves)) if moves else ""}], "entry": null, "events": {events},'
        f' "archivedAt": null, "archivedBefore": {"true" if archived_before else "false"}, "hidden": false,'
        ' "effects": [], "modes": [], "jobs": []}'
    )


def _move_text(move: Move) -> str:
    source, target, size, mtime_ns, sha256 = move
    return (
        f'{{"source": {_quote(source)}, "target": {_quote(target)}, "size": {size}, "mtimeNs": {mtime_ns},'
        f' "sha256": {"null" if sha256 is None else _quote(sha256)}}}'
    )


def _fields(part: Any) -> dict[str, Any]:
    kind: Any = type(part)
    return {name: _plain(value) for name, value in zip(_names(kind), _values(kind)(part), strict=True)}


def _plain(value: Any) -> Any:
    """Return tuples as lists and named ones as objects, which JSON would take for lists, too."""
    if isinstance(value, tuple):
        return _fields(value) if hasattr(value, "_fields") else [_plain(one) for one in value]
    return value


@cache
def _names(kind: Any) -> dict[str, str]:
    """Return a dataclass's fields by the names that they have in JSON."""
    return {_camel(name): name for name in _field_names(kind) if name != "ended"}


@cache
def _values(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*_names(kind).values())


def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(kind._fields if issubclass(kind, tuple) else kind.__slots__)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _arguments(kind: Any, item: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an object by the names of a dataclass's fields; KeyError for an unknown one."""
    fields = _names(kind)
    return {fields[name]: value for name, value in item.items()}


@cache
def _misfit(kind: Any, types: tuple[type, ...]) -> str:
    """Return the first field of a class, by its name in JSON, that has not its type; "" where all have."""
    for (name, hint), found in zip(get_type_hints(kind).items(), types, strict=True):
        wanted = get_args(hint) if NoneType in get_args(hint) else (hint,)
        if found not in {_plain_type(one) for one in wanted}:
            return _camel(name)
    return ""


def _plain_type(hint: Any) -> Any:
    """Return what JSON has for the type of a field."""
    plain = get_origin(hint) or hint
    return dict if plain is Mapping else plain


def _checked(part: Any) -> None:
    """Raise Damaged for a part of a record with a field that is not of its type, or a number that is too large."""
    values = part if isinstance(part, tuple) else attrgetter(*part.__slots__)(part)
    kind: Any = type(part)
    wrong = _misfit(kind, tuple(map(type, values)))
    if wrong:
        raise Damaged(f"holds a {wrong} that is none")
    for value in values:
        if type(value) is int and abs(value) >= _MOST:
            raise Damaged("holds a number that is too large")


def agents_named(raw: bytes) -> frozenset[str] | None:
    """Return the agents whose stores the text of a record speaks of, None where that cannot be told."""
    try:
        named = [store["agent"] for store in json.loads(raw)["stores"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    known = named and all(isinstance(agent, str) and keys.is_agent_id(agent) for agent in named)
    return frozenset(named) if known else None


def decode(raw: bytes) -> RunRecord:
    """Return a record read from disk, checked like hostile input; raise Damaged."""
    try:
        data = json.loads(raw)
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise Damaged("is not a record of this version")
        data = _arguments(RunRecord, data)
        restart = RestartRecord(**_arguments(RestartRecord, data.pop("restart")))
        stores = tuple(map(_store, _list(data.pop("stores"))))
        results = tuple(_list(data.pop("results")))
        record = RunRecord(**data, stores=stores, restart=restart, results=results)
        check(record)
    except Damaged:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise Damaged(" ".join(str(problem).split())[:_SHOWN] or "is not readable") from None
    return record


def check(record: RunRecord) -> None:
    """Raise Damaged for a record that could not be read again, or never have been made: ahead of writing, too."""
    _checked(record)
    _checked(record.restart)
    if not names.is_run_id(record.id) or record.state not in ("open", "done"):
        raise Damaged("names no run")
    if record.sequence < 0 or not 0 <= record.uptime < math.inf:
        raise Damaged("has no place in the order of runs")
    if not all(isinstance(row, dict) for row in record.results):
        raise Damaged("holds a result that is none")
    for store in record.stores:
        _check_store(store)


def _store(item: dict[str, Any]) -> StoreRecord:
    # Written by versions that archived all sessions of a store, or none.
    hidden = item.pop("archive", False)
    if type(hidden) is not bool:
        raise Damaged("holds an archive that is none")
    sessions = tuple(map(_session, _list(item.pop("sessions"))))
    sessions = tuple(one._replace(hidden=True) for one in sessions) if hidden else sessions
    orphans = tuple(map(_move, _list(item.pop("orphans", []))))
    removes = tuple(_list(item.pop("removes", [])))
    kept = tuple(Kept(**_arguments(Kept, one)) for one in _list(item.pop("kept", [])))
    item = _arguments(StoreRecord, item)
    item["displaced"] = tuple(_list(item.get("displaced", [])))
    return StoreRecord(**item, sessions=sessions, orphans=orphans, removes=removes, kept=kept)


def _check_store(store: StoreRecord) -> None:
    _checked(store)
    if store.era not in ("files", "sqlite"):
        raise Damaged("speaks of a kind of store that this version does not know")
    for text in (store.agent, store.path, store.transcripts, store.sha256, store.installs):
        if "\0" in text:
            raise Damaged("holds a path that is no text")
    if store.backup is not None if store.era == "sqlite" else (store.backup is None and store.sessions):
        raise Damaged("has a backup of a database, or none of a file")
    beside, _, index = store.path.rpartition("/") if store.era == "files" else ("", "", "")
    if not all(_is_own(name, beside) for name in store.removes):
        raise Damaged("removes a file that is not in its folder")
    for name in (*([store.backup] if store.backup is not None else []), *store.displaced):
        if not _plain_name(name) or not name.startswith(names.backup_name(store.path.rpartition("/")[2], "")):
            raise Damaged("names a backup that is not one of ours")
    _check_kept(store.kept)
    if not keys.is_agent_id(store.agent):
        raise Damaged("names an agent that cannot be")
    if not 0 <= store.merged <= len(store.displaced):
        raise Damaged("counts stores that it does not name")
    if store.size < 0:
        raise Damaged("holds a size that is no number")
    for session in store.sessions:
        _check_session(session, beside)
        # A file may hold half a surrogate pair, a database cannot.
        if store.era == "sqlite" and any("\ud800" <= character <= "\udfff" for character in session.key):
            raise Damaged("names a session that no database has")
    for move in store.orphans:
        _check_move(move, beside, index=index)


def _check_kept(kept: tuple[Kept, ...]) -> None:
    for one in kept:
        _checked(one)
        if not _plain_name(one.name) or min(one.rows, one.size) < 0:
            raise Damaged("keeps rows in a file that is none of ours")


def _session(item: dict[str, Any]) -> SessionRecord:
    moves = tuple(map(_move, _list(item.pop("moves"))))
    effects = tuple(Effect(**_arguments(Effect, one)) for one in _list(item.pop("effects", [])))
    modes = tuple(Mode(**_arguments(Mode, one)) for one in _list(item.pop("modes", [])))
    jobs = tuple(Off(**_arguments(Off, one)) for one in _list(item.pop("jobs", [])))
    return SessionRecord(**_arguments(SessionRecord, item), moves=moves, effects=effects, modes=modes, jobs=jobs)


def _check_session(session: SessionRecord, beside: str) -> None:
    _checked(session)
    if session.offset < 0 or session.length < 0:
        raise Damaged("holds an entry that is nowhere")
    if session.route not in _ROUTES or not _SHA256.fullmatch(session.sha256):
        raise Damaged("holds a row that is none")
    if session.entry is not None and hashlib.sha256(raw_entry(session.entry)).hexdigest() != session.sha256:
        raise Damaged("holds an entry that is not what it was")
    # What was found may be brought back beside the session that has the name of its file by now.
    own = None if session.entry is None else f"{session.session_id}.jsonl"
    for move in session.moves:
        _check_move(move, beside, own)
    for effect in session.effects:
        _checked(effect)
        if effect.count < 0:
            raise Damaged("counts less than nothing")
    for job in session.jobs:
        _checked(job)
        if not job.id or min(job.asked, job.at) < 0:
            raise Damaged("switched off a job that is none")
    for mode in session.modes:
        _checked(mode)
        if not _is_within(mode.path) or not 0 <= mode.mode <= 0o777:
            raise Damaged("holds a mode of a file that is in no worktree")


def raw_entry(entry: str) -> bytes:
    """Return the bytes of an entry; half a surrogate pair, which JSON may hold, is one of its characters."""
    return entry.encode("utf-8", "surrogatepass")


def _move(item: dict[str, Any]) -> Move:
    return Move(**_arguments(Move, item))


def _check_move(move: Move, beside: str, own: str | None = None, *, index: str = "") -> None:
    _checked(move)
    if not (_is_own(move.source, beside) and _is_own(move.target, beside)):
        raise Damaged("moves a file that is not in its folder")
    made_of = names.archived_from(move.target)
    is_own = made_of is not None and names.is_beside(move.source, made_of, own)
    if (made_of != move.source and not is_own) or names.is_archive(move.source):
        raise Damaged("moves a file to a name that is not its archive")
    if not names.owners(move.source) and not (index and names.is_temporary(move.source, index)):
        raise Damaged("moves a file that is no transcript")


def _list(value: Any) -> list[Any]:
    """Return a list of a record; raise Damaged for what tuple() would take for one."""
    if not isinstance(value, list):
        raise Damaged("holds a list that is none")
    return value


def _is_own(name: object, beside: str) -> bool:
    """Tell whether this is a plain name, or the whole path of a file beside the index."""
    if isinstance(name, str) and beside and name.startswith(beside + "/"):
        return _plain_name(name.removeprefix(beside + "/"))
    return _plain_name(name)


def _is_within(path: str) -> bool:
    """Tell whether a path stays in the folder where it begins."""
    return "\0" not in path and not {"", ".", ".."}.intersection(path.split("/"))


def _plain_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name
