"""Receipts of versions that wrote session-closer/1: each undoes the very store that it was written beside."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.journal.codec import decode, encode, scan
from support.commands import run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.service import Service
from support.shared import jobs
from support.sqlite import Bases
from support.stores import TOKEN, Store
from support.trees import write

WRITTEN = Path(__file__).parent / "format_1"
# From the first day of the record, the day of the first undo, and the last day of this form.
CLOSES = ["close-first", "close-hour", "close", "cleanup"]


def placed(name: str, state: Path, port: int) -> tuple[Store, dict[str, Any]]:
    """Place what a run has left behind into a state directory, and return what was there before it."""
    store, was = Store(state, port), json.loads((WRITTEN / f"{name}.json").read_bytes())
    for place, file in was["files"].items():
        path = store.state / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if "sql" in file:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("pragma journal_mode = wal")
                connection.executescript("\n".join(file["sql"]))
                connection.execute(f"pragma user_version = {file['version']}")
            path.chmod(0o600)
            continue
        text = file.get("text", "").replace("@STATE@", str(store.state)).encode()
        write(path, base64.b64decode(file["base64"]) if "base64" in file else text)
        os.utime(path, ns=(file["mtimeNs"], file["mtimeNs"]))
    return store, was


def transcripts(store: Store) -> list[str]:
    return sorted(name for name in store.names() if not name.startswith("sessions.json"))


@pytest.mark.parametrize("name", [*CLOSES, "interrupted"])
def test_what_it_closed_in_files_comes_back(name: str, tmp_path: Path, closed_port: int) -> None:
    store, was = placed(name, tmp_path / "state", closed_port)
    back = run_json(RestoreSessions, *was["undo"], state=store.state)
    assert (back.code, back.error) == (0, None), back
    assert {status for _, status in back.rows} == {"restored"}
    assert store.entries() == was["entries"]
    assert transcripts(store) == [found for found in was["names"] if found != "sessions.json"]
    assert store.open_runs() == []
    listed = run_json(RestoreSessions, "--list", state=store.state)
    assert {row["state"] for row in listed.data["receipts"]} == {"done"}
    formats = [receipt["format"] for receipt in store.receipts()]
    # What was finished just now is of the form of today.
    assert formats == ["session-closer/2" if name == "interrupted" else "session-closer/1", "session-closer/2"]


def test_what_it_brought_back_is_put_away_again(tmp_path: Path, closed_port: int) -> None:
    store, was = placed("restore", tmp_path / "state", closed_port)
    again = run_json(RestoreSessions, *was["undo"], state=store.state)
    assert (again.code, again.rows) == (0, [(LEAD + "kelly", "closed"), (LEAD + "alpha", "closed")])
    assert store.entries() == was["entries"]


def test_what_it_closed_is_known(tmp_path: Path, closed_port: int) -> None:
    store, _ = placed("close", tmp_path / "state", closed_port)
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "already_closed")])


def test_what_it_archived_in_a_database_comes_back_with_its_job(tmp_path: Path, stub: StubGateway) -> None:
    store, was = placed("archive", tmp_path / "state", stub.port)
    stub.serve(store.state, TOKEN)
    assert jobs(store.state) == {"job-runs": False}
    came_back(store, was)
    assert jobs(store.state) == {"job-runs": True}


def test_what_it_deleted_from_a_database_comes_back(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, was = placed("delete", tmp_path / "state", closed_port)
    service = Service(tmp_path / "bin", store.state, TOKEN, closed_port)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(service.folder / "openclaw"))
    # Only a gateway could switch the job on, and none runs.
    came_back(store, was, code=1)


def came_back(store: Store, was: dict[str, Any], *, code: int = 0) -> None:
    """Undo the receipt, and look whether all rows are as they were."""
    back = run_json(RestoreSessions, *was["undo"], state=store.state)
    assert (back.code, back.error) == (code, None), back
    assert back.rows == [(LEAD + "alpha", "restored"), (LEAD + "beta", "restored")]
    rows = Bases(store).rows()
    assert {key: row["current_session_id"] for key, row in rows.items()} == was["sessions"]
    assert rows[LEAD + "alpha"]["archived_at"] is None


@pytest.mark.parametrize("name", sorted(path.stem for path in WRITTEN.glob("*.json")))
def test_it_says_in_the_form_of_today_what_it_said(name: str) -> None:
    files = json.loads((WRITTEN / f"{name}.json").read_bytes())["files"]
    for text in (file["text"] for place, file in files.items() if place.startswith("session-closer/")):
        raw, old = text.replace("@STATE@", "/state").encode(), json.loads(text.replace("@STATE@", "/state"))
        record = decode(raw)
        new = json.loads(encode(record))
        assert decode(encode(record)) == record
        assert tuple(scan(raw)[1]) == record.stores
        for member in set(old) - {"format", "results", "stores"}:
            assert new[member] == old[member]
        assert [row.given for row in record.results] == [row["input"] for row in old["results"]]
        for store, before in zip(new["stores"], old["stores"], strict=True):
            assert store["roots"] == {"sessions": before["transcripts"]}
            assert renames(store["orphans"]) == renames(before.get("orphans", []))
            kept = set(before) - {"sessions", "archive", "transcripts", "orphans"}
            assert {member: store[member] for member in kept} == {member: before[member] for member in kept}
            for session, was in zip(store["sessions"], before["sessions"], strict=True):
                assert {member: session[member] for member in was if member != "moves"} == {
                    member: was[member] for member in was if member != "moves"
                }
                assert renames(session["moves"]) == renames(was["moves"])


def renames(moves: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(move.get(each) for each in ("source", "target", "size", "mtimeNs", "sha256")) for move in moves]
