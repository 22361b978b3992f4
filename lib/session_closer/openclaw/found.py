"""Which sessions anybody has deleted or reset, and what is left of each: the list behind `--found`. Nothing writes."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..core import escape, names
from ..core.durable import Move
from ..core.errors import CloserError, Ours, Refused
from ..core.shown import Found
from ..core.status import PUT_AWAY, Status
from ..core.tuples import NamedTuple
from ..journal import history
from ..journal.codec import scan
from ..journal.record import Damaged, RunRecord, SessionRecord
from . import owner, remains
from .home import Home
from .remains import Archive, Row, Scene

FOUND = "found"
# So many transcripts without a key are looked for one, the latest first.
_MOST_PEEKS = 1000
_ID_DIGITS = 12


class Find(NamedTuple):
    """A session that can be brought back: as it is shown, its files, and the backup of an index that has its row.

    `run` is the one of ours whose receipt has all of it: that run has closed it, or archived it before somebody else
    deleted it. `at` is when it was deleted, in seconds since 1970.
    """

    shown: Found
    era: str
    at: float
    moves: tuple[Move, ...] = ()
    backup: str | None = None
    run: str | None = None


class _Closed(NamedTuple):
    """A session of a receipt, and those of its archives that are there; `by_us`: they are that run's."""

    run: str
    key: str
    session_id: str | None
    there: tuple[Archive, ...]
    by_us: bool


class _Ours(NamedTuple):
    """What our receipts say of one agent: sessions by their latest archive, the run of each, and of lone files."""

    closed: dict[tuple[str, str], _Closed]
    runs: dict[tuple[str, str | None], str]
    orphans: dict[str, str]


def look(where: Home) -> tuple[list[Find], list[str]]:
    """Return all that can be found, the latest first, and a warning for each thing that could not be looked at."""
    agents, warnings = where.known_agents()
    scenes: dict[str, Scene] = {}
    for agent in agents:
        try:
            owner.check_folders(where, [agent])
            scenes[agent] = remains.scene(where, agent, warnings.append)
        except CloserError as problem:
            warnings.append(f"agent {agent} is left out: {problem.message}")
        except OSError as problem:
            warnings.append(f"agent {agent} is left out: {problem.filename} cannot be read: {problem.strerror}")
    ours = _closed_by_us(where, scenes)
    found = [find for agent, scene in scenes.items() for find in _finds(scene, ours[agent])]
    found.sort(key=lambda find: (find.at, find.shown.id), reverse=True)
    told = list(_with_keys(found, scenes))
    # Of a folder that holds the indexes of several agents nobody knows whose an archive is, until a key says so.
    known = {find.shown.archive for find in told if find.shown.key is not None}
    unknown = [find for find in told if find.shown.key is None and find.shown.archive not in known]
    once = {find.shown.archive: find for find in sorted(unknown, key=_preference, reverse=True)}
    return [find for find in told if find.shown.key is not None or once.get(find.shown.archive) is find], warnings


def _preference(find: Find) -> tuple[bool, str]:
    """Return what is least for the find of an archive that is shown where several agents may have it."""
    return find.shown.receipt is None, find.shown.agent


def matches(find: Find, words: Sequence[str]) -> bool:
    """Tell whether any of the words is in its key, an id of it or a name; without a word everything is meant."""
    shown = find.shown
    named = None if shown.archive is None else os.path.basename(shown.archive)
    told = (shown.key, shown.session_id, f"{FOUND}:{shown.id}", named, shown.receipt)
    return not words or any(word in text for word in words for text in told if text is not None)


def with_size(find: Find) -> Found:
    """Return what is shown of a find with the bytes of its archive."""
    shown = find.shown
    if shown.archive is not None and shown.size is None:
        with contextlib.suppress(OSError):
            return shown._replace(size=os.lstat(shown.archive).st_size)
    return shown


def pick(where: Home, wanted: str) -> Find:
    """Return the one that an id, or the beginning of one, stands for; Refused where it is none, or not one alone."""
    found, _ = look(where)
    same = [find for find in found if wanted and find.shown.id.startswith(wanted)]
    if len(same) == 1:
        return same[0]
    said = f"{len(same)} of those that can be found begin with" if same else "nothing can be found by the id"
    remedy = (Ours("restore-sessions", there=True), "--found")
    raise Refused(f"{said} {escape.plain(wanted)}", remedy, name="nothing_found")


def _closed_by_us(where: Home, scenes: Mapping[str, Scene]) -> dict[str, _Ours]:
    found = {agent: _Ours({}, {}, {}) for agent in scenes}
    for run, _, raw in history.named_records(where.state):
        with contextlib.suppress(Damaged):
            record, stores = scan(raw)
            for store in stores if record.state_dir == where.state else ():
                if store.agent in scenes and not store.restores:
                    found[store.agent].orphans.update((move.target, run) for move in store.orphans)
                    for session in store.sessions:
                        if session.status in PUT_AWAY and session.session_id not in scenes[store.agent].ids:
                            _take_closed(scenes[store.agent], found[store.agent], run, record, session)
    return found


