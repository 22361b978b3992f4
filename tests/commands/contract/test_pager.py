"""A long list is read in a pager where that is asked for, on a terminal, and never else."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest
from session_closer.cli import streams
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import run
from support.stores import Store
from support.terminal import on_terminal


@pytest.fixture
def pager(tmp_path: Path) -> Path:
    """A pager that keeps what it was given, and shows nothing."""
    path = tmp_path / "pager"
    path.write_text(f"#!/bin/sh\ncat > {tmp_path}/read\n")
    path.chmod(0o755)
    return path


def test_on_a_terminal_the_list_is_read_in_the_pager_with_each_key_whole(store: Store, pager: Path) -> None:
    seen = on_terminal("list-sessions", "--pager", state=store.state, PAGER=f"'{pager}'")
    assert (seen.code, seen.text) == (0, "")
    read = (pager.parent / "read").read_text()
    assert [key for key in store.listed() if f"  {key}" not in read] == []


def test_nothing_is_read_in_a_pager_unless_that_is_asked_for(store: Store, pager: Path) -> None:
    seen = on_terminal("list-sessions", state=store.state, PAGER=str(pager))
    assert (seen.code, "KEY" in seen.words) == (0, True)
    assert "KEY" in run(ListSessions, "--pager", state=store.state).stdout
    assert not (pager.parent / "read").exists()


def test_a_reader_who_leaves_early_is_no_failure(store: Store) -> None:
    seen = on_terminal("restore-sessions", "--list", "--pager", state=store.state, PAGER="true")
    assert (seen.code, seen.text) == (0, "")


def test_what_a_reader_has_left_unread_does_not_come_out_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = pty.openpty()
    with (
        os.fdopen(reading, "rb", buffering=0) as seen,
        os.fdopen(writing, "w") as terminal,
        monkeypatch.context() as patched,
    ):
        patched.setattr(sys, "stdout", terminal)
        patched.setenv("PAGER", "true")
        with streams.paged():
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            streams.put(["unread"], enough=True)
        streams.put(["read"], enough=True)
        assert seen.read(100) == b"read\r\n"


@pytest.mark.parametrize("named", ["/nowhere/at/all", "'"])
def test_a_pager_that_cannot_be_started_is_one_line_and_exit_2(store: Store, named: str) -> None:
    seen = on_terminal("list-sessions", "--pager", state=store.state, PAGER=named)
    assert (seen.code, seen.text.count("\n")) == (2, 1)
    assert seen.words.startswith("error: the pager ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (ListSessions, ("--pager", "--json")), (RestoreSessions, ("--list", "--pager", "--json")),
        (RestoreSessions, ("--pager", "last")),
    ],
)  # fmt: skip
def test_a_pager_is_for_what_only_shows_text(store: Store, command: type, words: tuple[str, ...]) -> None:
    result = run(command, *words, state=store.state)
    assert (result.code, "--pager" in result.stderr) == (2, True)
