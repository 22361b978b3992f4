"""A store that cannot be read hides no other."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run_json
from support.listing import ENVELOPE, listed
from support.sqlite import Bases
from support.stores import Store
from support.trees import tree, write


def corrupt(store: Store) -> None:
    write(store.index("researcher"), '{"agent:researcher:x": {')


def mixed(store: Store) -> None:
    Bases(store).create("researcher")


def link(store: Store) -> None:
    target = store.state / "elsewhere.json"
    store.index("researcher").rename(target)
    store.index("researcher").symlink_to(target)


def outside(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a link away")
    target = store.state.parent / "outside"
    store.folder("researcher").rename(target)
    store.folder("researcher").symlink_to(target)
    os.chown(store.folder("researcher"), 12345, -1, follow_symlinks=False)


def foreign(store: Store) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(store.index("researcher"), 12345, -1)


DAMAGE = {
    corrupt: ("corrupt_store", "cut off"),
    mixed: ("mixed_store", "both a session database"),
    link: ("link", "is a link to"),
    outside: ("link", "outside"),
    foreign: ("owner", "belongs to uid 12345"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_store_that_cannot_be_read_hides_no_other(store: Store, damage: Callable[[Store], None]) -> None:
    damage(store)
    before = tree(store.state)
    answer = listed(store)
    name, words = DAMAGE[damage]
    assert (answer.code, answer.data["totalCount"]) == (0, 16)
    assert {row["agent"] for row in answer.data["sessions"]} == {"project-lead", "main"}
    (warning,) = answer.data["warnings"]
    assert warning.startswith("agent researcher is left out: ")
    assert words in warning
    assert answer.stderr == f"warning: {warning}\n"
    assert listed(store, "--agent", "main").data["warnings"] == []
    named = listed(store, "--agent", "researcher")
    assert (named.code, named.data["error"]["name"], named.data["sessions"]) == (3, name, [])
    assert tree(store.state) == before


def test_an_agent_that_is_a_link_is_left_out_with_a_note(store: Store) -> None:
    (store.state / "agents" / "twin").symlink_to(store.state / "agents" / "researcher")
    (store.state / "agents" / "no agent").mkdir()
    (store.state / "agents" / ".hidden").mkdir()
    (store.state / "agents" / "file").write_text("")
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    assert len(answer.data["warnings"]) == 2
    assert any('twin" is a link to' in warning for warning in answer.data["warnings"])
    assert any('no agent"' in warning for warning in answer.data["warnings"])


@pytest.mark.parametrize("whole", [False, True])
def test_a_store_that_two_agents_share_by_a_link_is_listed_once(store: Store, whole: bool) -> None:
    store.configure(agents={"list": [{"id": "twin"}]})
    if whole:
        store.folder("twin").parent.symlink_to(store.folder("researcher").parent)
    else:
        store.folder("twin").parent.mkdir()
        store.folder("twin").symlink_to(store.folder("researcher"))
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 18)
    assert answer.data["warnings"] == ["agent twin is left out: its sessions are those of agent researcher"]


def test_a_folder_that_cannot_be_listed_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: Any) -> Any:
        if str(path) == str(store.folder("researcher")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    answer = listed(store)
    assert (answer.code, answer.data["totalCount"]) == (0, 16)
    path = store.folder("researcher")
    assert answer.data["warnings"] == [f"agent researcher is left out: {path} cannot be read: Permission denied"]
    named = listed(store, "--agent", "researcher")
    assert (named.code, named.data["error"]["name"]) == (3, "unreadable")


def test_a_state_directory_or_configuration_that_cannot_be_read_is_an_error(store: Store, tmp_path: Path) -> None:
    absent = run_json(ListSessions, state=tmp_path / "absent")
    assert (absent.code, absent.data["error"]["name"], set(absent.data)) == (3, "no_state_dir", ENVELOPE)
    (store.state / "openclaw.json").write_text("{")
    assert (listed(store).code, listed(store).data["error"]["name"]) == (3, "config")
