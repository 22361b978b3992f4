"""restore-sessions --found and found:ID over databases: what OpenClaw keeps of a session that it has deleted."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import restore, run_json
from support.gateway import StubGateway
from support.keys import LEAD, session_id
from support.moments import BORN
from support.service import Service
from support.sqlite import Bases, Delete, build_sqlite, packed, window
from support.stores import TOKEN, Store
from support.trees import tree

ALPHA, BETA = LEAD + "alpha", LEAD + "beta"
# As OpenClaw makes it with the first archive, but for the columns of its own retries.
ARCHIVES = """
create table if not exists session_transcript_archives (
  session_id text not null, generation text not null, session_key text not null,
  reason text not null check (reason in ('deleted', 'reset')),
  encoding text not null check (encoding in ('identity', 'zstd')), archive_blob blob not null,
  archive_sha256 text not null, archive_name text not null unique, created_at integer not null, published_at integer,
  primary key (session_id, generation)
)
"""


class Deleted(NamedTuple):
    """What OpenClaw has deleted: the session's id, its events by then, and the archive, written as a file."""

    session: str
    events: list[str]
    archive: Path


def taken_away(bases: Bases, key: str, how: str = "deleted", *, encoding: str = "zstd", at: int = BORN) -> Deleted:
    """Do what OpenClaw does to a session that a person deletes: the row goes, its transcript is archived."""
    agent = key.split(":")[1]
    session = str(bases.rows(agent)[key]["current_session_id"])
    events = [text for (owner, _), text in bases.events(agent).items() if owner == session]
    text = "".join(f"{line}\n" for line in [json.dumps({"type": "session", "id": session}), *events])
    generation = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    ending = ".zst" if encoding == "zstd" else ""
    name = f"{session}.jsonl.{how}.{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%dT%H-%M-%S}.000Z.{generation}{ending}"
    raw = packed(text) if ending else text.encode()
    with bases.open(agent) as connection:
        connection.execute(ARCHIVES)
        values = (session, generation, key, how, encoding, raw, hashlib.sha256(raw).hexdigest(), name, at, at + 1)
        connection.execute(f"insert into session_transcript_archives values ({','.join('?' * len(values))})", values)
        connection.execute("delete from session_nodes where session_key = ?", (key,))
    path = bases.store.folder(agent) / name
    path.write_bytes(raw)
    return Deleted(session, events, path)


def used_again(bases: Bases, key: str) -> None:
    """Give a key a new session."""
    fresh = session_id("anew")
    entry = json.dumps({"sessionId": fresh, "updatedAt": BORN})
    with bases.open(key.split(":")[1]) as connection:
        columns = "session_key, current_session_id, entry_json, updated_at"
        connection.execute(f"insert into session_nodes ({columns}) values (?, ?, ?, ?)", (key, fresh, entry, BORN))
        connection.execute(*window(fresh, key))


@pytest.fixture
def bases(tmp_path: Path, closed_port: int) -> Bases:
    """Databases without a gateway."""
    return build_sqlite(Store(tmp_path / "state", closed_port))


@pytest.fixture
def service(service: Service, bases: Bases) -> Service:
    """The command of the gateway that the configuration speaks of; it does not run yet."""
    bases.store.port = service.port
    bases.store.configure()
    return service


def found(bases: Bases, *words: str) -> list[dict[str, Any]]:
    answer = restore(bases, "--found", *words)
    assert (answer.code, answer.data["error"]) == (0, None), answer
    return list(answer.data["found"])


def said(bases: Bases, session: str, agent: str = "project-lead") -> list[str]:
    return [text for (owner, _), text in bases.events(agent).items() if owner == session]


def test_what_openclaw_deleted_is_listed_with_its_key_and_nothing_is_touched(bases: Bases) -> None:
    gone = taken_away(bases, ALPHA)
    before = tree(bases.store.state)
    [row] = found(bases)
    assert tree(bases.store.state) == before
    assert (row["key"], row["sessionId"], row["reason"]) == (ALPHA, gone.session, "deleted")
    assert (row["settings"], row["receipt"]) == (False, None)
    assert (row["archive"], row["bytes"]) == (str(gone.archive), gone.archive.stat().st_size)


