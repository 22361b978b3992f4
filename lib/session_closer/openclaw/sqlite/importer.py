"""Bring deleted sessions back into a database: by OpenClaw's own importer, with the gateway stopped.

The importer takes a `sessions.json` that is put beside the database, and no gateway starts while there is one. So the
record of the run is there before that file is written, and what a killed run left of it is put away by the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence

from ...core import escape, names
from ...core.durable import Move
from ...core.errors import Busy, Refused
from ...journal import history
from ...journal.checks import raw_entry
from ...journal.record import PLANNED, SessionRecord, StoreRecord
from ...ports.undo import Item, Returns
from ...system import files, flock
from ...system.disk import Disk
from ...system.pieces import piece
from ..files.document import same_value, with_members
from ..gateway.command import OpenClaw
from ..gateway.link import LinkLost, LinkRefused
from ..installation import Installation
from .packed import unpacked
from .store import SqliteStore

_IMPORT_SECONDS = 600.0
# An import of ten thousand sessions takes about a minute.
_END_SECONDS = 60.0
_SAID_BYTES = 4096
_TRANSCRIPT_BYTES = 2 << 30
FRESH = ".session-closer-new"
_OTHERS = "restore the others by name"


def index_for(store: SqliteStore, items: Sequence[Item]) -> bytes:
    """Return the `sessions.json` that the importer is to take."""
    members = []
    for item in items:
        path = os.path.join(store.folder, f"{item.session_id}.jsonl")
        value = with_members(item.entry, {"sessionFile": path} if item.moves else {})
        members.append(f"{json.dumps(item.key)}: {value}")
    return "{{\n  {}\n}}".format(",\n  ".join(members)).encode()


def write_transcripts(disk: Disk, store: SqliteStore, item: Item) -> None:
    """Put one session's transcript where the importer looks for it; Refused where its archive is damaged."""
    for move in item.moves:
        files.put(disk, os.path.join(store.folder, move.source), transcript(store, item, move))


def check_transcripts(store: SqliteStore, items: Sequence[Item]) -> None:
    """Raise Refused where an archive is damaged, or cannot be unpacked here."""
    for item in items:
        for move in item.moves:
            transcript(store, item, move)


def transcript(store: SqliteStore, item: Item | SessionRecord, move: Move) -> bytes:
    """Return a transcript out of its archive; Refused where that is damaged, or cannot be unpacked here."""
    archive = os.path.join(store.folder, move.target)
    # OpenClaw writes the file later than the row of its archive, and cleans it up earlier.
    raw, digest = store.kept(move.target)
    if raw is None:
        raw, _ = files.read(archive, _TRANSCRIPT_BYTES)
        if digest is not None and hashlib.sha256(raw).hexdigest() != digest:
            raise Refused(f"{archive} does not hold what OpenClaw archived", _OTHERS)
    text = unpacked(archive, raw, most=_TRANSCRIPT_BYTES, remedy=_OTHERS) if archive.endswith(".zst") else raw
    if str(item.session_id).encode() not in text.partition(b"\n")[0]:
        raise Refused(f"{archive} does not hold the transcript of {item.session_id}", _OTHERS)
    return text


def run_importer(here: Installation, agent: str) -> str:
    """Run the importer; return what it said where it failed."""
    words = ("doctor", "--session-sqlite", "import", "--session-sqlite-agent", agent, "--json")
    path = _said(here, agent)
    # Whatever has this file for its stdout holds the flock, which nobody can forget: it ends with the last of them.
    with os.fdopen(here.disk.create(path), "wb") as out:
        flock.try_flock(out.fileno(), path)
        try:
            code, _, err = OpenClaw(here.home, None, None).run(*words, seconds=_IMPORT_SECONDS, into=out)
        except (LinkRefused, LinkLost) as problem:
            return str(problem)
    said = err or _last(path) if code else ""
    # One that has come to its end has no part of it left behind, whatever else goes on; one that was ended may have.
    if code >= 0:
        files.remove(here.disk, [path])
    return (" ".join(said.split())[-300:] or f"exit {code}") if code else ""


def _last(path: str) -> str:
    """Return what stands last in a file, which may be of any size."""
    return piece(path, max(0, os.stat(path).st_size - _SAID_BYTES), _SAID_BYTES).decode("utf-8", "replace")


def await_end(here: Installation, agent: str) -> None:
    """Wait for an importer that has outlived whoever ended it; Busy where it does not end.

    A gateway that was stopped for it stays so then: the next command starts it.
    """
    path = _said(here, agent)
    if not flock.is_free(path, _END_SECONDS, here.context.clock):
        stays = "; the gateway stays stopped until then" if here.stopped else ""
        here.stopped = False
        what = f"OpenClaw's importer of agent {agent} is still at work{stays}"
        raise Busy(what, "run the same command again when it has ended")
    files.remove(here.disk, [path])


def _said(here: Installation, agent: str) -> str:
    """Return where an importer writes what it says, while it runs."""
    return os.path.join(history.root(here.home.state), f"import-{agent}")


def judge(here: Installation, store: SqliteStore, todo: Sequence[Item], returns: Returns, said: str | None) -> None:
    """Decide by the rows what became of each session; `said`: what the importer said, None where it was not run."""
    now = store.rows([item.key for item in todo])
    for item in todo:
        row = now.get(item.key)
        if row is None or row.session_id != item.session_id:
            why = "not reached" if said is None else f"OpenClaw did not import it: {said or 'it gave no reason'}"
            returns.failed(item, why)
            continue
        returns.back(item)
        if not same_value(raw_entry(row.entry), raw_entry(item.entry)):
            here.warn(f"OpenClaw changed the entry of {escape.plain(item.key)} when it imported it")


def clean(disk: Disk, index: str, store: SqliteStore, record: StoreRecord) -> None:
    """Put away what we wrote for the importer and it did not take, and nothing else."""
    files.remove(disk, [index + FRESH])
    try:
        raw, _ = files.read(index, record.size)
    except FileNotFoundError:
        raw = b""
    except OSError as problem:
        if not files.is_no_file(problem):
            raise
        return  # larger than ours, or no file at all
    if raw and hashlib.sha256(raw).hexdigest() != record.sha256:
        return
    files.remove(disk, [index])
    for session in record.sessions:
        for move in session.moves:
            live, archive = (os.path.join(record.transcripts, name) for name in (move.source, move.target))
            # What is archived is not lost: the copy was written for the importer, which moves what it takes.
            is_held = files.is_file(archive) or store.kept(move.target).raw is not None
            if files.is_file(live) and is_held and names.is_transcript(move.source):
                files.remove(disk, [live])
    if files.is_folder(record.transcripts):
        disk.sync_folder(record.transcripts)


def finish(disk: Disk, index: str, store: SqliteStore, record: StoreRecord) -> StoreRecord:
    """Settle an interrupted restore: what the rows have is restored, the rest is dropped."""
    imported = record.size > 0
    if imported:
        clean(disk, index, store, record)
    now = store.rows([session.key for session in record.sessions])
    sessions = []
    for session in record.sessions:
        if session.status != PLANNED:
            sessions.append(session)
            continue
        row = now.get(session.key)
        back = row is not None and row.session_id == session.session_id and (imported or row.archived_at is None)
        sessions.append(session.but(status="restored" if back else "dropped"))
    return record.but(sessions=tuple(sessions))