def _take_closed(scene: Scene, ours: _Ours, run: str, record: RunRecord, session: SessionRecord) -> None:
    if session.status == Status.CLOSED:
        ours.runs.setdefault((session.key, session.session_id), run)
    there = [scene.archives[move.target] for move in session.moves if move.target in scene.archives]
    began = history.moment(record.started_at)
    if not there and scene.era == "sqlite" and began is not None:
        # OpenClaw had not written its archive yet when the run ended, or somebody has deleted what we had archived.
        own = scene.by_owner.get(session.session_id or "", ())
        there = sorted((one for one in own if one.key == session.key and one.at >= began), key=lambda one: one.at)[-1:]
    if there:
        closed = _Closed(run, session.key, session.session_id, tuple(there), session.status == Status.CLOSED)
        # Newest first: a run that freed a session counts before the one that had archived it.
        ours.closed.setdefault((there[0].name, session.key), closed)


def _finds(scene: Scene, ours: _Ours) -> Iterator[Find]:
    """Give what can be found of one agent: by its receipts, by archives of anybody else, by rows of backups."""
    told: set[tuple[str, str | None]] = set()
    taken: set[str] = set()
    for closed in ours.closed.values():
        main = closed.there[0]
        taken.update(one.name for one in closed.there)
        told.add((closed.key, closed.session_id))
        shown = _shown(scene, main, closed.key, closed.session_id, settings=True)
        shown = shown._replace(receipt=closed.run if closed.by_us else None, id=_id(scene, main.name, closed.key))
        yield Find(shown, scene.era, main.at.timestamp(), run=closed.run)
    rows: dict[str, list[Row]] = defaultdict(list)
    for (_, session_id), row in scene.rows.items():
        rows[session_id].append(row)
    for group in _groups(one for one in scene.archives.values() if one.name not in taken):
        find = _of_archives(scene, group, rows)
        told.add((find.shown.key or "", find.shown.session_id))
        yield find._replace(shown=find.shown._replace(receipt=ours.orphans.get(group[0].name)))
    for (key, session_id), row in scene.rows.items():
        if (key, session_id) not in told and key not in scene.live:
            yield _of_row(scene, row, ours.runs.get((key, session_id)))


def _groups(archives: Iterator[Archive]) -> Iterator[list[Archive]]:
    """Give the archives that were made of one session at one time: of a group's topics each has a transcript."""
    groups = defaultdict(list)
    for one in archives:
        groups[one.owner, one.reason, one.at].append(one)
    return (sorted(group, key=lambda one: len(one.live)) for group in groups.values())


def _of_archives(scene: Scene, group: Sequence[Archive], rows: Mapping[str, Sequence[Row]]) -> Find:
    main = group[0]
    known = [row for row in rows.get(main.owner, ()) if main.key in (None, row.session.key)]
    row = known[0] if known else None
    key = main.key if row is None else row.session.key
    shown = _shown(scene, main, key, main.owner, settings=row is not None)
    return Find(shown, scene.era, main.at.timestamp(), _moves(scene, group), None if row is None else row.backup)


def _of_row(scene: Scene, row: Row, run: str | None) -> Find:
    key, session_id = row.session.key, str(row.session.session_id)
    own = sorted(scene.by_owner.get(session_id, ()), key=lambda one: one.at)[-1:]
    archive = os.path.join(scene.folder, own[0].name) if own else None
    shown = Found(
        _id(scene, key, session_id), scene.agent, key, session_id, "gone", history.iso(row.at), settings=True,
        receipt=run, archive=archive,
    )  # fmt: skip
    return Find(shown, scene.era, row.at.timestamp(), _moves(scene, own), row.backup, run)


def _moves(scene: Scene, group: Sequence[Archive]) -> tuple[Move, ...]:
    """Return the renames that bring a session's files back; a database takes its transcript alone."""
    if scene.era == "sqlite":
        return tuple(Move(one.live, one.name) for one in group[:1])
    beside = [name for one in group[:1] for name in scene.companions.get((one.owner, one.at), ())]
    lives = {name: names.archived_from(name) for name in beside}
    return (*(Move(one.live, one.name) for one in group), *(Move(live, name) for name, live in lives.items() if live))


def _shown(scene: Scene, main: Archive, key: str | None, session_id: str | None, *, settings: bool) -> Found:
    return Found(
        _id(scene, main.name), scene.agent, key, session_id, main.reason, history.iso(main.at), settings,
        archive=os.path.join(scene.folder, main.name), size=main.size,
    )  # fmt: skip


def _id(scene: Scene, *parts: str) -> str:
    """Return what a find is called by: the same as long as it is there."""
    text = "\0".join((scene.agent, *parts)).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:_ID_DIGITS]


def _with_keys(found: Sequence[Find], scenes: Mapping[str, Scene]) -> Iterator[Find]:
    """Give each find with the key that a trajectory names, where nothing else has told it."""
    left = _MOST_PEEKS
    for find in found:
        shown = find.shown
        if shown.key is None and shown.session_id is not None and left:
            left -= 1
            key = remains.key_in_trajectory(scenes[shown.agent], shown.session_id)
            yield find._replace(shown=shown._replace(key=key))
        else:
            yield find
