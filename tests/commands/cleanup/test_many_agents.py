"""A cleanup of many agents: what it asks of the others' stores, and what it gives back, however many they are."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from session_closer.artifacts import measuring
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import ExitCode, StorageFailed
from session_closer.journal.journal import Journal
from session_closer.journal.record import StoreRecord
from session_closer.openclaw.files.port import Files
from session_closer.operations import apply, by_store
from session_closer.operations.take_out import Closing
from support.commands import Answer, run, run_json
from support.stores import Store
from support.trees import write

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


def test_a_damaged_store_is_warned_of_once_however_many_agents_there_are(store: Store) -> None:
    fill(store, 6)
    write(store.index("agent-003"), b"[]")
    told = "the store of agent agent-003 is not a JSON object: what else it uses of other agents is not known"
    for words in (("--dry-run",), ()):
        answer = run_json(CleanupSessions, "--all-agents", "--yes", *words, state=store.state)
        assert answer.data["warnings"] == [told]


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    return Store(tmp_path / "state", closed_port)


def take(store: Store, path: Path, taker: str) -> None:
    """Have an agent take a file into use, also one that was not there until now."""
    row = {"sessionId": "taker", "updatedAt": 1, "sessionFile": str(path)}
    store.add((f"agent:{taker}:taker", row), agent=taker)


def check_given_back(store: Store, answer: Answer, path: Path, lender: str, taker: str) -> None:
    """Assert that a run has told of the one file that stays, and has none of it in its receipt."""
    assert answer.code == 0
    told = f'"{path.name}" is used by a session of agent {taker} by now: it stays where it is'
    assert told in answer.data["warnings"]
    [receipt] = store.receipts()
    moves = {each["agent"]: each["sessions"][0]["moves"] for each in receipt["stores"]}
    assert [agent for agent, of_it in moves.items() if not of_it] == [lender]


@pytest.mark.parametrize("taker", [1, 40, MANY - 1, MANY])
@pytest.mark.parametrize("lender", [0, 39])
def test_a_file_that_another_agent_takes_into_use_meanwhile_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, lender: int, taker: int
) -> None:
    agents = [*fill(store, MANY), "newcomer"]
    path, real, done = transcript(store, agents[lender]), Files.take_out, []
    before = path.read_bytes()

    def taken(self: Files, *arguments: Any, **named: Any) -> list[str]:
        gone = real(self, *arguments, **named)
        if self.agent == agents[lender]:
            take(store, path, agents[taker])
            done.append(self.agent)
        return gone

    monkeypatch.setattr(Files, "take_out", taken)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (done, path.read_bytes()) == ([agents[lender]], before)
    check_given_back(store, answer, path, agents[lender], agents[taker])


@pytest.mark.parametrize("taker", [1, MANY - 1, MANY])
def test_a_file_that_another_agent_takes_into_use_at_the_end_comes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, taker: int
) -> None:
    """Only the last look can tell, and that of the first store; no part of the indexes has both takers in it."""
    agents = [*fill(store, MANY), "newcomer"]
    path, real, away = transcript(store, agents[0]), apply.restart_once, []
    before = path.read_bytes()

    def taken(*run: Any) -> Any:
        away.append(not path.exists())
        take(store, path, agents[taker])
        return real(*run)

    monkeypatch.setattr(apply, "restart_once", taken)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (away, path.read_bytes()) == ([True], before)
    check_given_back(store, answer, path, agents[0], agents[taker])


def test_a_file_that_is_taken_into_use_is_back_before_the_restart(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = fill(store, 3)
    path, follow_up, restart, there = transcript(store, agents[0]), Closing.follow_up, apply.restart_once, []

    def taken(change: Closing) -> None:
        there.append(path.exists())
        take(store, path, agents[2])
        follow_up(change)

    def restarted(*run: Any) -> Any:
        there.append(path.exists())
        return restart(*run)

    monkeypatch.setattr(Closing, "follow_up", taken)
    monkeypatch.setattr(apply, "restart_once", restarted)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert there == [False, True]
    check_given_back(store, answer, path, agents[0], agents[2])


@pytest.mark.parametrize("taker", [1, MANY - 1])
def test_a_dry_run_tells_which_file_another_agent_uses(store: Store, taker: int) -> None:
    agents = fill(store, MANY)
    path = transcript(store, agents[0])
    take(store, path, agents[taker])
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--dry-run", "--yes", state=store.state)
    told = f'"{path.name}" is used by a session of agent {agents[taker]}: left where it is'
    assert (answer.code, answer.data["warnings"]) == (0, [told])


def test_all_of_it_comes_back(store: Store) -> None:
    agents = fill(store, MANY)
    before = {agent: (store.entries(agent), transcript(store, agent).read_bytes()) for agent in agents}
    assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state).code == 0
    assert [store.entries(agent) for agent in agents] == [{}] * MANY
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert {agent: (store.entries(agent), transcript(store, agent).read_bytes()) for agent in agents} == before
    for receipt in store.receipts():
        told = [(one["agent"], row["key"]) for one in receipt["stores"] for row in one["sessions"]]
        assert told == [(agent, f"agent:{agent}:subagent:old") for agent in agents]
        assert receipt["results"] == []


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
    assert (answer.code, [row["status"] for row in answer.data["results"]]) == (0, [*["closed"] * 3, *["archived"] * 3])
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
    sizes = [transcript(store, agent).stat().st_size for agent in agents]
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
    assert [row["bytes"] for row in answer.data["results"]] == sizes
    [receipt] = store.receipts()
    assert [each["sessions"][0]["status"] for each in receipt["stores"]] == ["closed", "came_back", "closed"]


@pytest.mark.parametrize(("most", "others"), [(3, {1}), (2, {0})])
def test_of_more_sessions_than_there_is_room_for_one_store_is_kept_at_a_time(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int, others: set[int]
) -> None:
    agents = fill(store, 3)
    monkeypatch.setattr(by_store, "MOST", most)
    held: list[int] = []
    real = Files.take_out

    def watched(self: Files, *words: Any, **more: Any) -> list[str]:
        later = [one for agent, one in self._here.stores.items() if agent > self.agent]
        held.extend(len(one.sessions()) for one in later if isinstance(one, Files))
        return real(self, *words, **more)

    monkeypatch.setattr(Files, "take_out", watched)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert [(row["agent"], row["status"]) for row in answer.data["results"]] == [(agent, "closed") for agent in agents]
    assert (len(held), set(held)) == (3, others)


def test_what_has_become_stale_since_the_plan_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = fill(store, 3)
    young = f"agent:{agents[1]}:subagent:young"
    row = store.session(young, agent=agents[1])
    store.add((young, {**row, "updatedAt": int(time.time() * 1000)}), agent=agents[1])
    real = Files.clean

    def aged(self: Files) -> None:
        real(self)
        if self.agent == agents[1]:
            store.add((young, {**row, "updatedAt": 1}), agent=agents[1])

    monkeypatch.setattr(Files, "clean", aged)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (answer.code, len(answer.data["results"]), list(store.entries(agents[1]))) == (0, 3, [young])
    assert [each["pruned"] for each in answer.data["stores"]] == [1, 1, 1]


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_files_that_speak_of_sessions_are_told_of_each_agent(store: Store, words: tuple[str, ...]) -> None:
    agents = fill(store, 3)
    [(key, _)], [(_, row)] = store.entries(agents[0]).items(), store.entries(agents[2]).items()
    notes = store.state / "notes"
    notes.mkdir()
    (notes / "by-key.json").write_text(json.dumps({"about": key}))
    (notes / "by-id.json").write_text(json.dumps({"about": row["sessionId"]}))
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", *words, state=store.state)
    spoken = {row["agent"]: [one["kind"] for one in row["effects"]] for row in answer.data["results"]}
    assert spoken == {agents[0]: ["file:notes/by-key.json"], agents[1]: [], agents[2]: ["file:notes/by-id.json"]}


def test_what_was_closed_is_told_where_the_record_cannot_be_read_in_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    agents = fill(store, 3)

    def lost(journal: Journal, record: StoreRecord) -> StoreRecord:
        raise StorageFailed(f"{journal.path} is gone", "look at the disk")

    monkeypatch.setattr(Journal, "whole", lost)
    answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (answer.error, answer.data["resultsTotal"]) == ("storage", 3)
    assert answer.data["putAway"]["count"] == 3
    assert [each["pruned"] for each in answer.data["stores"]] == [1, 1, 1]
    assert [store.entries(agent) for agent in agents] == [{}] * 3
    monkeypatch.undo()
    assert run_json(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state).code == 0
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert all(store.entries(agent) for agent in agents)


def test_the_first_line_says_what_was_closed_where_the_record_cannot_be_read_in_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 3)

    def lost(journal: Journal, record: StoreRecord) -> StoreRecord:
        raise OSError(5, "Input/output error", journal.path)

    monkeypatch.setattr(Journal, "whole", lost)
    result = run(CleanupSessions, "--stale", "subagent=1h", "--yes", state=store.state)
    assert (result.code, "3 closed, 0 kept" in result.stdout) == (int(ExitCode.SOME_FAILED), True)


def test_a_record_is_not_read_again_for_each_row_that_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    real = Journal.whole

    def counted(journal: Journal, record: StoreRecord) -> StoreRecord:
        read[record.agent] += 1
        return real(journal, record)

    monkeypatch.setattr(Journal, "whole", counted)
    took = []
    for rows in (2, 12):
        for agent in ("one", "two", "three"):
            keys = [f"agent:{agent}:subagent:{rows}-{number}" for number in range(rows)]
            store.write({key: store.session(key, agent=agent) for key in keys}, agent)
        read.clear()
        answer = run_json(CleanupSessions, "--stale", "subagent=1h", "--max-disk", "1b", "--yes", state=store.state)
        assert [row["action"] for row in answer.data["results"]] == ["prune-stale"] * 3 * rows
        took.append(dict(read))
    assert took[0] == took[1]