@pytest.mark.parametrize("how", ["deleted", "reset"])
@pytest.mark.parametrize("encoding", ["zstd", "identity"])
@pytest.mark.parametrize("file", ["there", "gone", "damaged"])
def test_it_comes_back_with_every_event(bases: Bases, service: Service, how: str, encoding: str, file: str) -> None:
    gone = taken_away(bases, ALPHA, how, encoding=encoding)
    if file == "gone":
        gone.archive.unlink()
    if file == "damaged":
        gone.archive.write_bytes(gone.archive.read_bytes()[:-7])
    [row] = found(bases, "alpha")
    answer = restore(bases, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")]), answer
    assert said(bases, gone.session) == gone.events
    assert bases.rows()[ALPHA]["current_session_id"] == gone.session
    [left] = answer.data["results"][0]["notRestored"]
    assert (left["kind"], left["count"]) == ("settings", 1)
    assert "label, model, pin" in left["why"]
    assert not list(bases.store.folder().glob("*.jsonl"))
    assert not bases.store.index().exists()
    assert found(bases) == [], "it is not gone any more, though OpenClaw keeps the archive"


def test_a_running_gateway_has_to_be_stopped_for_it(bases: Bases, service: Service) -> None:
    gone = taken_away(bases, ALPHA)
    service.run("gateway", "start")
    [row] = found(bases)
    before = bases.rows()
    answer = restore(bases, f"found:{row['id']}")
    assert (answer.code, answer.error) == (3, "gateway_running")
    assert f"found:{row['id']}" in answer.data["error"]["remedy"]
    assert bases.rows() == before
    answer = restore(bases, f"found:{row['id']}", "--stop-gateway")
    assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")])
    assert said(bases, gone.session) == gone.events
    assert service.pid is not None


def test_a_key_in_use_is_a_conflict_and_as_is_the_way_out(bases: Bases, service: Service) -> None:
    gone = taken_away(bases, ALPHA)
    used_again(bases, ALPHA)
    row, before = found(bases)[0], bases.rows()
    answer = restore(bases, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (1, [(ALPHA, "conflict")])
    assert "--as KEY" in answer.data["results"][0]["error"]
    assert bases.rows() == before
    beside = LEAD + "alpha-before"
    answer = restore(bases, f"found:{row['id']}", "--as", beside)
    assert (answer.code, answer.rows) == (0, [(beside, "restored")])
    assert bases.rows()[beside]["current_session_id"] == gone.session
    assert said(bases, gone.session) == gone.events
    assert bases.rows()[ALPHA] == before[ALPHA]


def test_what_is_damaged_everywhere_is_refused_before_anything_is_changed(bases: Bases, service: Service) -> None:
    gone = taken_away(bases, ALPHA)
    gone.archive.write_bytes(gone.archive.read_bytes()[:-7])
    with bases.open("project-lead") as connection:
        connection.execute("update session_transcript_archives set archive_blob = x'00'")
    [row] = found(bases)
    before = bases.rows()
    answer = restore(bases, f"found:{row['id']}")
    assert answer.code == 3
    assert gone.archive.name in answer.data["error"]["message"]
    assert bases.rows() == before
    assert bases.store.open_runs() == []


def test_an_importer_that_fails_leaves_nothing_behind_and_it_is_found_again(bases: Bases, service: Service) -> None:
    gone = taken_away(bases, ALPHA)
    gone.archive.unlink()
    service.tell(importer="fails")
    [row] = found(bases)
    answer = restore(bases, f"found:{row['id']}")
    assert answer.rows == [(ALPHA, "failed")]
    assert not list(bases.store.folder().glob("*.jsonl"))
    assert not bases.store.index().exists()
    assert found(bases) == [row]


def test_a_copy_of_the_index_from_before_the_database_tells_what_was_set(bases: Bases, service: Service) -> None:
    gone = taken_away(bases, ALPHA)
    entry = {"sessionId": gone.session, "updatedAt": BORN, "label": "Alpha"}
    away = bases.store.folder().parent / "session-sqlite-import-archive"
    away.mkdir()
    (away / "legacy-store.sessions.json.imported-1").write_text(json.dumps({ALPHA: entry}))
    [row] = found(bases)
    assert (row["key"], row["settings"]) == (ALPHA, True)
    assert restore(bases, f"found:{row['id']}").rows == [(ALPHA, "restored")]
    assert json.loads(bases.rows()[ALPHA]["entry_json"])["label"] == "Alpha"


@pytest.fixture
def closed(bases: Bases, delete: Delete) -> str:
    """Return the id of the receipt of a run of ours that has deleted two sessions."""
    return delete(bases, ALPHA, BETA)


def test_what_we_deleted_is_ours_and_comes_back_by_its_receipt_as_it_was(
    bases: Bases, closed: str, service: Service
) -> None:
    rows = {row["key"]: row for row in found(bases)}
    assert {key: row["receipt"] for key, row in rows.items()} == {ALPHA: closed, BETA: closed}
    assert all(row["settings"] for row in rows.values())
    answer = restore(bases, f"found:{rows[ALPHA]['id']}")
    assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")])
    assert "settings" not in {left["kind"] for left in answer.data["results"][0].get("notRestored", [])}
    assert not [warning for warning in answer.data["warnings"] if "what was set for it" in warning]
    assert json.loads(bases.rows()[ALPHA]["entry_json"])["note"] == "“ñ”  \u2028 \\ /"
    again = restore(bases, f"found:{rows[BETA]['id']}", "--as", LEAD + "beta-before")
    assert (again.code, again.rows) == (0, [(LEAD + "beta-before", "restored")])
    assert json.loads(bases.rows()[LEAD + "beta-before"]["entry_json"])["note"] == "“ñ”  \u2028 \\ /"
    assert found(bases) == []


def test_the_restore_can_be_undone(bases: Bases, stub: StubGateway, service: Service) -> None:
    taken_away(bases, ALPHA)
    answer = restore(bases, f"found:{found(bases)[0]['id']}")
    bases.store.port = stub.port
    bases.store.configure()
    stub.serve(bases.store.state, TOKEN)
    undone = restore(bases, Path(answer.data["receipt"]).stem)
    assert (undone.code, undone.rows) == (0, [(ALPHA, "archived")])


def test_what_we_archived_and_somebody_else_deleted_is_not_ours_and_comes_back_with_all_that_was_set(
    bases: Bases, stub: StubGateway, service: Service
) -> None:
    port, bases.store.port = bases.store.port, stub.port
    bases.store.configure()
    stub.serve(bases.store.state, TOKEN)
    assert run_json(CloseProjectBatch, ALPHA, state=bases.store.state).rows == [(ALPHA, "archived")]
    assert stub.lock is not None
    stub.lock.unlink()
    bases.store.port = port
    bases.store.configure()
    gone = taken_away(bases, ALPHA, at=int(time.time() * 1000) + 60_000)
    [row] = found(bases)
    assert (row["key"], row["receipt"], row["settings"]) == (ALPHA, None, True)
    answer = restore(bases, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")]), answer
    assert json.loads(bases.rows()[ALPHA]["entry_json"])["note"] == "“ñ”  \u2028 \\ /"
    assert said(bases, gone.session) == gone.events


def test_what_one_run_archived_and_a_later_one_freed_is_listed_once_by_the_later(
    bases: Bases, stub: StubGateway
) -> None:
    bases.store.port = stub.port
    bases.store.configure()
    stub.serve(bases.store.state, TOKEN)
    session = bases.rows()[ALPHA]["current_session_id"]
    run_json(CloseProjectBatch, ALPHA, state=bases.store.state)
    freed = run_json(CloseProjectBatch, "--delete", ALPHA, state=bases.store.state)
    assert freed.code == 0
    (path,) = bases.archives()
    raw, at = path.read_bytes(), int(time.time() * 1000) + 60_000
    with bases.open("project-lead") as connection:
        connection.execute(ARCHIVES)
        digest = hashlib.sha256(raw).hexdigest()
        values = (session, "g", ALPHA, "deleted", "zstd", raw, digest, path.name, at, at)
        connection.execute(f"insert into session_transcript_archives values ({','.join('?' * len(values))})", values)
    [row] = found(bases)
    assert (row["key"], row["receipt"]) == (ALPHA, Path(freed.data["receipt"]).stem)
