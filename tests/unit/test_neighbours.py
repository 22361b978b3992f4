"""Which files of an agent others use is known as it is now, however often and in however many parts it is looked at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from session_closer.core.claims import Claims
from session_closer.openclaw.files import neighbours
from session_closer.openclaw.files.named_files import read_names
from session_closer.openclaw.files.neighbours import Neighbours
from session_closer.openclaw.home import Home

LEAD, OTHERS = "lead", ("one", "two", "three")


class Place:
    """A state directory with the stores of some agents, and what the others are found to say."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.warned: list[str] = []
        for agent in (LEAD, *OTHERS):
            self.write(agent, {})
        self.home = Home(str(state), "--state-dir", {})
        self.look = Neighbours(self.home, self.warned.append)

    def folder(self, agent: str) -> Path:
        return self.state / "agents" / agent / "sessions"

    def write(self, agent: str, rows: Mapping[str, Any] | str) -> None:
        """Write an agent's store as OpenClaw does, in place of the one before."""
        self.folder(agent).mkdir(parents=True, exist_ok=True)
        new = self.folder(agent) / "new"
        new.write_text(rows if isinstance(rows, str) else json.dumps(rows))
        new.rename(self.folder(agent) / "sessions.json")

    def row(self, name: str) -> dict[str, Any]:
        """Return the row of a session whose transcript is in LEAD's folder."""
        return {"sessionId": "own", "sessionFile": str(self.folder(LEAD) / f"{name}.jsonl")}

    def claimed(self) -> dict[str, set[str]]:
        """Return by agent the stems of LEAD's files that others use."""
        return {agent: set(claims.ids) for agent, claims in self.look.claims(LEAD).items()}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_what_others_use_is_as_their_stores_say_now(place: Place) -> None:
    assert place.claimed() == {}
    place.write("one", {"agent:one:a": place.row("x"), "agent:one:b": place.row("y")})
    assert place.claimed() == {"one": {"x", "y"}}
    assert place.look.as_before("two") is True
    place.write("two", {"agent:two:a": place.row("x")})
    assert place.look.as_before(LEAD) is False
    assert place.look.as_before(LEAD) is True
    assert place.claimed() == {"one": {"x", "y"}, "two": {"x"}}
    place.write("one", {"agent:one:a": {"sessionId": "x"}})
    assert place.claimed() == {"two": {"x"}}


def test_an_agent_that_is_new_or_whose_folder_is_another_by_now_is_seen(place: Place) -> None:
    assert place.claimed() == {}
    place.write("new", {"agent:new:a": place.row("x")})
    assert place.claimed() == {"new": {"x"}}
    place.folder("two").rename(place.state / "before")
    place.folder("two").symlink_to(place.folder("new"))
    with place.look.one_look():
        assert place.claimed() == {"new": {"x"}, "two": {"x"}}
    place.folder("two").unlink()
    place.folder("two").symlink_to(place.folder(LEAD))
    place.write(LEAD, {"agent:lead:a": place.row("x")})
    with place.look.one_look():
        assert place.claimed() == {"new": {"x"}}


def test_an_index_that_is_a_link_to_another_agent_s_is_no_store_of_its_own(place: Place) -> None:
    place.write(LEAD, {"agent:lead:a": place.row("x")})
    index = place.folder("one") / "sessions.json"
    index.unlink()
    index.symlink_to(place.folder(LEAD) / "sessions.json")
    assert place.claimed() == {}
    index.unlink()
    index.symlink_to(place.folder("two") / "sessions.json")
    place.write("two", {"agent:two:a": place.row("y")})
    with place.look.one_look():
        assert place.claimed() == {"one": {"y"}, "two": {"y"}}


def test_an_agent_that_is_gone_is_spoken_of_no_more(place: Place) -> None:
    place.write("one", "{" + json.dumps({"agent:one:a": {"spawnedBy": "agent:lead:a", **place.row("x")}}))
    assert place.claimed() == {"one": {"x"}}
    shutil.rmtree(place.folder("one").parent)
    place.warned.clear()
    assert (place.claimed(), place.warned) == ({}, [])
    assert list(place.look.spawned_elsewhere(LEAD, ["agent:lead:a"])) == []


