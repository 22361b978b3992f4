"""A gateway that lies, stumbles or is slow: no session is said to be closed that is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import close, run
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import delete, others, picture, the_row
from support.sqlite import Bases


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_an_archive_that_did_not_happen_is_no_closed_session_and_nothing_is_deleted(
    bases: Bases, stub: StubGateway, words: tuple[str, ...]
) -> None:
    stub.tell(faults=[{"method": "sessions.patchMany", "do": "lie"}])
    before = picture(bases)
    answer = close(bases, "alpha", *words)
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "failed")])
    assert "not closed" in the_row(answer)["error"]
    assert picture(bases) == before
    assert not stub.calls("sessions.delete")


def test_a_deletion_that_did_not_happen_is_no_closed_session(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "lie"}])
    answer = delete(bases, "alpha", "beta")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "archived"), (LEAD + "beta", "closed")])
    hidden = answer.data["results"][0]
    assert (hidden["ok"], hidden["reason"], hidden["archives"]) == (False, None, [])
    assert "not deleted" in hidden["error"]
    assert bases.rows()[LEAD + "alpha"]["archived_at"] is not None
    (receipt,) = bases.store.receipts()
    assert {s["key"]: s["status"] for s in receipt["stores"][0]["sessions"]}[LEAD + "alpha"] == "archived"


def test_what_was_hidden_and_not_deleted_is_seen_again_after_the_undo(bases: Bases, stub: StubGateway) -> None:
    before = bases.rows()[LEAD + "alpha"]
    stub.tell(faults=[{"method": "sessions.delete", "do": "error", "error": {"message": "locked"}}])
    closed = delete(bases, "alpha")
    assert (closed.code, closed.rows) == (1, [(LEAD + "alpha", "archived")])
    back = close(bases, Path(closed.data["receipt"]).stem, command=RestoreSessions)
    assert (back.code, back.rows) == (0, [(LEAD + "alpha", "restored")])
    after = bases.rows()[LEAD + "alpha"]
    assert {**after, "updated_at": 0, "entry_json": ""} == {**before, "updated_at": 0, "entry_json": ""}


@pytest.mark.parametrize("words", [(), ("--verbose",)])
def test_what_is_hidden_and_waits_for_its_deletion_is_called_so(
    bases: Bases, stub: StubGateway, words: tuple[str, ...]
) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [2], "do": "drop-before"}])
    said = run(CloseProjectBatch, "--delete", "alpha", "beta", *words, state=bases.store.state)
    assert (said.code, said.stdout.splitlines()[0].split(",")[:2]) == (6, ["1 closed", " 1 archived"])
    (line,) = [line for line in said.stdout.splitlines() if LEAD + "beta" in line]
    assert "archived" in line
    assert "its deletion is pending: the same command again finishes it" in line
    assert "failed" not in said.stdout


def test_what_the_gateway_still_lists_is_no_closed_session(bases: Bases, stub: StubGateway) -> None:
    session = bases.rows()[LEAD + "alpha"]["current_session_id"]
    stub.tell(ghosts=[{"key": LEAD + "alpha", "sessionId": session, "hasActiveRun": False}])
    answer = delete(bases, "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "failed")])
    assert "lists it still" in the_row(answer)["error"]
    (receipt,) = bases.store.receipts()
    assert receipt["stores"][0]["sessions"][0]["status"] == "failed"


def test_a_key_that_is_used_again_at_once_has_come_back(bases: Bases, stub: StubGateway) -> None:
    stub.tell(ghosts=[{"key": LEAD + "alpha", "sessionId": "another", "hasActiveRun": False}])
    assert delete(bases, "alpha").rows == [(LEAD + "alpha", "came_back")]


def test_one_refused_deletion_stops_no_other(bases: Bases, stub: StubGateway) -> None:
    refused = {"message": "This session cannot be deleted while model selection is locked."}
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "error", "error": refused}])
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "archived"), (LEAD + "beta", "closed")]
    assert "model selection is locked" in answer.data["results"][0]["error"]


def test_a_refused_archive_deletes_nothing(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.patchMany", "do": "error", "error": {"message": "the disk is full"}}])
    before = picture(bases)
    answer = delete(bases, "alpha", "beta")
    assert (answer.code, {status for _, status in answer.rows}) == (1, {"failed"})
    assert "the disk is full" in answer.data["results"][0]["error"]
    assert picture(bases) == before
    assert not stub.calls("sessions.delete")


@pytest.mark.parametrize("method", ["connect", "sessions.list", "sessions.patchMany", "sessions.delete"])
def test_a_gateway_that_asks_to_be_asked_again_is(bases: Bases, stub: StubGateway, method: str) -> None:
    stub.tell(faults=[{"method": method, "call": [1, 2], "do": "retryable"}])
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")
    assert len(stub.calls(method)) > 2
