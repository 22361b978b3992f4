"""Folders that others may write in: where a command is called, where its packages are, what is on PATH."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import bootstrap
import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.openclaw import home
from session_closer.openclaw.gateway.command import OpenClaw
from support.commands import one_document, run_process
from support.keys import LEAD
from support.stores import Store
from support.trees import tree
from support.users import ROOT, STRANGER, VICTIM

from .conftest import Ground

WAIT_SECONDS = 60


def test_what_outlives_a_command_imports_nothing_from_the_folder_where_it_was_called(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "anybodys"
    here.mkdir()
    for name in ("json", "importlib"):
        (here / f"{name}.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'a').write(__name__)\n")
    done = run_process(
        "close-project-batch", "--json", "--self", "alpha", "alpha",
        state=store.state, before=f"import json, os; os.chdir({str(here)!r})",
    )  # fmt: skip
    assert [row["status"] for row in one_document(done.stdout)["results"]] == ["deferred"], done
    deadline = time.monotonic() + WAIT_SECONDS
    while store.open_runs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.open_runs() == []
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("path", ["", ".", "bin"])
def test_no_openclaw_is_taken_from_the_folder_where_a_command_is_called(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        program = folder / "openclaw"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([path, "/nowhere"]))
    where = home.find(os.environ, state_dir=str(store.state))
    assert OpenClaw(where, None, None).words == []
    monkeypatch.setenv("PATH", os.pathsep.join([path, str(tmp_path / "bin")]))
    assert OpenClaw(home.find(os.environ, state_dir=str(store.state)), None, None).words == [str(program)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A filled cache: its folder, which is in one of its own, holds the packages in `site`."""
    made = tmp_path / "above" / "cache"
    (made / "site" / "plumbum").mkdir(parents=True)
    (made / "site" / "plumbum" / "__init__.py").write_text("there = True\n")
    for path in (made.parent, made, made / "site"):
        path.chmod(0o700)
    return made


PACKAGES: bootstrap.Packages = [("plumbum", "plumbum/__init__.py", (2,), (3,))]


def serves(cache: Path) -> bool:
    return bootstrap.is_private(str(cache)) and bootstrap.is_filled(str(cache / "site"), PACKAGES)


@pytest.mark.parametrize("part", ["", "..", "site"])
@pytest.mark.parametrize("by", ["mode", "owner"])
def test_packages_that_another_user_may_exchange_are_not_imported(cache: Path, part: str, by: str) -> None:
    assert serves(cache)
    path = (cache / part).resolve()
    if by == "mode":
        path.chmod(0o777)
    elif os.geteuid() == ROOT:
        os.chown(path, STRANGER, STRANGER)
    else:
        pytest.skip("only root can give a folder to another user")
    assert not serves(cache)


def test_a_temporary_folder_for_all_in_which_nobody_touches_what_is_anothers_will_do(cache: Path) -> None:
    cache.parent.chmod(0o1777)
    assert serves(cache)


@pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can give a file another group")
def test_a_store_of_a_group_that_its_owner_is_not_in_is_refused_before_anything_is_begun(
    ground: Callable[[int], Ground],
) -> None:
    at = ground(VICTIM)
    index = at.store.index()
    os.chown(index, VICTIM, STRANGER)
    before = tree(at.store.state)
    for words in (("--dry-run",), ()):
        answer = at.does(CloseProject, "alpha", *words)
        assert (answer.code, answer.error, answer.data["receipt"]) == (3, "unwritable", None)
        assert f"{index} has the group {STRANGER}, which you are not in" in answer.data["error"]["message"]
        assert f"chgrp {VICTIM} {index}" in answer.data["error"]["remedy"]
    assert tree(at.store.state) == before
    # A folder that hands that group down gives it to what is written there.
    os.chown(index.parent, VICTIM, STRANGER)
    index.parent.chmod(0o2700)
    assert at.does(CloseProject, "alpha").rows == [(LEAD + "alpha", "closed")]
    assert index.stat().st_gid == STRANGER


@pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can give a file another group")
def test_root_gives_its_store_any_group(ground: Callable[[int], Ground]) -> None:
    at = ground(ROOT)
    os.chown(at.store.index(), ROOT, STRANGER)
    assert at.does(CloseProject, "alpha").rows == [(LEAD + "alpha", "closed")]
    assert at.store.index().stat().st_gid == STRANGER