@pytest.fixture
def stores(place: Place) -> dict[str, Path]:
    """The indexes of all agents, elsewhere."""
    root = place.state / "stores"
    configured = {"session": {"store": str(root / "{agentId}" / "index.json")}}
    place.state.joinpath("openclaw.json").write_text(json.dumps(configured))
    found = {agent: root / agent / "index.json" for agent in (LEAD, *OTHERS)}
    for path in found.values():
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    return found


def test_in_a_folder_that_two_agents_have_a_session_id_is_a_claim(place: Place, stores: dict[str, Path]) -> None:
    shutil.rmtree(place.folder("one"))
    place.folder("one").symlink_to(place.folder(LEAD))
    for agent in ("one", "two"):
        stores[agent].write_text(json.dumps({f"agent:{agent}:a": {"sessionId": "x"}}))
    assert place.claimed() == {"one": {"x"}}


def test_what_another_uses_in_each_of_two_folders_is_used(place: Place, stores: dict[str, Path]) -> None:
    """An agent's transcripts lie in its folder and beside its index, which may be elsewhere."""
    rows = {"agent:one:a": place.row("x"), "agent:one:b": {"sessionFile": str(stores[LEAD].with_name("y.jsonl"))}}
    stores["one"].write_text(json.dumps(rows))
    assert place.claimed() == {"one": {"x", "y"}}


def test_who_has_the_same_store_lends_nothing_and_is_not_warned_of(place: Place) -> None:
    place.folder("two").joinpath("sessions.json").unlink()
    place.folder("two").rmdir()
    place.folder("two").symlink_to(place.folder(LEAD))
    place.write(LEAD, {"agent:lead:a": place.row("x")})
    # To a third it is another agent's.
    place.look.claims("one")
    assert place.claimed() == {}
    place.write(LEAD, "{")
    place.look.claims("one")
    assert {line.partition(" is ")[0] for line in place.warned} == {f"the store of agent {at}" for at in (LEAD, "two")}
    place.warned.clear()
    assert (place.claimed(), place.warned) == ({}, [])
    assert [agent for agent, _ in neighbours.others(place.home, LEAD)] == sorted({"one", "three"})
    assert place.look.damaged("one") == [LEAD, "two"]


def test_what_is_wrong_with_another_store_is_said_as_long_as_it_is(place: Place) -> None:
    place.write("one", "{")
    place.claimed()
    assert place.warned == ["the store of agent one is cut off: what else it uses of other agents is not known"]
    assert (place.look.damaged(LEAD), Neighbours(place.home, print, ["one"]).damaged(LEAD)) == (["one"], [])
    place.write("one", {})
    place.warned.clear()
    assert (place.claimed(), place.warned, place.look.damaged(LEAD)) == ({}, [], [])


def test_what_only_sessions_use_that_go_too_is_nobody_s(place: Place) -> None:
    rows = {"agent:one:goes": place.row("x"), "agent:one:both": place.row("y"), "agent:one:stays": place.row("y")}
    place.write("one", rows)
    place.look.going = {"one": ["agent:one:goes", "agent:one:both"]}
    assert place.claimed() == {"one": {"y"}}
    # A row that came after the plan was made stays, too.
    place.write("one", {**rows, "agent:one:new": place.row("x")})
    assert place.claimed() == {"one": {"x", "y"}}
    place.write("one", json.dumps(rows)[:-1])
    assert place.claimed() == {"one": {"x", "y"}}
    assert place.look.ofothers(LEAD).keys() == {"one"}


def test_whatever_a_run_closes_its_own_and_others_use_their_files(place: Place) -> None:
    place.write(LEAD, {"agent:lead:a": {"sessionId": "mine"}})
    place.write("one", {"agent:one:goes": place.row("x")})
    place.look.going = {"one": ["agent:one:goes"]}
    claims = Claims(frozenset(["x"]), frozenset(["x.jsonl"]))
    assert place.look.users(LEAD) == {LEAD: Claims(frozenset(["mine"]), frozenset()), "one": claims}
    place.write(LEAD, {})
    assert place.look.users(LEAD) == {LEAD: Claims(frozenset(), frozenset()), "one": claims}


