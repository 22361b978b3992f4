"""--archive hides sessions of databases and deletes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.journal.journal import Journal
from session_closer.openclaw.gateway import client
from session_closer.openclaw.sqlite import close as asking
from support.commands import close, restore, run_json
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import delete, picture
from support.sqlite import Bases
from support.stores import Store
from support.trees import tree, write


def test_archive_hides_and_deletes_nothing(bases: Bases, stub: StubGateway) -> None:
    before = bases.rows()
    events = bases.events()
    answer = close(bases, "alpha", "beta", "--archive")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "archived"), (LEAD + "beta", "archived")])
    after = bases.rows()
    assert bases.events() == events
    assert not stub.calls("sessions.delete")
    for key in (LEAD + "alpha", LEAD + "beta"):
        assert after[key]["archived_at"] is not None
        assert after.pop(key)["current_session_id"] == before.pop(key)["current_session_id"]
    assert after == before
    (receipt,) = bases.store.receipts()
    assert {(one["status"], one["hidden"]) for one in receipt["stores"][0]["sessions"]} == {("archived", True)}


def test_archive_of_an_archived_session_changes_nothing(bases: Bases, stub: StubGateway) -> None:
    before = picture(bases)
    answer = close(bases, "put-away", "--archive")
    assert (answer.code, answer.rows) == (0, [(LEAD + "put-away", "already_closed")])
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("how", [["--archive"], []])
def test_what_was_archived_or_deleted_by_a_run_and_is_gone_is_closed_already(bases: Bases, how: list[str]) -> None:
    close(bases, "alpha", *how)
    with bases.open("project-lead") as connection:
        connection.execute("delete from session_nodes where session_key = ?", (LEAD + "alpha",))
    answer = close(bases, "alpha")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "already_closed")])


@pytest.mark.parametrize("killed", [False, True])
def test_an_archive_of_years_ago_is_none_of_a_session_that_left_none(
    bases: Bases, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    session = bases.rows()[LEAD + "never-spoken"]["current_session_id"]
    for stamp in ("2019-05-01T10-00-00.000Z", f"2020-05-01T10-00-00.000Z.{'0' * 32}.zst"):
        write(bases.store.folder() / f"{session}.jsonl.deleted.{stamp}", "of years ago")
    real = client.delete

    def leaves_no_archive(*words: Any, **more: Any) -> list[str]:
        for path in real(*words, **more):
            Path(path).unlink(missing_ok=True)
        return []

    monkeypatch.setattr(client, "delete", leaves_no_archive)
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", lambda *_: "")
            patch.setattr(asking, "settled", lambda work: work.record)
            delete(bases, "never-spoken")
        assert bases.store.open_runs()
        delete(bases, "alpha")
    else:
        assert delete(bases, "never-spoken").rows == [(LEAD + "never-spoken", "closed")]
    (found,) = [row for receipt in bases.store.receipts() for store in receipt["stores"] for row in store["sessions"]
                if row["key"] == LEAD + "never-spoken"]  # fmt: skip
    assert (found["status"], found["moves"]) == ("closed", [])


def test_keep_only_can_archive(bases: Bases) -> None:
    count = len(bases.listed())
    answer = close(bases, "alpha", "--archive", command=KeepOnlySessions)
    assert (answer.code, {status for _, status in answer.rows}) == (0, {"archived"})
    rows = bases.rows()
    assert len(rows) == count
    assert {key for key, row in rows.items() if row["archived_at"] is None} == {LEAD + "main", LEAD + "alpha"}


def test_a_dry_run_of_archive_says_so_and_changes_nothing(bases: Bases) -> None:
    before = picture(bases)
    answer = close(bases, "alpha", "--archive", "--dry-run")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "would_archive")])
    assert picture(bases) == before


def test_a_file_store_knows_no_archive(store: Store) -> None:
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", "--archive", state=store.state)
    assert (answer.code, answer.error) == (3, "no_archive")
    assert tree(store.state) == before


@pytest.mark.parametrize("how", [["--archive"], ["--delete"]])
def test_what_a_database_has_of_sessions_is_what_is_put_away(bases: Bases, how: list[str]) -> None:
    sessions = {bases.rows()[LEAD + tail]["current_session_id"] for tail in ("alpha", "beta")}
    size = sum(len(text.encode()) for (session, _), text in bases.events().items() if session in sessions)
    assert size > 0
    for words in ([*how, "--dry-run"], how):
        answer = close(bases, "alpha", "beta", *words)
        assert answer.data["putAway"] == {"count": 2, "bytes": size}
        assert answer.data["freed"] == {"count": 0, "bytes": 0}


def test_nobody_has_weighed_what_comes_back_in_a_database(bases: Bases) -> None:
    close(bases, "alpha")
    for words in (["--dry-run"], []):
        answer = restore(bases, "last", *words)
        assert answer.data["broughtBack"] == {"count": 1, "bytes": None}


def archived(bases: Bases, count: int) -> None:
    many = [f"{LEAD}many-{number}" for number in range(count)]
    for key in many:
        bases.add(key, events=1)
    assert run_json(CloseProjectBatch, "--archive", "--yes", *many, state=bases.store.state).code == 0


def test_a_gateway_that_takes_many_back_answers_others_between_two_calls(bases: Bases, stub: StubGateway) -> None:
    """Whoever has asked it for a list waits until no more come: ours is answered behind theirs."""
    archived(bases, 30)
    before = len(stub.methods())
    assert restore(bases, "last").code == 0
    order = stub.methods()[before:]
    first, *_, last = (at for at, method in enumerate(order) if method == "sessions.patchMany")
    calls = order.count("sessions.patchMany")
    assert calls > 1
    assert order[first : last + 1] == ["sessions.patchMany", "sessions.list"] * (calls - 1) + ["sessions.patchMany"]
    asked = [call for call in stub.calls("sessions.list") if call.get("limit") == 1]
    assert asked == [{"agentId": "project-lead", "limit": 1}] * (calls - 1)


@pytest.mark.parametrize("why", ["UNAVAILABLE", "INVALID_REQUEST"])
def test_a_gateway_that_makes_no_list_brings_all_back(bases: Bases, stub: StubGateway, why: str) -> None:
    archived(bases, 30)
    stub.tell(faults=[{"method": "sessions.list", "do": "error", "error": {"code": why, "message": "not now"}}])
    answer = restore(bases, "last")
    assert (answer.code, {status for _, status in answer.rows}) == (0, {"restored"})
