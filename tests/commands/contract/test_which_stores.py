"""Which stores are looked at: below the root of a template, at a path, and of an agent that there is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run_json
from support.keys import LEAD, session_id
from support.stores import Stage, Store
from support.trees import tree, write


def index_of(root: Path, agent: str) -> Path:
    """Write an index with a main session and a stale subagent; return its path."""
    path = root / "agents" / agent / "sessions" / "sessions.json"
    path.parent.mkdir(parents=True)
    keys = [f"agent:{agent}:main", f"agent:{agent}:subagent:1"]
    write(path, json.dumps({key: {"sessionId": session_id(key), "updatedAt": 1_000_000_000_000} for key in keys}))
    return path


def agents_of(store: Store, *words: str) -> set[str]:
    return {row.get("agent") for row in run_json(ListSessions, *words, state=store.state).data["sessions"]}


def with_template(store: Store, tail: str = "sessions.json") -> Path:
    """Have the indexes below a root elsewhere, with one agent configured there; return the root."""
    root = store.state.parent / "data"
    index_of(root, "main")
    store.configure(agents={"list": [{"id": "main"}]}, session={"store": f"{root}/agents/{{agentId}}/sessions/{tail}"})
    return root


def test_an_agent_below_the_root_of_a_template_is_found_as_openclaw_finds_it(store: Store) -> None:
    root = with_template(store)
    index = index_of(root, "guest")
    assert agents_of(store) == {"main", "guest"}
    rows = run_json(CleanupSessions, state=store.state).rows
    assert ("agent:guest:subagent:1", "closed") in rows
    assert list(json.loads(index.read_bytes())) == ["agent:guest:main"]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert len(json.loads(index.read_bytes())) == 2


def test_links_and_what_leads_out_of_the_root_are_no_agents(store: Store) -> None:
    root = with_template(store)
    outside = index_of(store.state.parent / "outside", "far")
    (root / "agents" / "linked").symlink_to(outside.parent.parent)
    (root / "agents" / "half").mkdir()
    (root / "agents" / "half" / "sessions").symlink_to(outside.parent)
    index_of(root, "file").unlink()
    (root / "agents" / "file" / "sessions" / "sessions.json").symlink_to(outside)
    index_of(root, "Not An Agent")
    before = tree(outside.parent)
    assert agents_of(store) == {"main"}
    run_json(CleanupSessions, state=store.state)
    assert tree(outside.parent) == before


def test_only_a_template_of_that_form_has_such_a_root(store: Store) -> None:
    root = with_template(store, "store.json")
    os.rename(index_of(root, "guest"), root / "agents" / "guest" / "sessions" / "store.json")
    assert "guest" not in agents_of(store)


@pytest.mark.parametrize("spelled", ["{index}", "{folder}/../sessions/sessions.json"])
def test_a_store_is_named_by_its_path(store: Store, spelled: str) -> None:
    path = spelled.format(index=store.index("researcher"), folder=store.folder("researcher"))
    assert agents_of(store, "--store", path) == {"researcher"}
    answer = run_json(CleanupSessions, "--store", path, state=store.state)
    assert [each["agent"] for each in answer.data["stores"]] == ["researcher"]


def test_the_store_of_a_configured_agent_without_a_folder_is_named_by_its_path(store: Store) -> None:
    root = with_template(store, "store.json")
    index = root / "agents" / "main" / "sessions" / "store.json"
    os.rename(index.with_name("sessions.json"), index)
    os.rename(store.state / "agents", store.state.parent / "gone")
    assert agents_of(store, "--store", str(index)) == {"main"}
    assert run_json(CleanupSessions, "--store", str(index), state=store.state).rows != []


def test_one_file_for_all_agents_is_named_by_its_path(store: Store) -> None:
    index = store.state / "all.json"
    write(index, json.dumps({**store.entries(), **store.entries("main")}))
    store.configure(session={"store": str(index)})
    assert {"main", "project-lead"} <= agents_of(store, "--store", str(index))


def test_a_store_of_another_state_directory_is_repaired_there_and_can_be_undone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(store.state))
    other = store.state.parent / "copy"
    index = index_of(other, "guest")
    write(other / "openclaw.json", json.dumps({"gateway": {"port": store.port}}))
    before = tree(store.state), index.read_bytes()
    listed = run_json(ListSessions, "--store", str(index)).data["sessions"]
    assert {row["key"] for row in listed} == {"agent:guest:main", "agent:guest:subagent:1"}
    answer = run_json(CleanupSessions, "--store", str(index))
    assert (answer.code, answer.rows) == (0, [("agent:guest:subagent:1", "closed")])
    assert tree(store.state) == before[0]
    assert f"--state-dir {other}" in str(answer.data["undo"])
    assert run_json(RestoreSessions, "last", state=other).code == 0
    assert index.read_bytes() == before[1]


@pytest.mark.parametrize("command", [ListSessions, CleanupSessions])
def test_a_path_that_is_no_store_is_refused(store: Store, command: type[ListSessions]) -> None:
    answer = run_json(command, "--store", str(store.state / "openclaw.json"), state=store.state)
    assert (answer.code, answer.error) == (3, "no_store")


@pytest.mark.parametrize("other", [("--agent", "main"), ("--all-agents",)])
def test_a_list_is_of_one_thing(store: Store, other: tuple[str, ...]) -> None:
    answer = run_json(ListSessions, "--store", str(store.index()), *other, state=store.state)
    assert (answer.code, answer.error) == (2, "usage")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (ListSessions, ()),
        (ListSessions, ("--usage",)),
        (CleanupSessions, ("--dry-run",)),
        (CleanupSessions, ("--yes",)),
    ],
)
def test_a_misspelt_agent_is_no_empty_success(
    store: Store, command: type[ListSessions | CleanupSessions], words: tuple[str, ...]
) -> None:
    before = tree(store.state)
    answer = run_json(command, "--agent", "projekt-lead", *words, state=store.state)
    assert (answer.code, answer.error) == (1, "unknown_agent")
    said = "there is no agent projekt-lead here; agents: main, project-lead, researcher"
    assert answer.data["error"]["message"] == said
    assert answer.data["error"]["remedy"] == "--agent with one of them"
    assert tree(store.state) == before


@pytest.mark.parametrize("command", [ListSessions, CleanupSessions])
def test_an_agent_that_has_no_sessions_yet_is_no_error(
    store: Store, command: type[ListSessions | CleanupSessions]
) -> None:
    store.configure(agents={"list": [{"id": "new"}]})
    answer = run_json(command, "--agent", "new", state=store.state)
    assert answer.code == 0
    assert "agent new has no sessions here; agents: main, project-lead, researcher" in answer.data["warnings"]


# A store that OpenClaw was updated past


@pytest.fixture
def _updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "openclaw"
    package.mkdir()
    write(package / "openclaw.mjs", "#!/bin/sh\nexit 1\n", mode=0o700)
    write(package / "package.json", json.dumps({"name": "openclaw", "version": "2026.9.6"}))
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(package / "openclaw.mjs"))


def test_a_store_that_was_not_migrated_is_refused_by_an_undo_too(store: Store, request: pytest.FixtureRequest) -> None:
    assert run_json(CloseProject, "alpha-review", state=store.state).code == 0
    request.getfixturevalue("_updated")
    before = tree(store.state)
    for words in (("--dry-run",), ()):
        answer = run_json(RestoreSessions, "last", *words, state=store.state)
        assert (answer.code, answer.error) == (3, "unmigrated_store")
    assert tree(store.state) == before
    assert LEAD + "alpha-review" not in store.entries()


@pytest.mark.usefixtures("_updated")
def test_a_list_says_that_a_store_was_not_migrated(store: Store) -> None:
    answer = run_json(ListSessions, "--agent", "main", state=store.state)
    assert (answer.code, answer.data["totalCount"]) == (0, 2)
    [warning] = answer.data["warnings"]
    assert "not migrated" in warning
    assert str(store.index("main")) in warning


def test_a_store_that_a_gateway_serves_is_migrated_enough(stage: Stage, request: pytest.FixtureRequest) -> None:
    store = stage("up")
    request.getfixturevalue("_updated")
    answer = run_json(ListSessions, state=store.state)
    assert (answer.code, answer.data["totalCount"], answer.data["warnings"]) == (0, 18, [])
