"""A dry run says of a restart what the run then does: it may cut off runs in flight."""

from __future__ import annotations

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import by_store
from support.commands import run, run_json
from support.gateway import StubOpenClaw
from support.stores import Stage, Store

CLEAN = ("--stale", "subagent=1d,cron-run=1d", "--yes")


def check(store: Store, command: type, *words: str, needed: bool, ahead: str, done: str) -> None:
    """A dry run, and the run, say the same of whether a restart is needed."""
    looked = run_json(command, *words, "--dry-run", state=store.state)
    assert (looked.code, looked.data["restart"]["result"], looked.data["restart"]["ok"]) == (0, ahead, None)
    answer = run_json(command, *words, state=store.state)
    assert answer.data["restart"]["result"] == done
    assert answer.data["restart"]["needed"] is looked.data["restart"]["needed"] is needed


@pytest.mark.parametrize("command", [CloseProject, CleanupSessions])
def test_a_store_that_is_edited_below_a_gateway_needs_one(served: Store, openclaw: StubOpenClaw, command: type) -> None:
    words = ("alpha",) if command is CloseProject else CLEAN
    check(served, command, *words, "--via", "files", needed=True, ahead="would-restart", done="restarted")
    assert len(openclaw.calls("restart")) == 1


def test_so_does_a_cleanup_that_goes_from_store_to_store(
    served: Store, openclaw: StubOpenClaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_store, "MOST", 0)
    words = (*CLEAN, "--all-agents", "--via", "files")
    check(served, CleanupSessions, *words, needed=True, ahead="would-restart", done="restarted")
    assert len(openclaw.calls("restart")) == 1


def test_so_does_an_undo(served: Store, openclaw: StubOpenClaw) -> None:
    assert run_json(CloseProject, "alpha", state=served.state).data["restart"]["result"] == "not-needed"
    check(served, RestoreSessions, "last", needed=True, ahead="would-restart", done="restarted")
    looked = run_json(RestoreSessions, "last", "--check", state=served.state)
    assert looked.data["restart"]["needed"] is False, "nothing is to be brought back any more"
    assert len(openclaw.calls("restart")) == 1


@pytest.mark.usefixtures("openclaw")
def test_what_the_gateway_closes_needs_none_unless_it_is_asked_for(served: Store) -> None:
    check(served, CloseProject, "alpha", needed=False, ahead="not-needed", done="not-needed")
    words = ("topics", "--restart", "always")
    looked = run_json(CloseProject, *words, "--dry-run", state=served.state)
    assert looked.data["restart"]["result"] == "would-restart"


def test_one_that_is_left_out_is_said_to_be(served: Store) -> None:
    words = ("alpha", "--via", "files", "--restart", "never")
    check(served, CloseProject, *words, needed=True, ahead="left-out", done="left-out")


def test_without_a_gateway_there_is_none(stage: Stage) -> None:
    store = stage("down")
    check(store, CloseProject, "alpha", needed=False, ahead="nothing-to-restart", done="nothing-to-restart")


def test_what_only_the_openclaw_command_could_spare_is_said(served: Store, openclaw: StubOpenClaw) -> None:
    served.configure(token=None)
    result = run(CloseProject, "alpha", "--dry-run", state=served.state)
    assert "would be restarted once, unless the openclaw command lets the gateway close them" in result.stdout
    assert openclaw.calls("restart") == []


def test_a_run_that_is_refused_needs_none(served: Store) -> None:
    words = ("--match", "*", "--via", "files", "--max", "1", "--dry-run")
    answer = run_json(CloseProjectBatch, *words, state=served.state)
    assert (answer.code, answer.error) == (3, "too_many")
    assert answer.data["restart"]["needed"] is False
