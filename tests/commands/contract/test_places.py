"""Which state directory and which store a command works on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw import home as place
from support.commands import run_json
from support.contract import homes
from support.keys import LEAD
from support.stores import Store
from support.trees import tree, write


@pytest.mark.parametrize(
    ("words", "environ", "name"),
    [
        ((), {}, ".openclaw"),
        (("--profile", "work"), {}, ".openclaw-work"),
        (("--profile", "default"), {}, ".openclaw"),
        ((), {"OPENCLAW_PROFILE": "work"}, ".openclaw"),
        ((), {"OPENCLAW_STATE_DIR": "{home}/elsewhere"}, "elsewhere"),
        ((), {"OPENCLAW_STATE_DIR": "~/elsewhere"}, "elsewhere"),
        ((), {"OPENCLAW_STATE_DIR": " "}, ".openclaw"),
        ((), {"OPENCLAW_HOME": "{home}/other"}, "other/.openclaw"),
        (("--state-dir", "{home}/elsewhere"), {"OPENCLAW_STATE_DIR": "{home}/.openclaw"}, "elsewhere"),
        (("--state-dir", "~/elsewhere"), {"OPENCLAW_HOME": "{home}"}, "elsewhere"),
        (("--state-dir={home}/elsewhere",), {}, "elsewhere"),
    ],
)
def test_the_state_directory_is_the_one_that_was_named(
    world: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], environ: dict[str, str], name: str,
) -> None:  # fmt: skip
    home = str(world / "home")
    stores = homes(world, closed_port, ".openclaw", ".openclaw-work", "elsewhere", "other/.openclaw")
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value.format(home=home))
    before = {each: tree(store.state) for each, store in stores.items() if each != name}
    answer = run_json(CloseProject, "alpha", *(word.format(home=home) for word in words))
    assert answer.code == 0
    assert answer.data["stores"][0]["path"] == str(stores[name].index())
    assert {each: tree(stores[each].state) for each in before} == before


def test_the_old_name_of_the_state_directory_is_known(world: Path, closed_port: int) -> None:
    store = homes(world, closed_port, ".clawdbot")[".clawdbot"]
    assert run_json(CloseProject, "alpha").data["stores"][0]["path"] == str(store.index())


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("--profile", "work", "--state-dir", "/x"), {}),
        (("--profile", "work"), {"OPENCLAW_STATE_DIR": "/elsewhere"}),
        (("--demo", "--profile", "work"), {}),
        (("--demo", "--state-dir", "/x"), {}),
    ],
)
def test_two_state_directories_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str]
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert run_json(CloseProject, "alpha", *words).error == "usage"


def test_state_dir_ignores_the_configuration_of_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"session": {"store": str(tmp_path / "nowhere.json")}}))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(other))
    assert run_json(CloseProject, "alpha", state=store.state).code == 0


def test_a_custom_store_is_found_where_the_configuration_says(store: Store) -> None:
    elsewhere = store.state / "stores" / "project-lead.json"
    elsewhere.parent.mkdir()
    store.configure(session={"store": str(store.state / "stores" / "{agentId}.json")})
    store.index().rename(elsewhere)
    answer = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert answer.code == 0
    assert answer.data["stores"][0]["path"] == str(elsewhere)
    assert LEAD + "kelly-dashboard" not in json.loads(elsewhere.read_bytes())
    # The transcripts of a custom store are where they always are.
    assert sum(os.path.dirname(path) == str(store.folder()) for path in answer.data["results"][0]["archives"]) == 4


def test_a_store_of_all_agents_is_only_changed_for_the_one_that_was_named(store: Store) -> None:
    shared = store.state / "all.json"
    store.configure(session={"store": str(shared)})
    rows = {**store.entries(), **store.entries("researcher")}
    store.index().unlink()
    shared.write_text(json.dumps(rows, indent=2))
    answer = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert answer.code == 0
    left = set(json.loads(shared.read_bytes()))
    bare = {key for key in rows if not key.startswith("agent:")}
    assert bare, "in a file for all agents nobody can tell whose a bare key is, so it stays"
    assert left == {LEAD + "main", LEAD + "alpha", *bare, *store.entries("researcher")}


@pytest.fixture
def no_port(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens where a gateway does that no configuration has given a port."""
    monkeypatch.setattr(place, "DEFAULT_PORT", closed_port)


LOOKING = (
    (ListSessions, ()),
    (ListSessions, ("--usage",)),
    (CloseProject, ("alpha",)),
    (KeepOnlySessions, ("alpha",)),
    (CleanupSessions, ()),
    (RestoreSessions, ("--list",)),
    (RestoreSessions, ("--found",)),
)


@pytest.mark.usefixtures("no_port")
@pytest.mark.parametrize(("command", "words"), LOOKING)
def test_a_folder_that_is_no_state_directory_is_not_taken_for_an_empty_one(
    tmp_path: Path, command: type[Command], words: tuple[str, ...]
) -> None:
    said = f"{tmp_path} holds neither agents nor openclaw.json"
    assert f"{said}: another --state-dir may be meant" in warned(command, tmp_path, *words)
    inner = tmp_path / ".openclaw"
    inner.mkdir()
    assert f"{said}: {inner} may be meant" in warned(command, tmp_path, *words)


@pytest.mark.usefixtures("no_port")
@pytest.mark.parametrize(("command", "words"), LOOKING)
@pytest.mark.parametrize("name", ["agents", "openclaw.json"])
def test_of_a_new_installation_nothing_is_strange(
    tmp_path: Path, command: type[Command], words: tuple[str, ...], name: str
) -> None:
    if name == "agents":
        (tmp_path / name).mkdir()
    else:
        write(tmp_path / name, "{}")
    assert warned(command, tmp_path, *words) == []


def warned(command: type[Command], folder: Path, *words: str) -> list[str]:
    """Return what a command warns of in a folder."""
    return list(run_json(command, *words, state=folder).data["warnings"])
