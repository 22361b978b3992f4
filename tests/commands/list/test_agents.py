"""Agents of the configuration, agents without sessions, and one file for all agents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run
from support.keys import LEAD, RESEARCHER, session_id
from support.listing import empty, keys_of, listed, row_of
from support.sqlite import Bases
from support.stores import Store
from support.trees import write


@pytest.mark.parametrize(
    "agents",
    [
        {"list": [{"id": "Writer"}, {"id": "no store"}, {}, 7, {"id": 7}]},
        {"entries": {"writer": {}, "../x": {}, "unborn": {}}},
        {"list": {"id": "x"}, "entries": ["y"]},
        [],
    ],
)
def test_agents_of_the_configuration_are_looked_for_too(store: Store, agents: Any) -> None:
    """Also where their sessions are kept elsewhere, so that they have no folder in the state directory."""
    away = store.state / "stores"
    away.mkdir()
    for agent in ("main", "writer"):
        key = f"agent:{agent}:main"
        write(away / f"{agent}.json", json.dumps({key: {"sessionId": session_id(key)}}))
    store.configure(agents=agents, session={"store": str(away / "{agentId}.json")})
    answer = listed(store)
    named = "writer" in json.dumps(agents).lower()
    assert keys_of(answer) == ["agent:main:main", *(["agent:writer:main"] if named else [])]
    assert answer.data["warnings"] == []


def test_an_agent_without_sessions_is_an_empty_list_with_a_hint(store: Store) -> None:
    store.configure(agents={"list": [{"id": "ghost"}]})
    answer = listed(store, "--agent", "ghost")
    assert (answer.code, answer.data["sessions"], answer.data["totalCount"]) == (0, [], 0)
    assert answer.data["warnings"] == ["agent ghost has no sessions here; agents: main, project-lead, researcher"]
    assert run(ListSessions, "--agent", "ghost", state=store.state).stdout == "no sessions\n"


def test_nothing_at_all_is_an_empty_list(tmp_path: Path, closed_port: int) -> None:
    store = empty(tmp_path / "state", closed_port)
    write(store.state / "openclaw.json", json.dumps({"gateway": {"port": closed_port}}))
    assert (listed(store).code, listed(store).data["stores"]) == (0, [])
    assert listed(store, "--agent", "ghost").data["error"]["message"].endswith("agents: none")
    assert run(ListSessions, state=store.state).stdout == "no sessions\n"


@pytest.fixture
def shared(store: Store, now: int) -> Store:
    """One file for all agents, with keys of known agents, of unknown ones, and bare ones."""
    path = store.state / "all.json"
    keys = ["agent:main:a", LEAD + "b", "agent:elsewhere:c", "agent:..:d", "global", "agent:UPPER:e", "agent:nowhere:f"]
    rows = {}
    for number, key in enumerate(keys):
        rows[key] = {"sessionId": session_id(key), "updatedAt": now - number * 1000}
        agent = key.split(":")[1] if key.startswith("agent:") else "main"
        if agent in ("main", "project-lead", "elsewhere"):
            store.transcript(f"{session_id(key)}.jsonl", agent)
    write(path, json.dumps(rows))
    store.configure(session={"store": str(path)})
    return store


def test_one_file_for_all_agents_is_listed_once_each_row_under_its_own_agent(shared: Store) -> None:
    answer = listed(shared)
    assert answer.data["warnings"] == []
    found = [(row["key"], row.get("agent"), bool(row.get("transcriptBytes"))) for row in answer.data["sessions"]]
    assert found == [
        ("agent:main:a", "main", True),
        (LEAD + "b", "project-lead", True),
        ("agent:elsewhere:c", "elsewhere", True),
        ("agent:..:d", None, False),
        ("global", None, False),
        ("agent:UPPER:e", None, False),
        ("agent:nowhere:f", "nowhere", False),
    ]
    assert row_of(answer, "global")["transcriptBytes"] is None
    assert {each["path"] for each in answer.data["stores"]} == {str(shared.state / "all.json")}
    agents = [each["agent"] for each in answer.data["stores"]]
    assert sorted(agents) == ["elsewhere", "main", "nowhere", "project-lead", "researcher"]
    assert keys_of(listed(shared, "--agent", "main")) == ["agent:main:a"]
    assert keys_of(listed(shared, "--agent", "elsewhere")) == ["agent:elsewhere:c"]


def test_one_file_for_all_agents_that_is_corrupt_hides_no_database(shared: Store) -> None:
    bases = Bases(shared)
    bases.create("researcher")
    bases.add(RESEARCHER + "gamma")
    write(shared.state / "all.json", "[]")
    answer = listed(shared)
    assert (answer.code, keys_of(answer)) == (0, [RESEARCHER + "gamma"])
    (warning,) = answer.data["warnings"]
    assert warning.startswith("the store of all agents is left out: ")
    assert listed(shared, "--agent", "main").code == 3


def test_a_database_wins_over_rows_left_in_one_file_for_all_agents(shared: Store) -> None:
    bases = Bases(shared)
    bases.create("main")
    bases.add("agent:main:in-database")
    answer = listed(shared)
    assert "agent:main:a" not in keys_of(answer)
    assert "agent:main:in-database" in keys_of(answer)
    assert len(keys_of(answer)) == 7
    # The file was named, and the database is another store.
    of_file = listed(shared, "--store", str(shared.state / "all.json"))
    assert {*keys_of(answer)} - {*keys_of(of_file)} == {"agent:main:in-database"}


def test_a_database_that_two_agents_share_by_a_link_is_listed_once_beside_a_file_for_all(shared: Store) -> None:
    bases = Bases(shared)
    bases.create("main")
    bases.add("agent:main:in-database")
    before = listed(shared)
    path = str(shared.state / "all.json")
    shared.configure(agents={"list": [{"id": "twin"}]}, session={"store": path})
    shared.folder("twin").parent.symlink_to(shared.folder("main").parent)
    answer = listed(shared)
    assert keys_of(answer) == keys_of(before)
    assert answer.data["warnings"] == ["agent twin is left out: its sessions are those of agent main"]


def test_one_file_for_all_agents_is_listed_where_no_agent_is_known(shared: Store) -> None:
    before = listed(shared)
    shutil.rmtree(shared.state / "agents")
    shared.configure(agents=[], session={"store": str(shared.state / "all.json")})
    answer = listed(shared)
    assert (answer.code, keys_of(answer), answer.data["warnings"]) == (0, keys_of(before), [])
