"""An index that is gone is no agent without sessions: what is said of it, and of the agents that there are."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run_json
from support.stores import Store
from support.trees import write

LOOKS = [
    (ListSessions, ()),
    (ListSessions, ("--agent", "project-lead")),
    (CleanupSessions, ("--dry-run",)),
    (CleanupSessions, ("--dry-run", "--agent", "project-lead")),
    (CloseProject, ("--dry-run", "alpha")),
]


@pytest.mark.parametrize(("command", "words"), LOOKS)
def test_an_index_that_is_gone_is_said_with_what_brings_it_back(
    store: Store, command: type[Command], words: tuple[str, ...]
) -> None:
    was = set(store.listed())
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    [backup] = store.backups()
    store.index().unlink()
    said = [line for line in run_json(command, *words, state=store.state).data["warnings"] if "is gone" in line]
    assert len(said) == 1
    head, _, command_line = said[0].partition("comes back with: ")
    assert head == f"{store.index()} is gone; what its last backup has "
    called, *rest = shlex.split(command_line)
    assert Path(called).name == "restore-sessions"
    assert rest == ["--state-dir", str(store.state), str(backup)]
    assert run_json(RestoreSessions, str(backup), state=store.state).data["error"] is None
    assert set(store.listed()) == was
    assert not any("is gone" in line for line in run_json(command, *words, state=store.state).data["warnings"])


def test_one_that_is_lost_once_more_comes_back_as_it_did_before(store: Store) -> None:
    was = set(store.listed())
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    for _ in range(3):
        store.index().unlink()
        [said] = [line for line in run_json(ListSessions, state=store.state).data["warnings"] if "is gone" in line]
        backup = shlex.split(said.partition("comes back with: ")[2])[-1]
        run_json(RestoreSessions, backup, state=store.state)
        assert set(store.listed()) == was


def test_without_a_backup_an_agent_has_no_sessions(store: Store) -> None:
    store.index().unlink()
    assert run_json(ListSessions, state=store.state).data["warnings"] == []


@pytest.mark.parametrize(
    ("command", "words"), [(CloseProject, ("alpha",)), (ExportSessions, ("alpha", "--output", "{out}"))]
)
def test_other_agents_are_named_and_nothing_else_that_lies_there(
    store: Store, tmp_path: Path, command: type[Command], words: tuple[str, ...]
) -> None:
    agents = store.state / "agents"
    store.index().unlink()
    write(agents / "notes", "no agent")
    (agents / "dangling").symlink_to(agents / "nowhere")
    given = [word.format(out=tmp_path / "out") for word in words]
    told = json.dumps(run_json(command, *given, state=store.state).data)
    assert "agent project-lead has no sessions here; agents: main, researcher; name one" in told
