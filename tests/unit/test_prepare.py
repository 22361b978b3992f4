"""What is noted of a file store before it is changed is what its backup holds, or there is neither."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from unittest import mock

import pytest
from session_closer.artifacts import measuring
from session_closer.artifacts.measuring import Hash
from session_closer.core.budget import HashBudget
from session_closer.core.model import PlannedRow, Route, Status
from session_closer.openclaw.files import share
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
