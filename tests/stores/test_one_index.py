"""One file for all agents (`session.store` without `{agentId}`): also those that have nothing else here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.cleanup import DAY, HOUR, age, ago
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


def usage(store: Store, *words: str) -> dict[tuple[str | None, str], tuple[int, int]]:
    answer = run_json(ListSessions, "--usage", *words, state=store.state)
    return {(row["agent"], row["kind"]): (row["count"], row["bytes"]) for row in answer.data["usage"]}


def test_what_is_beside_one_index_for_all_is_counted_once(shared: Store) -> None:
    place = index_of(shared).parent
    for key in KEYS:
        write(place / f"{session_id(key)}.jsonl", "x" * 19_000)
    write(place / "sessions.json.bak-2016-11-21T00-41-24.769Z", "{}")
    write(place / "notes.txt", "not of sessions")
    shared.transcript("own.jsonl", "coder")
    own = (shared.folder("coder") / "own.jsonl").stat().st_size
    both = {
        (None, "backup"): (1, 2),
        (None, "index"): (1, index_of(shared).stat().st_size),
        ("coder", "transcript"): (2, 19_000 + own),
        ("main", "transcript"): (1, 19_000),
    }
    assert usage(shared) == both
    assert usage(shared, "--agent", "coder") == {("coder", "transcript"): (2, 19_000 + own)}
    assert run_json(CleanupSessions, "--agent", "main", state=shared.state).code == 0
    assert usage(shared)[None, "archive"] == (1, 19_000)
    assert usage(shared)[None, "backup"][0] == 2


def test_what_is_beside_the_index_of_one_agent_is_that_agent_s(shared: Store) -> None:
    places = {agent: shared.state / "st" / agent for agent in ("coder", "main")}
    shared.configure(session={"store": str(shared.state / "st" / "{agentId}" / "sessions.json")})
    for (agent, place), key in zip(places.items(), KEYS, strict=True):
        place.mkdir(parents=True)
        shared.folder(agent).mkdir(parents=True)
        write(place / "sessions.json", json.dumps({key: {"sessionId": session_id(key), "updatedAt": ago(50 * HOUR)}}))
        write(place / f"{session_id(key)}.jsonl", "x" * 19_000)
    counted = usage(shared)
    assert counted["coder", "transcript"] == counted["main", "transcript"] == (1, 19_000)
    assert run_json(CleanupSessions, "--agent", "main", state=shared.state).code == 0
    counted = usage(shared)
    assert (counted["main", "archive"], counted["main", "backup"][0]) == ((1, 19_000), 1)
    assert usage(shared, "--agent", "main").items() <= counted.items()


def test_a_folder_that_is_reached_by_a_link_is_counted_once(shared: Store) -> None:
    place = shared.state.parent / "data" / "main" / "sessions"
    place.mkdir(parents=True)
    write(place / "sessions.json", "{}")
    shared.folder("main").parent.mkdir(parents=True)
    shared.folder("main").symlink_to(place)
    shared.configure(session={"store": str(place.parent.parent / "{agentId}" / "sessions" / "sessions.json")})
    assert usage(shared) == {("main", "index"): (1, 2)}


def test_what_may_be_of_several_agents_is_found_once(shared: Store) -> None:
    place = index_of(shared).parent
    for name, ending in (("deleted", ".deleted.2016-11-21T00-41-24.769Z"), ("stray", "")):
        text = json.dumps({"type": "session", "version": 3, "id": session_id(name)})
        write(place / f"{session_id(name)}.jsonl{ending}", f"{text}\n")
    age(place / f"{session_id('stray')}.jsonl", 9 * DAY)
    answer = run_json(CleanupSessions, "--only", "orphans", "--orphans", "1d", state=shared.state)
    [row] = answer.data["results"]
    found = run_json(RestoreSessions, "--found", state=shared.state).data["found"]
    receipt = Path(answer.data["receipt"]).stem
    assert [(one["sessionId"], one["receipt"], one["agent"]) for one in found] == [
        (session_id("stray"), receipt, row["agent"]),
        (session_id("deleted"), None, "coder"),
    ]
    for one, key in zip(found, ("agent:main:a", "agent:coder:b"), strict=True):
        assert run_json(RestoreSessions, f"found:{one['id']}", "--as", key, state=shared.state).code == 0
    assert {"agent:main:a", "agent:coder:b", *KEYS} == {*json.loads(index_of(shared).read_bytes())}
