"""A cleanup of many agents: what it asks of the others' stores, and what it gives back, however many they are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from session_closer.artifacts import measuring
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.files.port import Files
from session_closer.operations import apply
from support.commands import run_json
from support.stores import Store

# More than a run looks at all of, each time it asks what others use.
MANY = 70


def fill(store: Store, count: int) -> list[str]:
    """Give so many agents a stale session each; return the agents."""
    agents = [f"agent-{number:03d}" for number in range(count)]
    for agent in agents:
        key = f"agent:{agent}:subagent:old"
        store.write({key: store.session(key, agent=agent)}, agent)
    return agents


def transcript(store: Store, agent: str) -> Path:
    [row] = store.entries(agent).values()
    return Path(row["sessionFile"])


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    return Store(tmp_path / "state", closed_port)


@pytest.mark.parametrize("taker", [1, 40, MANY - 1])
@pytest.mark.parametrize("lender", [0, 39])
def test_a_file_that_another_agent_takes_into_use_meanwhile_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, lender: int, taker: int
) -> None:
    agents = fill(store, MANY)
    path, real, done = transcript(store, agents[lender]), Files.take_out, []
    before = path.read_bytes()

    def taken(self: Files, *arguments: Any, **named: Any) -> list[str]:
        gone = real(self, *arguments, **named)
        if self.agent == agents[lender]:
            row = {"sessionId": "taker", "updatedAt": 1, "sessionFile": str(path)}
            store.add((f"agent:{agents[taker]}:taker", row), agent=agents[taker])
            done.append(self.agent)
        return gone

    monkeypatch.setattr(Files, "take_out", taken)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (answer.code, done) == (0, [agents[lender]])
    assert path.read_bytes() == before
    told = f'"{path.name}" is used by a session of agent {agents[taker]} by now: it stays where it is'
    assert told in answer.data["warnings"]
    [receipt] = store.receipts()
    moves = {each["agent"]: each["sessions"][0]["moves"] for each in receipt["stores"]}
    assert [agent for agent, of_it in moves.items() if not of_it] == [agents[lender]]


def test_all_of_it_comes_back(store: Store) -> None:
    agents = fill(store, MANY)
    before = {agent: (store.entries(agent), transcript(store, agent).read_bytes()) for agent in agents}
    assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state).code == 0
    assert [store.entries(agent) for agent in agents] == [{}] * MANY
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert {agent: (store.entries(agent), transcript(store, agent).read_bytes()) for agent in agents} == before


@pytest.mark.long
def test_looks_at_others_do_not_grow_with_the_square_of_the_agents(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    real = measuring.stamp

    def counted(path: str) -> Any:
        looks.append(path)
        return real(path)

    monkeypatch.setattr(measuring, "stamp", counted)
    took = []
    for count in (2 * MANY, 4 * MANY):
        store = Store(tmp_path / str(count), closed_port)
        fill(store, count)
        looks.clear()
        assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state).code == 0
        took.append(len(looks))
    assert took[1] < 3 * took[0]


def test_what_is_put_away_after_the_sessions_leaves_them_in_the_receipt(store: Store) -> None:
    """Files of no session are put away last, when the sessions of their store have been let go of."""
    agents = fill(store, 3)
    old = time.time() - 3 * 86400
    strays = [store.transcript("stray.jsonl", agent) for agent in agents]
    for path in strays:
        os.utime(path, (old, old))
    before = {agent: store.entries(agent) for agent in agents}
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--orphans", "1h", "--yes", state=store.state)
    assert (answer.code, [row["status"] for row in answer.data["results"]]) == (0, ["closed", "archived"] * 3)
    [receipt] = store.receipts()
    kept = [(len(each["sessions"]), len(each["orphans"])) for each in receipt["stores"]]
    assert kept == [(1, 1)] * 3
    assert {each["sessions"][0]["status"] for each in receipt["stores"]} == {"closed"}
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert {agent: store.entries(agent) for agent in agents} == before
    assert all(path.exists() for path in strays)


def test_what_came_back_at_the_end_is_told_as_it_is_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = fill(store, 3)
    rows = {agent: store.entries(agent) for agent in agents}
    real = apply.restart_once

    def written(*run: Any) -> Any:
        store.write(rows[agents[1]], agents[1])
        return real(*run)

    monkeypatch.setattr(apply, "restart_once", written)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    told = {row["agent"]: (row["status"], len(row["archives"])) for row in answer.data["results"]}
    assert (answer.code, told) == (
        1,
        {agents[0]: ("closed", 1), agents[1]: ("came_back", 0), agents[2]: ("closed", 1)},
    )
    assert transcript(store, agents[1]).exists()
    [receipt] = store.receipts()
    assert [each["sessions"][0]["status"] for each in receipt["stores"]] == ["closed", "came_back", "closed"]
