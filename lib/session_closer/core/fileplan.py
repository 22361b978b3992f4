"""Which files go with the sessions that are closed, under which archive names, and why the others stay (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import names, transcripts
from .claims import Claims, user_of
from .durable import Move
from .escape import quoted
from .model import GatewayView, PlannedRow, Session, Snapshot
from .status import Life
from .tuples import NamedTuple


class FilePlan(NamedTuple):
    """The rows with their files that go and stay, and what is said of files and entries that are out of order."""

    rows: list[PlannedRow]
    warnings: list[str]


def of(
    rows: Sequence[PlannedRow], snapshot: Snapshot, view: GatewayView, *, lent: Mapping[str, Claims], stamp: str
) -> FilePlan:
    """Return what becomes of the files of the rows that are closed; `lent`: what each other agent claims in its folder.

    No name in the folder may end with `stamp`.
    """
    going = {row.key for row in rows}
    kept = Claims.of([session for key, session in snapshot.sessions.items() if key not in going])
    folder = _Folder(snapshot, kept, lent, stamp)
    plan = FilePlan([], [])
    for row in rows:
        session = row.session
        assert session is not None
        moves, whole = folder.usual(session), True
        left: tuple[str, ...] = ()
        if moves is None:
            files = folder.sorted_out(session)
            plan.warnings.extend(files.said)
            moves, left, whole = tuple(files.go), folder.whole(files.stay), files.whole
        if session.status == "running" and view.life is Life.DOWN:
            plan.warnings.append(f"{quoted(session.key)} says running, but nothing runs: left over from a crash")
        plan.rows.append(_with(row, moves, left, whole=whole))
    return plan


def _with(row: PlannedRow, moves: tuple[Move, ...], left: tuple[str, ...], *, whole: bool) -> PlannedRow:
    # Most rows of a long list are as they were planned, and a copy costs more than the comparison.
    if not moves and not row.moves and row.delete_transcript is whole and row.left == left:
        return row
    return row.but(moves=moves, delete_transcript=whole, left=left)


class _Files(NamedTuple):
    """The files of one session; `whole`: all of them go, and OpenClaw would find no others."""

    go: list[Move]
    stay: list[str]
    said: list[str]
    whole: bool


class _Folder:
    """An agent's folder as it was found, and who besides the sessions that go uses its files: `kept` and `lent`."""

    def __init__(self, snapshot: Snapshot, kept: Claims, lent: Mapping[str, Claims], stamp: str) -> None:
        self.snapshot, self.kept, self.lent, self.stamp = snapshot, kept, lent, stamp
        self._ids, self._names = Claims.together([kept, *lent.values()])
        self._files, self._by_owner = snapshot.files, snapshot.by_owner
        self._path, self._ending = f"{snapshot.folder}/", names.transcript_ending(stamp)

    def usual(self, session: Session) -> tuple[Move, ...] | None:
        """Return the moves of a session that can have no file but the transcript that OpenClaw gives it.

        None where its files have to be sorted out: of ten thousand sessions hardly one's.
        """
        own, path = session.session_id, session.session_file
        name = f"{own}.jsonl"
        if (path and path != self._path + name) or own in self._ids or name in self._names:
            return None
        if own is None or not session.id_usable or not names.USUAL.fullmatch(name):
            return None
        there, is_there = self._by_owner.get(own, ()), name in self._files
        if not there and not is_there:
            return ()
        if not is_there or len(there) != 1 or there[0] != name:
            return None
        return (Move(there[0], there[0] + self._ending),)

    def whole(self, stay: Sequence[str]) -> tuple[str, ...]:
        """Return the whole paths of files."""
        return tuple([name if name.startswith("/") else self._path + name for name in stay])

    def sorted_out(self, session: Session) -> _Files:
        """Return which files of a session go, which stay, and what is said of those."""
        snapshot = self.snapshot
        named = transcripts.named(session, snapshot)
        go, stay, said = [], [], []
        for name in transcripts.live(session, snapshot, named) if session.id_usable else ():
            archive = names.archive_name(name, self.stamp)
            if why := self._why_left(name, archive):
                stay.append(name)
                said.append(f"{quoted(name)} {why}: left where it is")
            elif name in snapshot.files:
                go.append(Move(name, archive))
        usual = not session.session_file or transcripts.is_in_folder(session, snapshot)
        whole = usual and session.id_usable and not stay
        if (outside := transcripts.outside(session, snapshot)) is not None:
            stay.append(outside)
            said.append(f"sessionFile of {quoted(session.key)} is {quoted(outside)}: left where it is")
        elif session.session_file and named is None and names.parted(session.session_file)[0] == snapshot.folder:
            said.append(f"sessionFile of {quoted(session.key)} is no transcript: left where it is")
        if not session.id_usable:
            said.append(f"sessionId of {quoted(session.key)} is unusable: its files are left where they are")
        return _Files(go, stay, said, whole)

    def _why_left(self, name: str, archive: str) -> str:
        """Return why a file stays that could get this archive name, "" where it goes, or is not there."""
        if name in self.snapshot.odd:
            return f"is a {self.snapshot.odd[name]}"
        if self.kept.cover(name):
            return "is used by another session too"
        if name not in self.snapshot.files:
            return ""
        if self.lent and (user := user_of(name, self.lent)) is not None:
            return f"is used by a session of agent {user}"
        return "is too long a name to be archived" if names.is_too_long(archive) else ""


def kept_for(name: str, user: str | None) -> str:
    """Return what is said of a file that a session has taken into use since the plan; None: one of the same agent."""
    who = f"a session of agent {user}" if user is not None else "another session"
    return f"{quoted(name)} is used by {who} by now: it stays where it is"


def stuck(name: str, why: str) -> str:
    """Return what is said of a file that the system lets nobody rename, or remove."""
    return f"{quoted(name)} cannot be moved or removed ({why}): it stays where it is"


def begun_anew(name: str, archive: str) -> str:
    """Return what is said of an archived file whose live name another one has by now."""
    return f"{quoted(name)} was begun anew while it was put away: what it held before is in {quoted(archive)}"
