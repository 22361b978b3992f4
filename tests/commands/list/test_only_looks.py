"""list-sessions only looks: nothing is changed or started, and what runs is said to run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run
from support.gateway import StubGateway
from support.keys import LEAD
from support.listing import listed, row_of
from support.sqlite import Bases
from support.stores import Stage, Store
from support.trees import tree, write

# It only looks


@pytest.mark.parametrize("life", ["down", "up", "mute", "unknown"])
def test_the_tree_is_byte_identical_and_no_openclaw_is_started(stage: Stage, tmp_path: Path, life: str) -> None:
    store = stage(life)
    before = tree(store.state)
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    run(ListSessions, "--verbose", state=store.state)
    assert tree(store.state) == before
    assert not (tmp_path / "bin" / "calls").exists()


def test_a_database_is_left_as_it_is(filled: Store) -> None:
    before = tree(filled.state)
    listed(filled, "--limit", "all")
    run(ListSessions, state=filled.state)
    assert tree(filled.state) == before


@pytest.mark.parametrize("filled", ["sqlite"], indirect=True)
def test_what_is_only_in_the_log_of_a_database_is_seen(filled: Store) -> None:
    with Bases(filled).open("project-lead") as connection:
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("update session_nodes set status = 'failed' where session_key = ?", (LEAD + "main",))
        assert row_of(listed(filled), LEAD + "main")["status"] == "failed"


# What runs


def test_a_session_runs_if_its_gateway_says_so(stage: Stage, stub: StubGateway) -> None:
    store = stage("up", active=[LEAD + "alpha", "agent:researcher:kelly-dashboard"])
    answer = listed(store)
    running = {row["key"] for row in answer.data["sessions"] if row["running"]}
    assert running == {LEAD + "alpha", "agent:researcher:kelly-dashboard"}
    assert row_of(answer, LEAD + "alpha")["protected"] == "running"
    assert set(stub.methods()) <= {"connect", "sessions.list"}
    assert answer.data["gateway"]["state"] == "up"


def test_a_session_runs_if_a_live_process_holds_its_transcript(store: Store) -> None:
    store.lock_transcript(LEAD + "kelly-dashboard")
    answer = listed(store)
    assert [row["key"] for row in answer.data["sessions"] if row["running"]] == [LEAD + "kelly-dashboard"]
    assert row_of(answer, LEAD + "kelly-dashboard")["protected"] == "running"


@pytest.mark.parametrize(("life", "running"), [("down", False), ("unknown", True), ("mute", True)])
def test_a_status_counts_where_nobody_can_rule_it_out(stage: Stage, life: str, running: bool) -> None:
    store = stage(life)
    key = LEAD + "says-so"
    store.add((key, store.session(key, status="running")))
    row = row_of(listed(store), key)
    assert (row["status"], row["running"], row["protected"]) == ("running", running, "running" if running else None)


def test_a_gateway_that_was_named_has_to_answer(store: Store, tmp_path: Path) -> None:
    token = tmp_path / "token"
    write(token, "secret")
    answer = listed(store, "--url", f"ws://127.0.0.1:{store.port}", "--token-file", str(token))
    assert (answer.code, answer.data["error"]["name"]) == (6, "gateway_needed")
    assert "secret" not in json.dumps(answer.data) + answer.stderr
