"""The shortest store that keeps what every store has to: keys and session ids in one file, a transcript for each."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence

from session_closer.artifacts import engine
from session_closer.core.durable import SESSIONS
from session_closer.core.model import PlannedRow, Session, Snapshot, Traits
from session_closer.core.status import Status
from session_closer.journal.record import PLANNED, SessionRecord, StoreRecord
from session_closer.journal.source import Chosen, ChosenSession
from session_closer.ports.share import Share
from session_closer.ports.store import Interrupted, Ledger, Store
from session_closer.ports.undo import Item, Returns
from session_closer.system import files
from session_closer.system.disk import Disk


class Toy(Store):
    """Sessions of one agent: `index.json` maps keys to session ids, `<id>.jsonl` is a transcript."""

    era, traits, beside = "toy", Traits(restarts=False), ""

    def __init__(self, disk: Disk, folder: str, agent: str) -> None:
        self._disk, self.agent, self.folder = disk, agent, folder
        self.index = os.path.join(folder, "index.json")

    @property
    def place(self) -> str:
        """The folder of the index."""
        return self.folder

    def _ids(self) -> dict[str, str]:
        ids: dict[str, str] = json.loads(files.read(self.index, 1 << 20)[0])
        return ids

    def _write(self, ids: Mapping[str, str]) -> None:
        """Put another index in the place of the one that is there: whole, or not at all."""
        self.clean()
        files.put(self._disk, self.index + ".new", json.dumps(ids).encode())
        self._disk.rename(self.index + ".new", self.index)
        self._disk.sync_folder(self.folder)

    def read(self) -> Snapshot:
        """Return the store as it is now."""
        ids, there = self._ids(), frozenset(files.listed(self.folder))
        sessions = {key: Session(self.agent, key, own, None) for key, own in ids.items()}
        by_owner = {own: (f"{own}.jsonl",) for own in ids.values()}
        return Snapshot(self.agent, self.index, self.folder, sessions, there, by_owner=by_owner, traits=self.traits)

    def sizes(self, sessions: Sequence[Session], _: Snapshot) -> dict[str, int | None]:
        """Return the bytes of transcripts by key."""
        paths = {each.key: os.path.join(self.folder, f"{each.session_id}.jsonl") for each in sessions}
        return {key: os.path.getsize(path) if os.path.exists(path) else None for key, path in paths.items()}

    def written(self, _: Sequence[PlannedRow]) -> set[str]:
        """Return the folders that a close writes to."""
        return {self.folder}

    def has_leftovers(self) -> bool:
        """Tell whether a killed run has left its new index."""
        return files.exists(self.index + ".new")

    def clean(self) -> None:
        """Put that away."""
        files.remove(self._disk, [self.index + ".new"])

    def take_out(self, rows: Sequence[PlannedRow], ledger: Ledger, *, stamp: str, until: float) -> list[str]:
        """Note the sessions, take them out of the index, put their transcripts away."""
        record = StoreRecord(self.agent, self.era, self.index, {SESSIONS: self.folder})
        record = record.but(sessions=tuple(map(_recorded, rows)))
        ledger.note_first(record)
        share = Share(store=self, rows=list(rows), record=record, note=ledger.note, hashes=ledger.hashes)
        ledger.shares.append(share)
        going = {row.key for row in rows}
        self._write({key: own for key, own in self._ids().items() if key not in going})
        self._put_away(record.sessions)
        share.results.closed(*going)
        share.finished = True
        return []

    def _put_away(self, sessions: Sequence[SessionRecord]) -> None:
        with engine.Root(self._disk, self.folder) as root:
            for move in (move for session in sessions for move in session.moves):
                root.put_away(move)

    def settled(self, share: Share) -> StoreRecord:
        """Return the record with what became of each session."""
        return _ended(share.record, lambda key: str(share.results.became(key) or Status.FAILED))

    def finish(self, record: StoreRecord, run: Interrupted) -> StoreRecord:
        """Tell by the index what an interrupted run has done, and bring the transcripts in line with it."""
        self.clean()
        ids = self._ids()
        there = {session.key for session in record.sessions if ids.get(session.key) == session.session_id}
        self._put_away([session for session in record.sessions if session.key not in there])
        is_there, is_gone = ("restored", "dropped") if record.restores else ("dropped", "closed")
        return _ended(record, lambda key: is_there if key in there else is_gone)

    def returnable(self, chosen: Sequence[Chosen]) -> list[Item]:
        """Return what would become of each of these."""
        ids = self._ids()
        return [self._item(each, is_there=each.name in ids) for each in chosen]

    def _item(self, each: Chosen, *, is_there: bool) -> Item:
        assert isinstance(each, ChosenSession)
        status = Status.ALREADY_RESTORED if is_there else Status.WOULD_RESTORE
        session = each.session
        return Item(each.given, self.agent, session.key, session.session_id, status, moves=session.moves)

    def written_back(self, items: Sequence[Item]) -> list[str]:
        """Return the folders that bringing these back writes to."""
        return [self.folder]

    def bring_back(self, chosen: Sequence[Chosen], ledger: Ledger, returns: Returns) -> None:
        """Note the sessions, give their transcripts their live names, then put them into the index."""
        returns.decide(self.returnable(chosen))
        items = {item.key: item for item in returns.of(self.agent) if item.is_wanted}
        sessions = [each.session for each in chosen if isinstance(each, ChosenSession) and each.name in items]
        record = StoreRecord(self.agent, self.era, self.index, {SESSIONS: self.folder}, restores=True)
        record = record.but(sessions=tuple(session.but(status=PLANNED) for session in sessions))
        ledger.note_first(record)
        ledger.shares.append(Share(store=self, rows=[], record=record, note=ledger.note, hashes=ledger.hashes))
        with engine.Root(self._disk, self.folder) as root:
            back = [session for session in sessions if root.bring_back(session.moves) is None]
        self._write({**self._ids(), **{session.key: session.entry or "" for session in back}})
        for session in back:
            returns.back(items[session.key])


def _recorded(row: PlannedRow) -> SessionRecord:
    assert row.session is not None
    own = row.session.session_id or ""
    digest = hashlib.sha256(own.encode()).hexdigest()
    return SessionRecord(row.key, own, 0, len(own), digest, moves=row.moves, entry=own)


def _ended(record: StoreRecord, word: Callable[[str], str]) -> StoreRecord:
    return record.but(sessions=tuple(session.but(status=word(session.key)) for session in record.sessions))
