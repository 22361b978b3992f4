"""One file for all agents (`session.store` without `{agentId}`): also those that have nothing else here."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.cleanup import HOUR, ago
from support.commands import run_json
from support.keys import session_id
from support.stores import Store
from support.trees import write

KEYS = ["agent:coder:subagent:x", "agent:main:subagent:x"]


@pytest.fixture
def shared(tmp_path: Path, closed_port: int) -> Store:
    """A state directory whose configuration names one file and no agent; no agent has a folder."""
    store = Store(tmp_path / "state", closed_port)
    store.configure(agents={}, session={"store": str(index_of(store))})
    rows = {key: {"sessionId": session_id(key), "updatedAt": ago(50 * HOUR)} for key in KEYS}
    index_of(store).parent.mkdir(mode=0o700)
    write(index_of(store), json.dumps(rows))
    return store


def index_of(store: Store) -> Path:
    return store.state / "shared" / "sessions.json"


@pytest.mark.parametrize("folders", [(), ("main",), ("main", "coder")])
@pytest.mark.parametrize("words", [(), ("--store",), ("--all-agents",)])
def test_a_cleanup_takes_the_rows_of_each_agent_that_a_key_names(
    shared: Store, folders: tuple[str, ...], words: tuple[str, ...]
) -> None:
    for agent in folders:
        shared.folder(agent).mkdir(parents=True)
    words = (*words, str(index_of(shared))) if "--store" in words else words
    for dry in (("--dry-run",), ()):
        answer = run_json(CleanupSessions, *words, *dry, state=shared.state)
        assert (answer.code, sorted(key for key, _ in answer.rows)) == (0, KEYS)
        assert answer.data["warnings"] == []
    assert json.loads(index_of(shared).read_bytes()) == {}
    assert run_json(RestoreSessions, "last", state=shared.state).code == 0
    assert sorted(json.loads(index_of(shared).read_bytes())) == KEYS


def test_a_file_that_cannot_be_read_is_no_clean_one(shared: Store) -> None:
    write(index_of(shared), "[]")
    answer = run_json(CleanupSessions, state=shared.state)
    assert answer.code != 0
    assert "not a JSON object" in json.dumps(answer.data)


def test_a_file_without_a_row_is_a_store(shared: Store) -> None:
    write(index_of(shared), "{}")
    for command in (CleanupSessions, ListSessions):
        answer = run_json(command, "--store", str(index_of(shared)), state=shared.state)
        assert (answer.code, answer.data["warnings"]) == (0, [])
