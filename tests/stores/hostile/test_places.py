"""Stores that are links, folders, another user's, or not to be read; configurations that say nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import run, run_json
from support.hostile import as_dangling_link, as_directory, as_pipe, as_socket, check_refused, close
from support.keys import LEAD
from support.patience import it_ends
from support.stores import Store
from support.trees import tree

ROOT = os.geteuid() == 0


# What the store itself is


def test_a_linked_index_is_refused_with_the_real_path(store: Store, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    store.index().rename(real)
    store.index().symlink_to(real)
    before = tree(tmp_path)
    check_refused(run(CloseProject, "alpha", state=store.state), str(real))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("make", [as_dangling_link, as_directory, as_pipe, as_socket])
def test_an_index_that_is_no_file_is_refused_and_nobody_waits(store: Store, make: Callable[[Path], None]) -> None:
    store.index().unlink()
    make(store.index())
    before = tree(store.state)
    with it_ends():
        check_refused(run(CloseProject, "alpha", state=store.state), str(store.index()))
        check_refused(run(KeepOnlySessions, "alpha", state=store.state), str(store.index()))
    assert tree(store.state) == before


@pytest.mark.parametrize("what", ["index", "folder", "agent", "agents"])
def test_a_missing_store_is_not_found(store: Store, what: str) -> None:
    import shutil

    paths = {"index": store.index(), "folder": store.folder(), "agent": store.folder().parent,
             "agents": store.state / "agents"}  # fmt: skip
    shutil.rmtree(paths[what]) if paths[what].is_dir() else paths[what].unlink()
    before = tree(store.state)
    answer = close(store, "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "not_found")])
    check = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert (check.code, check.error) == (3, "unknown_name")
    assert tree(store.state) == before


def test_a_folder_that_is_a_file_is_refused(store: Store) -> None:
    import shutil

    shutil.rmtree(store.folder())
    store.folder().write_text("not a folder")
    before = tree(store.state)
    result = run(CloseProject, "alpha", state=store.state)
    assert result.code in (1, 3)
    assert "Traceback" not in result.stderr
    assert tree(store.state) == before


def test_our_own_folder_may_not_lead_outside(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (store.state / "session-closer").symlink_to(tmp_path / "outside")
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state))
    assert list((tmp_path / "outside").iterdir()) == []
    assert tree(store.state) == before


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
@pytest.mark.parametrize("what", ["everything", "sessions", "index", "ours"])
def test_a_store_of_another_user_is_refused(store: Store, what: str) -> None:
    run_json(CloseProject, "topics", state=store.state)
    all_of_it = [store.state, *store.state.rglob("*")]
    given = {"everything": all_of_it, "sessions": [store.folder()], "index": [store.index()],
             "ours": [store.state / "session-closer"]}[what]  # fmt: skip
    for path in given:
        os.lchown(path, 65534, 65534)
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state), "belongs to uid 65534")
    check_refused(run(CloseProject, "alpha", "--dry-run", state=store.state), "belongs to uid 65534")
    assert tree(store.state) == before


@pytest.mark.skipif(ROOT, reason="root may read and write everything")
@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_an_index_that_may_not_be_read_is_refused(store: Store, mode: int) -> None:
    store.index().chmod(mode)
    check_refused(run(CloseProject, "alpha", state=store.state), str(store.index()))


@pytest.mark.skipif(ROOT, reason="root may read and write everything")
def test_a_folder_that_may_not_be_written_loses_nothing(store: Store) -> None:
    store.folder().chmod(0o500)
    before = tree(store.state)
    try:
        result = run(CloseProject, "alpha", state=store.state)
        assert result.code == 1
        assert result.stderr.startswith("error: ")
        assert tree(store.state) == before
    finally:
        store.folder().chmod(0o700)


# The configuration


@pytest.mark.parametrize("text", ["{", "\0", "\x1b[31m", "[" * 100_000])
def test_a_configuration_that_cannot_be_read_is_refused(store: Store, text: str) -> None:
    (store.state / "openclaw.json").write_text(text)
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state), "openclaw.json")
    assert tree(store.state) == before


@pytest.mark.parametrize(
    "text", ["null", "[]", '"x"', "\ufeff{}", '{"gateway": 7, "session": []}', '{"gateway": {"port": "x"}}']
)
def test_a_configuration_that_says_nothing_is_no_reason_to_fail(
    store: Store, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(store.port))
    monkeypatch.setattr("session_closer.openclaw.home.DEFAULT_PORT", store.port)
    (store.state / "openclaw.json").write_text(text)
    assert close(store, "alpha").code == 0
