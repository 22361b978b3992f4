"""Databases are changed by their gateway alone: without it, or with another, nothing happens."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import close, run_process
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import OTHER_PLACE, delete, others, picture
from support.sqlite import Bases, database
from support.trees import tree


def test_nothing_happens_while_the_gateway_is_down(down: Bases) -> None:
    before = tree(down.store.state)
    for words in ((), ("--archive",), ("--via", "gateway"), ("--dry-run",)):
        answer = close(down, "alpha", *words)
        assert (answer.code, answer.error) == (6, "gateway_needed")
        assert "openclaw gateway start" in answer.data["error"]["remedy"]
        assert answer.data["receipt"] is None
        assert tree(down.store.state) == before


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (CloseProjectBatch, ("nowhere",), 1),
        (CloseProjectBatch, ("main",), 3),
        (CloseProjectBatch, ("put-away", "--archive"), 0),
        (KeepOnlySessions, ("nowhere",), 3),
    ],
)
def test_what_changes_nothing_needs_no_gateway(down: Bases, command: Any, words: tuple[str, ...], code: int) -> None:
    before = tree(down.store.state)
    assert close(down, *words, command=command).code == code
    assert tree(down.store.state) == before


def test_a_dry_run_of_a_database_that_is_in_use_sees_what_is_in_its_wal(bases: Bases) -> None:
    bases.add(LEAD + "brand-new")
    path = database(bases.store.state, "project-lead")
    raw, before = path.read_bytes(), picture(bases)
    answer = delete(bases, "brand-new", "--dry-run")
    assert (answer.code, answer.rows) == (0, [(LEAD + "brand-new", "would_close")])
    assert path.read_bytes() == raw
    assert picture(bases) == before
    assert not (bases.store.state / "session-closer").exists()


def test_a_wrong_token_is_exit_6(bases: Bases) -> None:
    bases.store.configure(token="a-wrong-one")
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "token mismatch" in answer.data["error"]["message"]
    assert "a-wrong-one" not in json.dumps(answer.data) + answer.stderr
    assert picture(bases) == before


def test_a_gateway_of_another_state_directory_is_exit_6(bases: Bases, stub: StubGateway) -> None:
    stub.tell(hello=OTHER_PLACE)
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert OTHER_PLACE in json.dumps(answer.data["gateway"])
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
def test_a_connection_that_breaks_is_exit_6_and_the_same_command_finishes(
    bases: Bases, stub: StubGateway, fault: str
) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [2], "do": fault}])
    before = picture(bases)
    answer = delete(bases, "alpha", "beta", "kelly-dashboard")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    expected = ("closed", None, True) if fault == "drop-after" else ("archived", "pending", False)
    assert [(row["status"], row["reason"], row["ok"]) for row in answer.data["results"]] == [
        ("closed", None, True), expected, ("archived", "pending", False),
    ]  # fmt: skip
    assert answer.data["kept"] == len(before["project-lead"][0]) - 3
    assert "the same command again" in answer.data["error"]["remedy"]
    assert bases.store.open_runs()
    again = delete(bases, "alpha", "beta", "kelly-dashboard")
    assert (again.code, {status for _, status in again.rows}) == (0, {"already_closed"})
    assert others(bases, before, *(LEAD + tail for tail in ("alpha", "beta", "kelly-dashboard")))
    assert not bases.store.open_runs()


def test_two_commands_at_once_close_everything_once(bases: Bases) -> None:
    targets = [f"{LEAD}many-{number}" for number in range(12)]
    for key in targets:
        bases.add(key)
    before = picture(bases)
    with ThreadPoolExecutor() as pool:
        parts = (targets[:8], targets[4:])
        running = [
            pool.submit(run_process, "close-project-batch", "--json", "--delete", *part, state=bases.store.state)
            for part in parts
        ]
    results = [each.result() for each in running]
    assert [result.code for result in results] == [0, 0], results
    rows = [row for result in results for row in json.loads(result.stdout)["results"]]
    assert {row["status"] for row in rows} <= {"closed", "already_closed"}
    closed = [row["key"] for row in rows if row["status"] == "closed"]
    assert sorted(closed) == sorted(targets)
    assert others(bases, before, *targets)
    assert len(bases.archives()) == len(targets)
