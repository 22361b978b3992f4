"""Delete rows, session by session: kept in files first, looked at again, deleted by Hermes, and looked for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType

from ..artifacts.rows import Row
from ..core.errors import Refused
from ..core.escape import quoted
from ..core.tuples import NamedTuple
from ..system import files
from ..system.clock import Clock
from ..system.disk import Disk
from ..system.pieces import opened as opened_file
from ..system.programs import Untold
from . import kinds, names, rows
from .command import Hermes
from .database import Database
from .protection import Protection
from .tables import Session

EXPORT, CHANGED, STILL = "export", "changed", "hermes"
_OWN, _HERMES, _FILES = "rows.jsonl", "session.jsonl", "files"
_SESSIONS = "sessions"
_MOST_BYTES = 1 << 28


class Removed(NamedTuple):
    """What became of a session's rows: whether they are gone, else why not, in a word, and more of it in words.

    `export` is the folder in which all of it is, "" where there is none; `others` went at that moment, too.
    """

    is_gone: bool
    why: str = ""
    said: str = ""
    export: str = ""
    others: tuple[str, ...] = ()


class Removal:
    """The rows of one home, whose exports go into one folder of ours; it is to be closed."""

    def __init__(self, home: str, known: Protection, disk: Disk, clock: Clock) -> None:
        self._home, self._known, self._disk, self._clock = home, known, disk, clock
        self._hermes = Hermes(home, disk, clock)
        self._database = Database(home, clock)

    def __enter__(self) -> Removal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._database.close()

    def plan(self, ages: Mapping[str, float]) -> rows.Plan:
        """Return what goes by source and age in seconds, and why the rest of those stay."""
        return rows.plan(self._known, self._database, ages, self._clock.seconds(), self._is_unsaved)

    def check(self, *, looking: bool) -> None:
        """Refuse a `hermes` that is not this home's; where we are `looking` it is not started in the home for that."""
        self._hermes.check_schema(self._database.schema())
        if not looking:
            self._hermes.check_home()

    def remove(self, session: Session, place: str) -> Removed:
        """Keep all of a session in an empty folder of ours, and have Hermes delete it.

        Where it stays nothing has changed, and the folder is empty again.
        """
        try:
            kept = self._kept(session.id, place)
        except (Untold, Refused) as problem:
            _drop(place, self._disk)
            return Removed(False, EXPORT, str(problem))
        before = self._database.at_once(self._database.ids)
        if why := self._objection(session.id, kept, before):
            _drop(place, self._disk)
            return Removed(False, why)
        try:
            self._hermes.delete(session.id)
            said = ""
        except Untold as problem:
            said = str(problem)
        gone = before - self._database.at_once(self._database.ids)
        if session.id not in gone:
            _drop(place, self._disk)
            return Removed(False, STILL, said)
        return Removed(True, "", said, place, tuple(sorted(gone - {session.id})))

    def _kept(self, session_id: str, place: str) -> str:
        """Keep rows, export and files of a session, durable; return what tells its rows from later ones; Refused."""
        own = _Own()
        files.put(self._disk, os.path.join(place, _OWN), own.lines(self._read(session_id)), aside=True)
        exported = os.path.join(place, _HERMES)
        self._hermes.export(session_id, exported)
        if not files.is_file(exported):
            raise Refused("hermes has exported nothing")
        files.own(self._disk, exported)
        if why := _difference(session_id, own.messages, exported):
            raise Refused(f"what hermes has exported is not the session: {why}")
        beside = os.path.join(place, _FILES)
        self._disk.make_folder(beside)
        for name in self._beside(session_id):
            self._keep(os.path.join(self._home, _SESSIONS, name), os.path.join(beside, name))
        for each in (beside, place, os.path.dirname(place)):
            self._disk.sync_folder(each)
        return own.digest

    def _read(self, session_id: str) -> Iterator[Row]:
        return rows.read(self._home, session_id, self._clock)

    def _beside(self, session_id: str) -> list[str]:
        """Return the files that Hermes removes along with a session."""
        folder = os.path.join(self._home, _SESSIONS)
        exact, begins = (f"{session_id}.json", f"{session_id}.jsonl"), f"request_dump_{session_id}_"
        return [name for name in files.listed(folder) if name in exact or _is_dump(name, begins)]

    def _keep(self, source: str, target: str) -> None:
        if not self._disk.link(source, target):
            files.put(self._disk, target, files.read(source, _MOST_BYTES)[0], like=source)

    def _objection(self, session_id: str, kept: str, now: frozenset[str]) -> str:
        """Return why a session may not go after all, "" where it may."""
        if why := str(self._known.why_now(session_id)):
            return why
        if self._is_unsaved(self._known.rows[session_id]):
            return rows.UNSAVED
        if any(each != session_id and each.lower().startswith(session_id.lower()) for each in now):
            return rows.PREFIX
        if any(_is_anothers(name, session_id) for name in self._beside(session_id)):
            return rows.PREFIX
        again = _Own()
        for _ in again.lines(self._read(session_id)):
            pass
        return CHANGED if again.digest != kept else ""

    def _is_unsaved(self, session: Session) -> bool:
        """Tell whether a transcript has more lines than the rows have messages: up to 0.14 it is the truth."""
        path = os.path.join(self._home, _SESSIONS, f"{session.id}.jsonl")
        if not files.is_file(path):
            return False
        with opened_file(path) as file:
            return sum(1 for _ in file) > (self._known.messages(session.id) or 0)


def settle(home: str, session_id: str, place: str, disk: Disk, clock: Clock) -> bool:
    """Tell after a kill whether the rows of a session are gone; where they are not, nothing is kept of it."""
    with Database(home, clock) as database:
        is_gone = session_id not in database.at_once(database.ids)
    if not is_gone:
        _drop(place, disk)
    return is_gone


def _drop(place: str, disk: Disk) -> None:
    """Remove what was kept of a session that stays."""
    beside = os.path.join(place, _FILES)
    files.remove(disk, [*files.listed_whole(beside), *(os.path.join(place, each) for each in (_OWN, _HERMES))])
    if files.is_folder(beside):
        disk.remove_folder(beside)


def _is_dump(name: str, begins: str) -> bool:
    return name.startswith(begins) and name.endswith(".json")


def _is_anothers(name: str, session_id: str) -> bool:
    """Tell whether a file that Hermes would remove with a session has another one's name."""
    found = names.parse(name)
    return found is not None and found.kind == kinds.DUMP and found.name != session_id


class _Own:
    """What was read of a session's rows, as they went by: a digest of all, and the messages that Hermes shows."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.messages: list[object] = []

    @property
    def digest(self) -> str:
        """What tells these rows from others."""
        return self._hash.hexdigest()

    def lines(self, found: Iterable[Row]) -> Iterator[bytes]:
        """Give the rows as lines."""
        for row in found:
            line = row.line
            self._hash.update(line)
            if row.table == "messages" and row.values.get("active", 1):
                self.messages.append(row.values.get("id"))
            yield line


def _difference(session_id: str, messages: list[object], path: str) -> str:
    """Return what an export lacks of a session, "" where nothing: its own id, and all messages that are shown."""
    if os.lstat(path).st_size > _MOST_BYTES:
        return "it is too large to be looked at"
    try:
        found = json.loads(files.read(path, _MOST_BYTES)[0])
        name, exported = found["id"], [message["id"] for message in found["messages"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it is no session as JSON"
    if name != session_id:
        return f"it is {quoted(str(name))}"
    return "" if exported == messages else f"of {len(messages)} messages it has {len(exported)}"
