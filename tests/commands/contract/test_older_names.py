"""Installations from before OpenClaw was renamed, older layouts, and links that owners have made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw import home
from support.commands import run_json
from support.gateway import StubGateway
from support.keys import LEAD, session_id
from support.stores import TOKEN, Store, build
from support.trees import tree, write

OLD, NEW = "clawdbot.json", "openclaw.json"


def with_store(store: Store, name: str, key: str) -> None:
    """Have a configuration name a store of its own, with one session in it."""
    index = store.state / f"store-of-{name}"
    write(index, json.dumps({key: {"sessionId": session_id(key), "updatedAt": 1}}))
    config = json.loads((store.state / NEW).read_bytes()) if (store.state / NEW).exists() else {}
    write(store.state / name, json.dumps({**config, "session": {"store": str(index)}}))


def test_the_older_name_of_the_configuration_is_read(store: Store) -> None:
    with_store(store, OLD, LEAD + "real")
    (store.state / NEW).unlink()
    assert run_json(CloseProject, "real", state=store.state).rows == [(LEAD + "real", "closed")]
    assert run_json(RestoreSessions, "last", state=store.state).rows == [(LEAD + "real", "restored")]
    assert len(store.listed()) == 14


def test_the_newer_name_holds_where_both_are_there(store: Store) -> None:
    with_store(store, OLD, LEAD + "old")
    with_store(store, NEW, LEAD + "new")
    listed = run_json(ListSessions, state=store.state).data["sessions"]
    assert [row["key"] for row in listed] == [LEAD + "new"]


def test_a_live_gateway_is_found_by_the_port_of_the_older_configuration(store: Store, stub: StubGateway) -> None:
    stub.serve(store.state, TOKEN)
    store.port = stub.port
    store.configure()
    (store.state / NEW).rename(store.state / OLD)
    answer = run_json(CloseProject, "alpha-review", state=store.state)
    assert (answer.data["gateway"]["state"], answer.data["results"][0]["route"]) == ("up", "gateway")


PLACES = [(folder, name) for folder in (".openclaw", ".clawdbot") for name in (NEW, OLD)]


@pytest.mark.parametrize("first", range(len(PLACES)))
def test_without_a_word_the_first_configuration_is_taken_that_openclaw_takes(
    tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    state = build(tmp_path / ".openclaw", closed_port).state
    (state / NEW).unlink()
    (tmp_path / ".clawdbot").mkdir()
    for number, (folder, name) in list(enumerate(PLACES))[first:]:
        index = tmp_path / f"{number}.json"
        write(index, json.dumps({f"{LEAD}{number}": {"sessionId": session_id(name), "updatedAt": 1}}))
        config = {"gateway": {"port": closed_port}, "session": {"store": str(index)}}
        write(tmp_path / folder / name, json.dumps(config))
    for place in (None, state):
        assert [row["key"] for row in run_json(ListSessions, state=place).data["sessions"]] == [f"{LEAD}{first}"]


def test_the_configuration_of_the_home_is_not_that_of_another_state_directory(store: Store, world: Path) -> None:
    (store.state / NEW).unlink()
    (world / "home" / ".clawdbot").mkdir()
    write(world / "home" / ".clawdbot" / OLD, json.dumps({"session": {"store": "/nowhere.json"}}))
    assert home.find(os.environ, state_dir=str(store.state)).config_path == str(store.state / NEW)
    assert home.find({**os.environ, "OPENCLAW_STATE_DIR": str(store.state)}).config_path == str(store.state / NEW)


@pytest.mark.parametrize("empty", ["undefined", "null", " "])
def test_a_variable_that_a_script_made_of_nothing_is_none(world: Path, empty: str) -> None:
    words = {"HOME": str(world / "home"), "OPENCLAW_HOME": empty}
    assert home.find(words).state == str(world / "home" / ".openclaw")


def test_a_tilde_in_the_roots_of_includes_stands_for_the_home(store: Store, world: Path) -> None:
    (world / "home" / "shared").mkdir()
    index = store.state / "own.json"
    write(index, json.dumps({LEAD + "own": {"sessionId": "own", "updatedAt": 1}}))
    write(world / "home" / "shared" / "session.json", json.dumps({"store": str(index)}))
    store.configure(session={"$include": str(world / "home" / "shared" / "session.json")})
    words = {**os.environ, "OPENCLAW_INCLUDE_ROOTS": "~/shared"}
    assert home.find(words, state_dir=str(store.state)).index("main") == str(index)


@pytest.mark.parametrize("command", [
    (ListSessions,), (CloseProject, "alpha"), (CleanupSessions,), (CleanupSessions, "--dry-run"),
    (RestoreSessions, "--list"),
], ids=str)  # fmt: skip
def test_a_layout_without_agents_is_called_an_older_one(
    tmp_path: Path, closed_port: int, command: tuple[Any, ...]
) -> None:
    store = Store(tmp_path / "state", closed_port)
    (store.state / "sessions").mkdir()
    write(store.state / "sessions" / "sessions.json", json.dumps({"main": {"sessionId": "x"}}))
    before = tree(store.state)
    answer = run_json(*command, state=store.state)
    assert (answer.code, answer.error) == (3, "older_layout")
    assert "openclaw doctor" in answer.data["error"]["remedy"]
    assert tree(store.state) == before


# Links


def agents(store: Store) -> Path:
    return store.state / "agents"


def agent(store: Store) -> Path:
    return store.folder().parent


def sessions(store: Store) -> Path:
    return store.folder()


LINKED: list[Callable[[Store], Path]] = [agents, agent, sessions]


def moved(store: Store, place: Path) -> Path:
    """Put a folder elsewhere, and a link in its place by way of another one."""
    real = store.state.parent / "disk" / place.name
    real.parent.mkdir()
    place.rename(real)
    (store.state.parent / "mount").symlink_to("disk")
    place.symlink_to(os.path.relpath(store.state.parent / "mount", place.parent) + f"/{place.name}")
    return real


@pytest.mark.parametrize("what", LINKED)
def test_a_link_of_the_owner_s_own_is_followed(store: Store, what: Callable[[Store], Path]) -> None:
    place = what(store)
    moved(store, place)
    before = store.index().read_bytes()
    path = Path(store.entries()[LEAD + "kelly-dashboard"]["sessionFile"])
    raw = path.read_bytes()
    assert run_json(ListSessions, state=store.state).data["totalCount"] == 18
    answer = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert (answer.code, len(answer.data["results"][0]["archives"])) == (0, 4)
    assert place.is_symlink()
    answer = run_json(CleanupSessions, "--stale", "subagent=1d", state=store.state)
    assert (answer.code, answer.rows) == (0, [(LEAD + "subagent:2b1c", "closed")])
    for receipt in reversed(store.receipts()):
        assert run_json(RestoreSessions, receipt["id"], state=store.state).code == 0
    assert (store.index().read_bytes(), path.read_bytes()) == (before, raw)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
@pytest.mark.parametrize("what", [agent, sessions])
def test_a_link_of_another_user_is_refused_and_named(store: Store, what: Callable[[Store], Path]) -> None:
    place = what(store)
    real = moved(store, place)
    os.chown(place, 12345, -1, follow_symlinks=False)
    before = tree(store.state.parent)
    answer = run_json(CloseProject, "alpha", state=store.state)
    assert (answer.code, answer.error) == (3, "link")
    assert str(real) in answer.data["error"]["message"]
    assert str(place) in answer.data["error"]["remedy"]
    assert tree(store.state.parent) == before


def test_the_remedy_for_a_linked_index_leads_somewhere(store: Store) -> None:
    real = store.state.parent / "elsewhere.json"
    store.index().rename(real)
    store.index().symlink_to(real)
    answer = run_json(CloseProject, "alpha", state=store.state)
    assert (answer.code, answer.error) == (3, "link")
    assert answer.data["error"]["remedy"].endswith(f"mv {real} {store.index()}")
    os.rename(real, store.index())
    assert run_json(CloseProject, "alpha", state=store.state).code == 0


def test_an_agent_that_is_a_link_is_found_where_the_configuration_names_it(store: Store) -> None:
    place = store.folder("guest").parent
    key = "agent:guest:main"
    store.add((key, store.session(key, agent="guest")), agent="guest")
    place.rename(store.state.parent / "guest")
    place.symlink_to(store.state.parent / "guest")
    answer = run_json(ListSessions, state=store.state)
    assert key not in [row["key"] for row in answer.data["sessions"]]
    [warning] = answer.data["warnings"]
    assert "agents.list" in warning
    store.configure(agents={"list": [{"id": "guest"}]})
    answer = run_json(ListSessions, state=store.state)
    assert key in [row["key"] for row in answer.data["sessions"]]
    assert answer.data["warnings"] == []
