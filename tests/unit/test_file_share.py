"""What is recorded of a file store is what its backup holds, and in the end what became of each session."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from unittest import mock

import pytest
from session_closer.artifacts import measuring
from session_closer.artifacts.measuring import Hash
from session_closer.core.budget import HashBudget
from session_closer.core.durable import Move
from session_closer.core.model import PlannedRow
from session_closer.core.status import Route, Status
from session_closer.journal.record import SessionRecord
from session_closer.openclaw.files import share
from session_closer.openclaw.files.share import FileShare
from session_closer.openclaw.files.store import FileStore
from session_closer.openclaw.home import Home
from session_closer.system.disk import Disk

STAMP = "2026-11-21T00-41-24.769Z"
ROWS = {f"agent:lead:{name}": {"sessionId": name, "label": "ü"} for name in ("a", "b")}


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    folder = tmp_path / "agents" / "lead" / "sessions"
    folder.mkdir(parents=True)
    folder.joinpath("sessions.json").write_text(json.dumps(ROWS, ensure_ascii=False))
    found = FileStore(Home(str(tmp_path), "--state-dir", {}), "lead")
    found.read()
    return found


def rows() -> list[PlannedRow]:
    return [PlannedRow(key, "lead", key, Status.WOULD_CLOSE, route=Route.FILES) for key in ROWS]


@pytest.mark.parametrize("made", [None, Hash(b"what was read before")])
def test_the_record_says_of_the_backup_what_is_in_it(store: FileStore, made: Hash | None) -> None:
    record = share.prepare(Disk(), store, rows(), STAMP, made=made, hashes=HashBudget())
    assert record.backup is not None
    kept = Path(store.place, record.backup).read_bytes()
    assert kept == Path(store.index).read_bytes()
    assert (record.size, record.sha256) == (len(kept), hashlib.sha256(kept).hexdigest())
    for session in record.sessions:
        entry = kept[session.offset : session.offset + session.length]
        assert json.loads(b"{" + entry + b"}") == {session.key: ROWS[session.key]}
        assert session.sha256 == hashlib.sha256(entry).hexdigest()


@pytest.mark.parametrize("piece", [0, measuring.PIECE])
def test_no_backup_is_left_where_nothing_can_be_noted_of_it(store: FileStore, piece: int) -> None:
    before = sorted(Path(store.place).iterdir())
    # A store that is hashed beside the backup, and one that is hashed ahead of it.
    with (
        mock.patch.object(measuring, "PIECE", piece),
        mock.patch.object(share, "_session_records", side_effect=MemoryError),
        pytest.raises(MemoryError),
    ):
        share.prepare(Disk(), store, rows(), STAMP, made=None, hashes=HashBudget())
    assert sorted(Path(store.place).iterdir()) == before


def test_a_receipt_says_of_each_session_what_became_of_it(store: FileStore) -> None:
    folder = Path(store.folder)
    moves = [Move(f"{name}.jsonl", f"{name}.jsonl.deleted.{STAMP}") for name in ("a", "b")]
    for move in moves:
        folder.joinpath(move.source).write_text("some words")
    planned = [row.but(moves=(move,)) for row, move in zip(rows(), moves, strict=True)]
    record = share.prepare(Disk(), store, planned, STAMP, made=None, hashes=HashBudget())
    assert [(each.size, each.sha256) for session in record.sessions for each in session.moves] == [
        (10, hashlib.sha256(b"some words").hexdigest())
    ] * 2
    # One that the run has let go of, and is in the record.
    record = record.but(sessions=(*record.sessions, SessionRecord("agent:lead:c", "c", 0, 1, "0" * 64, status="kept")))
    assert store.document is not None
    run = FileShare(
        store=store, rows=planned, record=record, note=lambda _: None, hashes=HashBudget(), planned=store.document
    )
    folder.joinpath(moves[0].source).unlink()
    folder.joinpath(moves[0].target).write_text("some words, and more")
    run.results.closed("agent:lead:a")
    run.results.archives["agent:lead:a"] = [moves[0].target]
    found = share.settled(run).sessions
    assert [(session.key[-1], session.status) for session in found] == [("a", "closed"), ("b", "failed"), ("c", "kept")]
    assert [(each.target, each.size) for session in found for each in session.moves] == [
        (moves[0].target, 20), (moves[1].target, 10),
    ]  # fmt: skip