def test_one_look_is_at_one_moment_and_the_next_one_is_another(place: Place) -> None:
    with place.look.one_look():
        assert place.claimed() == {}
        place.write("one", {"agent:one:a": place.row("x")})
        assert place.claimed() == {}
    assert place.claimed() == {"one": {"x"}}
    with place.look.one_look():
        place.write("two", {"agent:two:a": place.row("y")})
        assert place.claimed() == {"one": {"x"}, "two": {"y"}}
    with place.look.one_look():
        place.write("two", {})
        assert place.claimed() == {"one": {"x"}}


def test_of_many_stores_that_are_left_a_part_is_looked_at_each_time_and_all_of_them_in_turn(place: Place) -> None:
    with mock.patch.object(neighbours, "_AT_ONCE", 1):
        place.look.going = dict.fromkeys((LEAD, *OTHERS), ())
        for name in ("x", "y"):
            for agent in OTHERS:
                place.write(agent, {f"agent:{agent}:a": place.row(f"{name}-{agent}")})
            seen = [place.claimed() for _ in range(len(OTHERS) + 1)]
            assert seen[-1] == {agent: {f"{name}-{agent}"} for agent in OTHERS}
        # A look of all at once, as the one at the end is.
        for agent in OTHERS:
            place.write(agent, {})
        with place.look.one_look():
            assert place.claimed() == {}


def test_each_look_of_a_run_over_many_stores_is_at_as_many_others_also_at_its_last_stores(place: Place) -> None:
    with mock.patch.object(neighbours, "_AT_ONCE", 1):
        place.look.going = dict.fromkeys((LEAD, *OTHERS), ())
        place.claimed()
        looks = 0
        for agent in OTHERS:
            place.look.going.pop(agent)
            with mock.patch.object(neighbours.measuring, "stamp", wraps=neighbours.measuring.stamp) as looked:
                place.claimed()
            assert looked.call_count <= 1
            looks += looked.call_count
        assert looks


def test_children_in_other_stores_are_found_by_their_parent(place: Place) -> None:
    parent = "agent:lead:a"
    place.write("one", {"agent:one:child": {"spawnedBy": parent}, "agent:one:none": {"spawnedBy": "agent:lead:b"}})
    place.write(
        "two", {"agent:two:child": {"parentSessionKey": parent, "spawnedBy": parent}, parent: {"spawnedBy": parent}}
    )
    place.write(LEAD, {"agent:lead:child": {"spawnedBy": parent}})
    found = list(place.look.spawned_elsewhere(LEAD, [parent]))
    assert found == [(parent, "agent:one:child"), (parent, "agent:two:child")]
    place.write("one", "{" + json.dumps({"agent:one:child": {"spawnedBy": parent}}))
    assert list(place.look.spawned_elsewhere(LEAD, [parent])) == found[1:]
    place.write("two", {})
    assert list(place.look.spawned_elsewhere(LEAD, [parent])) == []


@pytest.mark.parametrize(
    "spelled",
    [
        "{lead}/x.jsonl",
        "{own}/../../lead/sessions/x.jsonl",
        "{own}/.././../lead/sessions/x.jsonl",
        "../../lead/sessions/x.jsonl",
    ],
)
def test_a_file_counts_however_its_path_is_spelled(place: Place, spelled: str) -> None:
    path = spelled.format(lead=place.folder(LEAD), own=place.folder("one"))
    own = {"sessionId": "b", "sessionFile": str(place.folder("one") / "b.jsonl")}
    place.write("one", {"agent:one:a": {"sessionId": "a", "sessionFile": path}, "agent:one:b": own})
    assert place.claimed() == {"one": {"x"}}


def test_of_a_folder_that_another_agent_has_too_each_name_counts(place: Place) -> None:
    folder = str(place.folder("one"))
    place.write("one", {"agent:one:a": {"sessionId": "a", "sessionFile": f"{folder}/x.jsonl"}})
    for shared, names in ((frozenset[str](), set[str]()), (frozenset({folder}), {"x.jsonl", "a.jsonl"})):
        look = read_names(None, f"{folder}/sessions.json", [folder], shared)
        assert set().union(*look.files.values()) == names
