"""Close a session of a hostile store, and hold what is said when that is refused."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from session_closer.cli.commands.close_project import CloseProject

from support.commands import Answer, Result, run_json
from support.keys import LEAD
from support.stores import Store
from support.terminal import RAW

TARGET, KEPT = LEAD + "target", LEAD + "kept"


def check_refused(result: Result, *words: str) -> None:
    """One clear line, exit 3."""
    assert result.code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "; next: " in result.stderr
    assert not RAW.search(result.stderr)
    assert all(word in result.stderr for word in words), result.stderr


def close(store: Store, *words: str) -> Answer:
    """Close the target; whatever is odd about it, the answer is one document."""
    return run_json(CloseProject, words[0] if words else TARGET, *words[1:], state=store.state)


def as_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def as_directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        try:
            os.chdir(path.parent)  # a socket's path may have 107 characters only
            made.bind(path.name)
        finally:
            os.chdir(here)
