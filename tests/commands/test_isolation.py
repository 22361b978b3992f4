"""A test cannot touch the real home."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from session_closer.commands.close_project import CloseProject
from support import REAL_HOMES, build, run, run_json


def test_a_command_without_state_dir_looks_at_the_home_of_the_test(world: Path, closed_port: int) -> None:
    store = build(world / "home" / ".openclaw", closed_port)
    answer = run_json(CloseProject, "kelly-dashboard")
    assert answer.code == 0
    assert answer.data["stores"][0]["path"] == str(store.index())
    assert "agent:project-lead:kelly-dashboard" not in store.listed()


def test_an_empty_home_of_the_test_is_all_there_is(world: Path) -> None:
    result = run(CloseProject, "kelly-dashboard")
    assert result.code == 3
    assert str(world / "home" / ".openclaw") in result.stderr


def test_home_temporary_directory_and_path_are_not_the_real_ones(world: Path) -> None:
    assert Path.home() == world / "home"
    assert Path.home() not in REAL_HOMES
    assert Path(tempfile.gettempdir()) == world / "tmp"
    assert shutil.which("openclaw") is None
    assert not [name for name in os.environ if name.startswith("OPENCLAW_")]
