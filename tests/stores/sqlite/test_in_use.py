"""A session of a database that is used, before or in the middle of its close, stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.commands import Answer, close
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import delete, others, picture, the_row
from support.sqlite import Bases, begun_run, event, reset


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_a_run_in_flight_is_refused(bases: Bases, stub: StubGateway, words: tuple[str, ...]) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = close(bases, "alpha", *words)
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


def test_a_run_in_flight_is_ended_by_force(bases: Bases, stub: StubGateway) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = delete(bases, "alpha", "--force")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")


def test_a_status_that_the_gateway_does_not_confirm_is_left_over(bases: Bases, stub: StubGateway) -> None:
    bases.add(LEAD + "crashed", status="running")
    stub.tell(stale=[LEAD + "crashed"])
    assert delete(bases, "crashed").rows == [(LEAD + "crashed", "closed")]


def test_a_cron_run_that_says_running_is_refused_as_no_list_has_it(bases: Bases) -> None:
    key = LEAD + "cron:nightly:run:beef"
    bases.add(key, status="running")
    before = picture(bases)
    answer = delete(bases, key)
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before
    assert delete(bases, key, "--force").rows == [(key, "closed")]


def test_a_run_that_begins_after_the_first_look_is_refused(bases: Bases, stub: StubGateway) -> None:
    """The first list shows no run, the second one, under the lock, does."""
    stub.tell(faults=[{"method": "sessions.list", "call": [1], "do": "write-after", "agent": "project-lead",
                       "sql": [begun_run(LEAD + "alpha")]}])  # fmt: skip
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "refused"), (LEAD + "beta", "closed")]
    row = bases.rows()[LEAD + "alpha"]
    assert (row["status"], row["archived_at"]) == ("running", None)


def came_back(bases: Bases, stub: StubGateway, *sql: Any, when: str = "write-before") -> Answer:
    """Close two sessions while somebody writes just ahead of the archive, or just after it."""
    fault = {"method": "sessions.patchMany", "call": [1], "do": when, "agent": "project-lead", "sql": list(sql)}
    stub.tell(faults=[fault])
    answer = delete(bases, "alpha", "beta")
    assert answer.code == 1
    assert answer.rows == [(LEAD + "alpha", "came_back"), (LEAD + "beta", "closed")]
    row = bases.rows()[LEAD + "alpha"]
    assert row["archived_at"] is None
    assert "archivedAt" not in json.loads(row["entry_json"])
    assert [call["key"] for call in stub.calls("sessions.delete")] == [LEAD + "beta"]
    (receipt,) = bases.store.receipts()
    status = {session["key"]: session["status"] for session in receipt["stores"][0]["sessions"]}
    assert status == {LEAD + "alpha": "came_back", LEAD + "beta": "closed"}
    return answer


def test_a_message_that_arrives_before_the_archive_keeps_the_session(bases: Bases, stub: StubGateway) -> None:
    session = bases.rows()[LEAD + "alpha"]["current_session_id"]
    came_back(bases, stub, event(session, 2, "wait, one more thing"))
    assert "one more thing" in bases.events()[session, 2]
    assert len(bases.archives()) == 1


def test_a_run_that_begins_just_before_the_archive_keeps_the_session(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, begun_run(LEAD + "alpha"))


def test_a_session_that_is_reset_before_the_archive_stays(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, *reset(LEAD + "alpha", "a-new-session"))
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_a_session_that_is_restored_and_reset_after_the_archive_stays(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, *reset(LEAD + "alpha", "a-new-session"), when="write-after")


def test_a_session_that_is_reset_before_its_deletion_stays(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "write-before", "agent": "project-lead",
                       "sql": reset(LEAD + "alpha", "a-new-session")}])  # fmt: skip
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "came_back"), (LEAD + "beta", "closed")]
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_an_archived_session_that_is_used_stays_archived(bases: Bases, stub: StubGateway) -> None:
    """It was archived by somebody else, so it is not taken out of there."""
    before = bases.rows()[LEAD + "put-away"]
    stub.tell(faults=[{"method": "sessions.patchMany", "call": [1], "do": "write-before", "agent": "project-lead",
                       "sql": [event(before["current_session_id"], 2)]}])  # fmt: skip
    answer = delete(bases, "put-away", "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "put-away", "came_back"), (LEAD + "alpha", "closed")])
    assert bases.rows()[LEAD + "put-away"] == before
    assert (before["current_session_id"], 2) in bases.events()
