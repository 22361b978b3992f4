"""Rows of databases come back: out of the archive, or by OpenClaw's importer; every failure is told row by row."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
from datetime import datetime
from typing import Any
from unittest import mock

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.durable import Move
from session_closer.core.errors import CorruptStore
from session_closer.core.status import Status
from session_closer.openclaw.home import Home
from session_closer.openclaw.sqlite import importer as importing
from session_closer.openclaw.sqlite import returnable
from session_closer.openclaw.sqlite.store import SqliteStore
from session_closer.ports.undo import Item
from support.commands import restore, run_json
from support.gateway import StubGateway, StubOpenClaw
from support.keys import session_id
from support.restore import (
    ALPHA,
    BETA,
    DAY,
    DELETED,
    ROWS,
    SILENT,
    Down,
    edit_receipt,
    held,
    receipt_of,
    rows,
    statuses,
)
from support.sqlite import CRON_RUN, Bases, packed, reset, unpacked
from support.trees import tree


def test_an_archived_row_is_taken_out_of_the_archive_by_the_running_gateway(bases: Bases, stub: StubGateway) -> None:
    before = held(bases)
    closed = run_json(CloseProjectBatch, "--archive", *ROWS, state=bases.store.state)
    assert set(statuses(closed).values()) == {"archived"}
    look = run_json(RestoreSessions, "last", "--dry-run", state=bases.store.state)
    assert statuses(look) == dict.fromkeys(ROWS, "would_restore")
    answer = restore(bases.store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(ROWS, "restored"))
    assert answer.data["restart"]["result"] == "not-needed"
    after = held(bases)
    for agent, (entries, events) in before.items():
        assert after[agent][1] == events
        for key, (entry, archived_at) in entries.items():
            found, now = after[agent][0][key]
            assert ({**found, "updatedAt": 0}, now) == ({**entry, "updatedAt": 0}, archived_at)
    asked = [(target["key"], target["expectedSessionId"]) for call in stub.calls("sessions.patchMany")[-2:]
             for target in call["targets"] if call["patch"] == {"archived": False}]  # fmt: skip
    assert {key for key, _ in asked} == set(ROWS)
    assert all(expected == before[key.split(":")[1]][0][key][0]["sessionId"] for key, expected in asked)
    second = restore(bases.store, "last")
    assert (second.code, statuses(second)) == (0, dict.fromkeys(ROWS, "already_restored"))


def test_the_receipt_of_a_restore_closes_rows_again(bases: Bases) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    again = receipt_of(bases.store, restore(bases.store, "last").data)
    answer = restore(bases.store, again)
    assert (answer.rows, answer.data["free"]) == ([(ALPHA, "archived")], None), "no word of this command frees a key"
    assert bases.rows()[ALPHA]["archived_at"] is not None


def test_an_archived_row_that_is_another_session_now_is_a_conflict(bases: Bases) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, BETA, state=bases.store.state)
    with bases.open("project-lead") as connection:
        for statement in reset(ALPHA, session_id("anew")):
            connection.execute(*statement)
    row = bases.rows()[ALPHA]
    answer = restore(bases.store, "last")
    assert (answer.code, statuses(answer)) == (1, {ALPHA: "conflict", BETA: "restored"})
    assert bases.rows()[ALPHA] == row


def test_a_gateway_that_refuses_or_lies_brings_nothing_back(bases: Bases, stub: StubGateway) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    row = bases.rows()[ALPHA]
    for fault in ({"do": "lie"}, {"do": "error", "error": {"message": "no"}}):
        stub.tell(faults=[{"method": "sessions.patchMany", **fault}])
        answer = restore(bases.store, "last")
        assert (answer.code, answer.rows) == (1, [(ALPHA, "failed")])
        assert bases.rows()[ALPHA] == row
    stub.tell(faults=[])
    assert restore(bases.store, "last").rows == [(ALPHA, "restored")]


def test_archived_rows_need_their_gateway(bases: Bases, stub: StubGateway, closed_port: int) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    bases.store.port = closed_port
    bases.store.configure()
    assert stub.lock is not None
    stub.lock.unlink()
    before = tree(bases.store.state)
    answer = restore(bases.store, "last")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "openclaw gateway start" in answer.data["error"]["remedy"]
    assert restore(bases.store, "last", "--check").rows == [(ALPHA, "would_restore")]
    assert tree(bases.store.state) == before


def test_deleted_rows_and_a_running_gateway_are_refused_with_the_commands(bases: Bases, openclaw: StubOpenClaw) -> None:
    run_json(CloseProjectBatch, "--delete", "alpha", "beta", state=bases.store.state)
    before, names = held(bases), tree(bases.store.folder())
    for words in ((), ("--dry-run",)):
        answer = restore(bases.store, "last", *words, "alpha")
        assert (answer.code, answer.error) == (3, "gateway_running")
        remedy = answer.data["error"]["remedy"]
        for command in (
            "openclaw gateway stop",
            "restore-sessions",
            " last",
            "openclaw gateway start",
            "--stop-gateway",
        ):
            assert command in remedy
        assert remedy.index("gateway stop") < remedy.index(" last") < remedy.index("gateway start")
        # Nobody stops a gateway for a look.
        assert "--dry-run" not in remedy
    assert restore(bases.store, "last", "--check").code == 0
    assert (held(bases), tree(bases.store.folder())) == (before, names)
    assert len(list((bases.store.state / "session-closer" / "receipts").iterdir())) == 1


def test_deleted_rows_are_imported_while_the_gateway_is_stopped(down: Down) -> None:
    for word in ("--dry-run", "--check"):
        before = tree(down.store.state)
        answer = restore(down.store, "last", word)
        assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "would_restore"))
        assert tree(down.store.state) == before
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "restored"))
    assert held(down.bases) == down.before
    assert down.files() == down.files("researcher") == set()
    assert [line.split()[:3] for line in down.service.calls()] == [["doctor", "--session-sqlite", "import"]] * 2
    assert answer.data["restart"]["needed"] is False
    assert down.store.open_runs() == []
    second = restore(down.store, "last")
    assert (second.code, statuses(second)) == (0, dict.fromkeys(DELETED, "already_restored"))
    assert len(down.service.calls()) == 2


@pytest.mark.parametrize(
    ("program", "said"), [("", "there is no openclaw command on PATH"), ("openclaw-of-before", ", which is no program")]
)
def test_without_the_importer_nothing_is_promised_and_nothing_begun(
    down: Down, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    if program:
        monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(down.service.folder / program))
    before = tree(down.store.state)
    for words in (["--dry-run"], ["--check"], []):
        answer = restore(down.store, "last", *words)
        assert (answer.code, statuses(answer)) == (1, dict.fromkeys(DELETED, "failed")), words
        assert all(said in row["error"] for row in answer.data["results"])
        assert tree(down.store.state) == before, words


def test_the_importer_is_found_where_a_tilde_leads(down: Down, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("HOME", str(down.service.folder.parent))
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", f"~/{down.service.folder.name}/openclaw")
    answer = restore(down.store, "last", "--check")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "would_restore"))


def test_the_importer_leaves_nothing_that_is_not_named(down: Down) -> None:
    before = set(tree(down.store.state))
    warnings = restore(down.store, "last").data["warnings"]
    left = {name for name in set(tree(down.store.state)) - before if "session-sqlite-" in name}
    assert (left, [line for line in warnings if "import has left" in line]) == (set(), [])


def test_only_the_row_that_was_named_is_imported(down: Down) -> None:
    assert restore(down.store, "last", "alpha").rows == [(ALPHA, "restored")]
    assert ALPHA in down.bases.listed()
    assert {BETA, CRON_RUN, SILENT}.isdisjoint(down.bases.listed())
    assert down.files() == set()


def rewrite(down: Down, key: str, content: bytes, name: str = "") -> None:
    """Let the archive of a session hold something else, under another name, and its receipt say so."""
    path = down.archive(key)
    other = path.rename(path.with_name(name or path.name))
    other.write_bytes(content)
    status, digest = other.stat(), hashlib.sha256(content).hexdigest()
    edit_receipt(
        down.store,
        lambda data: [
            move.update(target=other.name, size=status.st_size, mtimeNs=status.st_mtime_ns, sha256=digest)
            for each in data["stores"]
            for session in each["sessions"]
            for move in session["moves"]
            if move["target"] == path.name
        ],
    )


def test_a_plain_archive_is_imported_as_it_is(down: Down) -> None:
    path = down.archive(ALPHA)
    plain = path.name.rpartition(".deleted.")[0] + ".deleted.2016-11-01T00-00-00.000Z"
    rewrite(down, ALPHA, unpacked(path.read_bytes()), plain)
    assert restore(down.store, "last", "alpha").rows == [(ALPHA, "restored")]
    events = {at: text for at, text in down.before["project-lead"][1].items() if at in down.bases.events()}
    assert down.bases.events() == events
    assert down.before["project-lead"][0][ALPHA][0]["sessionId"] in {session for session, _ in events}


def test_what_an_importer_says_on_its_stdout_alone_is_told(down: Down) -> None:
    down.service.tell(importer="tells")
    [row] = restore(down.store, "last", "alpha").data["results"]
    assert row["status"] == "failed"
    assert "the import is locked" in row["error"]
    assert len(row["error"]) < 400


@pytest.mark.long
@pytest.mark.parametrize("how", ["fails", "lies"])
def test_an_importer_that_takes_nothing_leaves_nothing_behind(down: Down, how: str) -> None:
    down.service.tell(importer=how)
    names = tree(down.store.folder())
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(DELETED, "failed"))
    assert all("import" in row["error"] for row in answer.data["results"])
    assert down.files() == down.files("researcher") == set()
    assert {name for name in tree(down.store.folder()) if name != "."} == {name for name in names if name != "."}
    assert down.store.open_runs() == []
    down.service.tell(importer=None)
    assert set(statuses(restore(down.store, "last")).values()) == {"restored"}
    assert held(down.bases) == down.before


def test_an_importer_that_stops_half_way_is_told_row_by_row(down: Down) -> None:
    down.service.tell(importer="half")
    answer = restore(down.store, "last", ALPHA, BETA)
    assert answer.code == 1
    assert sorted(statuses(answer).values()) == ["failed", "restored"]
    (back,) = [key for key, status in answer.rows if status == "restored"]
    assert {ALPHA, BETA} & down.bases.listed() == {back}
    assert down.files() == set()
    down.service.tell(importer=None)
    assert set(statuses(restore(down.store, "last")).values()) == {"restored", "already_restored"}
    assert held(down.bases) == down.before


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no zstd", "cannot unpack"),
        ("cut", "cannot be unpacked"),
        ("damaged", "cannot be unpacked"),
        ("empty", "cannot be unpacked"),
        ("other session", "does not hold the transcript of"),
    ],
)
def test_a_transcript_that_cannot_be_had_is_told_before_anything_is_changed(
    down: Down, how: str, said: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "no zstd":
        for package in ("compression", "backports"):
            monkeypatch.setitem(sys.modules, f"{package}.zstd", None)
            monkeypatch.delattr(sys.modules.get(package), "zstd", raising=False)
    else:
        whole = down.archive(ALPHA).read_bytes()
        contents = {"cut": whole[:-7], "damaged": whole[:9] + b"\xff" * 9 + whole[18:], "empty": b""}
        rewrite(down, ALPHA, contents.get(how, packed("{}\n")))
    if runs:
        down.service.run("gateway", "start")
    before, calls = held(down.bases), len(down.service.calls())
    answer = restore(down.store, "last", "alpha", *(["--stop-gateway"] if runs else []))
    assert (answer.code, statuses(answer)) == (3, {ALPHA: "failed"})
    assert said in answer.data["error"]["message"]
    assert down.archive(ALPHA).name in answer.data["error"]["message"]
    assert [row["error"] for row in answer.data["results"]] == ["not reached"]
    assert held(down.bases) == before
    assert down.files() == set()
    assert down.store.open_runs() == []
    assert {"gateway stop --json", "doctor"}.isdisjoint(down.service.calls()[calls:])
    assert (down.service.pid is not None) is runs


@pytest.mark.parametrize("number", ["9" * 5000, "1e400"])
def test_the_importer_gets_each_entry_as_it_stood_in_its_row(down: Down, number: str) -> None:
    store = SqliteStore(Home(str(down.store.state), "--state-dir", {}), "project-lead")
    item = Item(
        "alpha", "project-lead", ALPHA, "one", Status.WOULD_RESTORE, entry=f'{{"sessionId":"one","n":{number}}}'
    )
    spoke = item.but(key=BETA, moves=(Move("one.jsonl", "one.jsonl.deleted.x", 0, 0),))
    text = importing.index_for(store, [item, spoke]).decode()
    assert text.startswith(f"{{\n  {json.dumps(ALPHA)}: {item.entry},\n  {json.dumps(BETA)}: {item.entry[:-1]}")
    assert json.dumps(os.path.join(store.folder, "one.jsonl")) in text
    assert "Infinity" not in text


def test_an_entry_that_is_no_object_is_not_handed_to_the_importer(down: Down) -> None:
    before = tree(down.store.state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(returnable, "with_members", mock.Mock(side_effect=[CorruptStore("is odd"), *[""] * 99]))
        answer = restore(down.store, "last", "--dry-run")
    assert (answer.code, set(statuses(answer).values())) == (1, {"failed", "would_restore"})
    assert [row["error"] for row in answer.data["results"] if row["status"] == "failed"] == ["its entry is odd"]
    assert tree(down.store.state) == before


def test_what_was_not_handed_to_the_importer_is_not_said_to_be_its_fault(
    down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(importing, "write_transcripts", full)
    answer = restore(down.store, "last", "alpha")
    assert answer.code == 1
    assert [(row["status"], row["error"]) for row in answer.data["results"]] == [("failed", "not reached")]


def test_an_archive_of_a_row_that_is_not_what_it_was_fails_and_the_rest_comes_back(down: Down) -> None:
    path = next(
        path for path in down.bases.archives() if down.before["project-lead"][0][ALPHA][0]["sessionId"] in path.name
    )
    status = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    gone = next(
        path for path in down.bases.archives() if down.before["project-lead"][0][BETA][0]["sessionId"] in path.name
    )
    gone.unlink()
    answer = restore(down.store, "last")
    assert answer.code == 1
    assert statuses(answer) == dict.fromkeys(DELETED, "restored") | {ALPHA: "failed", BETA: "failed"}
    assert {ALPHA, BETA}.isdisjoint(down.bases.listed())
    assert down.files() == set()


def test_a_key_of_a_database_that_is_in_use_again_is_a_conflict(down: Down) -> None:
    with down.bases.open("project-lead") as connection:
        columns = "session_key, current_session_id, entry_json, updated_at"
        values = (ALPHA, session_id("anew"), '{"sessionId": "anew", "updatedAt": 1}', 1)
        connection.execute(f"insert into session_nodes ({columns}) values (?, ?, ?, ?)", values)
    row = down.bases.rows()[ALPHA]
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(DELETED, "restored") | {ALPHA: "conflict"})
    assert down.bases.rows()[ALPHA] == row


def test_a_row_says_until_when_only_where_openclaw_deletes_the_archives_of_databases(down: Down) -> None:
    assert all("until" not in row for row in restore(down.store, "last", "--check").data["results"])
    down.store.configure(session={"maintenance": {"resetArchiveRetention": "7d"}})
    found = rows(restore(down.store, "last", "--check"))
    stamp = down.archive(ALPHA).name.partition(".deleted.")[2].partition("Z")[0]
    archived = datetime.strptime(stamp + "+0000", "%Y-%m-%dT%H-%M-%S.%f%z")
    assert datetime.fromisoformat(found[ALPHA]["until"]) == (archived + 7 * DAY).replace(microsecond=0)


def test_what_comes_back_archived_is_said_to_be(down: Down) -> None:
    """A run that has deleted what an earlier one had archived brings it back as it was."""
    for words in (("--dry-run",), ()):
        answer = restore(down.store, "last", *words)
        [said] = answer.data["warnings"]
        assert said.startswith("1 of these comes back as it was: archived, and a message is refused; ")
        assert said.endswith(f"restore-sessions --state-dir {down.store.state} --list")
    assert not [said for said in restore(down.store, "last").data["warnings"] if "archived" in said]


def test_a_dry_run_says_that_jobs_stay_off_while_no_gateway_runs(down: Down) -> None:
    off = {"id": "job-1", "asked": 1_480_000_000_000, "at": 1_480_000_000_001}
    edit_receipt(
        down.store,
        lambda data: [
            session.update(jobs=[off])
            for each in data["stores"]
            for session in each["sessions"]
            if session["key"] == ALPHA
        ],
    )
    answer = restore(down.store, "last", "--dry-run")
    said = "1 cron job stays off, as no gateway runs, and the run ends with exit 1; start it, then run it again"
    assert (answer.code, said in answer.data["warnings"]) == (0, True)
    # Only one that ran is started again.
    assert said in restore(down.store, "last", "--dry-run", "--stop-gateway").data["warnings"]
    assert restore(down.store, "last", "--dry-run", "beta").data["warnings"] == []
    done = restore(down.store, "last")
    assert (done.code, said in done.data["warnings"]) == (1, False)
    assert ["job-1 stays off" in str(row["error"]) for row in done.data["results"]].count(True) == 1, done
