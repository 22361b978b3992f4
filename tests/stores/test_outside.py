"""What comes from outside may be anything: one line and a documented exit code, never a traceback."""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names
from session_closer.openclaw import home
from support.clock import At, HandIn
from support.commands import run, run_json
from support.keys import LEAD
from support.stores import Store

LOOKS: list[tuple[type[Command], tuple[str, ...]]] = [
    (ListSessions, ()),
    (CloseProject, ("alpha", "--dry-run")),
    (CleanupSessions, ("--dry-run", "--stale", "subagent=1d")),
    (RestoreSessions, ("--list",)),
]
ANYTHING = [None, True, -1, 10**400, 1.5, "", "\0", "\ud83d", "x\n", "${NOWHERE}", [], [None], {"": [[]]}, [[[[]]]]]
SETTINGS = ["gateway", "gateway.port", "gateway.auth", "gateway.auth.token", "session", "session.store",
            "session.dmScope", "session.maintenance", "session.maintenance.mode", "session.maintenance.pruneAfter",
            "session.maintenance.resetArchiveRetention", "agents", "agents.list", "agents.entries", "secrets",
            "$include"]  # fmt: skip


def look(store: Store) -> None:
    """Every command says what it says in a few lines, with a documented exit code."""
    for command, words in LOOKS:
        result = run(command, *words, state=store.state)
        assert result.code in (0, 1, 2, 3, 6), result
        assert result.code == 0 or result.stderr.count("\n") <= 1, result.stderr


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_setting_may_be_anything(
    store: Store, closed_port: int, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where the configuration names no port a real gateway's would be looked at.
    monkeypatch.setattr(home, "DEFAULT_PORT", closed_port)
    for value in ANYTHING:
        whole: Any = value
        for name in reversed(setting.split(".")):
            whole = {name: whole}
        (store.state / "openclaw.json").write_text(json.dumps(whole))
        look(store)


NESTED = pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])


def nest(store: Store, depth: int, opening: str, closing: str) -> None:
    """Write a configuration that is nested so deep."""
    inner = "0" if opening != "[" else ""
    (store.state / "openclaw.json").write_text(f'{{"deep": {opening * depth}{inner}{closing * depth}}}')


@NESTED
def test_a_configuration_that_is_nested_without_end_is_one_line(store: Store, opening: str, closing: str) -> None:
    nest(store, 100_000, opening, closing)
    before = store.index().read_bytes()
    result = run(CloseProject, "alpha", state=store.state)
    assert (result.code, result.stderr.count("\n")) == (3, 1), result
    assert "openclaw.json" in result.stderr
    assert store.index().read_bytes() == before


@NESTED
def test_one_that_is_nested_deep_is_read_where_python_can_follow_it(
    store: Store, closed_port: int, opening: str, closing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "DEFAULT_PORT", closed_port)
    nest(store, 600, opening, closing)
    before = store.index().read_bytes()
    result = run(CloseProject, "alpha", state=store.state)
    follows = sys.version_info >= (3, 12)
    assert (store.index().read_bytes() != before) is follows
    assert (result.code, "openclaw.json" in result.stderr) == ((0, False) if follows else (3, True)), result


@pytest.mark.parametrize("value", ["", " ", "x", "-1", "65536", "1e3", "9" * 5000, "\u0661\u0662", "1:2:3", "[::1]:7"])
def test_a_port_in_the_environment_may_be_anything(store: Store, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", value)
    look(store)


@pytest.fixture
def _no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.usefixtures("_no_thread")
def test_where_no_thread_is_to_be_had_all_is_done_one_after_the_other(store: Store) -> None:
    before = store.index().read_bytes()
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    assert [path.read_bytes() for path in store.backups()] == [before]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert store.index().read_bytes() == before


def test_a_folder_that_has_the_archive_name_of_this_moment_is_passed_by(store: Store, hand_in: HandIn) -> None:
    now = datetime(2016, 11, 21, 0, 41, 24, 769000, UTC)
    hand_in(At(now))
    session = store.entries()[LEAD + "topics"]["sessionId"]
    live = f"{session}-topic-42.jsonl"
    raw = (store.folder() / live).read_bytes()
    stamp = names.stamp(now)
    taken = [store.folder() / names.archive_name(live, stamp), Path(f"{store.index()}.bak-{stamp}")]
    for folder in taken:
        folder.mkdir()
        (folder / "mine").write_text("mine\n")
    before = store.index().read_bytes()
    answer = run_json(CloseProject, "topics", state=store.state)
    assert (answer.code, answer.rows) == (0, [(LEAD + "topics", "closed")])
    (archive,) = answer.data["results"][0]["archives"]
    assert Path(archive).read_bytes() == raw
    assert not os.path.lexists(store.folder() / live)
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    assert store.index().read_bytes() == before
    assert (store.folder() / live).read_bytes() == raw
    assert all((folder / "mine").read_text() == "mine\n" for folder in taken)


@pytest.mark.parametrize("stem", ["a", "a.bak-b", ".bak-", "sessions.json.bak-"])
@pytest.mark.parametrize("how", ["deleted.", "bak.", "bak-"])
def test_a_stamp_is_free_whatever_the_name_in_front_of_it(stem: str, how: str) -> None:
    now = datetime(2016, 11, 21, 0, 41, 24, 769000, UTC)
    assert names.free_stamp(now, [f"{stem}.jsonl.{how}{names.stamp(now)}"]) != names.stamp(now)
