"""Stores of two eras, schemas that are unknown, and a file store below an OpenClaw of the SQLite era."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import close, run_json, run_process
from support.gateway import StubGateway
from support.keys import LEAD
from support.rows import delete, others, picture
from support.sqlite import Bases
from support.stores import TOKEN, Store
from support.trees import tree, write

# Other stores, and other ways in


def test_stores_of_two_eras_in_one_batch(bases: Bases) -> None:
    files = bases.store
    files.add(*((key, files.session(key, agent="main")) for key in ("agent:main:main", "agent:main:x")), agent="main")
    before = picture(bases)
    answer = delete(bases, "agent:main:x", LEAD + "alpha")
    assert (answer.code, answer.rows) == (0, [("agent:main:x", "closed"), (LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")
    assert files.listed("main") == ["agent:main:main"]
    assert {store["agent"]: store["era"] for store in answer.data["stores"]} == {
        "main": "files", "project-lead": "sqlite",
    }  # fmt: skip
    (receipt,) = files.receipts()
    assert {store["agent"]: store["backup"] is None for store in receipt["stores"]} == {
        "main": False, "project-lead": True,
    }  # fmt: skip


def test_archiving_two_eras_in_one_batch_changes_neither(bases: Bases) -> None:
    files = bases.store
    files.add(("agent:main:x", files.session("agent:main:x", agent="main")), agent="main")
    before, index = picture(bases), files.index("main").read_bytes()
    answer = close(bases, "agent:main:x", LEAD + "alpha", "--archive")
    assert (answer.code, answer.error) == (3, "no_archive")
    assert (picture(bases), files.index("main").read_bytes()) == (before, index)


@pytest.mark.parametrize("words", [(), ("--force", "--yes"), ("--dry-run",)])
def test_via_files_is_refused(bases: Bases, stub: StubGateway, words: tuple[str, ...]) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", "--via", "files", *words)
    assert (answer.code, answer.error) == (3, "sqlite_store")
    assert picture(bases) == before
    assert not bases.store.index().exists()
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("life", ["down", "up"])
def test_a_file_beside_the_database_is_refused(request: pytest.FixtureRequest, life: str) -> None:
    made: Bases = request.getfixturevalue("bases" if life == "up" else "down")
    write(made.store.index(), "{}")
    before = picture(made)
    answer = close(made, "alpha")
    assert (answer.code, answer.error) == (3, "mixed_store")
    assert "openclaw doctor" in answer.data["error"]["remedy"]
    assert picture(made) == before
    assert made.store.index().read_text() == "{}"


def test_tables_without_the_columns_that_are_read_are_refused(bases: Bases) -> None:
    with bases.open("project-lead") as connection:
        connection.execute("alter table session_nodes rename column entry_json to entry_text")
    before = picture(bases)
    for words in ((), ("--dry-run",)):
        answer = delete(bases, "alpha", *words)
        assert (answer.code, answer.error) == (3, "unknown_store")
        assert "entry_json" in answer.data["error"]["message"]
        assert picture(bases) == before


LOOKS = {
    "list": (ListSessions, ()),
    "close": (CloseProjectBatch, ("alpha",)),
    "keep": (KeepOnlySessions, (LEAD + "beta",)),
    "cleanup": (CleanupSessions, ()),
}
looks = pytest.mark.parametrize("look", LOOKS)


@looks
@pytest.mark.parametrize("column", ["session_key", "current_session_id", "status"])
def test_bytes_where_there_should_be_text_are_refused(down: Bases, column: str, look: str) -> None:
    with down.open("project-lead") as connection:
        connection.execute("pragma foreign_keys = off")
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute(f"update session_nodes set {column} = x'00ff' where session_key = ?", (LEAD + "alpha",))
    command, words = LOOKS[look]
    answer = run_json(command, *words, state=down.store.state)
    assert answer.code == {"list": 0, "cleanup": 1}.get(look, 3), answer
    assert "bytes for text" in json.dumps(answer.data)


def test_a_view_in_the_place_of_a_table_is_never_asked(down: Bases) -> None:
    with down.open("project-lead") as connection:
        columns = [row[0] for row in connection.execute("select name from pragma_table_info('session_nodes')")]
        connection.execute("pragma foreign_keys = off")
        connection.execute("alter table session_nodes rename to aside")
        endless = "with recursive r(n) as (select 1 union all select n + 1 from r)"
        named = ", ".join(f"n as {column}" for column in columns)
        connection.execute(f"create view session_nodes as {endless} select {named} from r where n < 0")
    # In a process of its own: nothing but its end ends a query.
    done = run_process("close-project-batch", "--json", "alpha", state=down.store.state)
    assert (done.code, json.loads(done.stdout)["error"]["name"]) == (3, "unknown_store")


@pytest.mark.parametrize("version", [23, 24, 99])
def test_a_newer_schema_with_the_same_columns_is_taken(bases: Bases, stub: StubGateway, version: int) -> None:
    bases.create("future", version)
    bases.add("agent:future:alpha")
    with bases.open("future") as connection:
        connection.execute("alter table session_nodes add column something_new text")
    stub.serve(bases.store.state, TOKEN)
    assert delete(bases, "agent:future:alpha").rows == [("agent:future:alpha", "closed")]


# A file store below an OpenClaw of the SQLite era


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, name: str = "openclaw") -> None:
    """Put an openclaw package on PATH; without a version, a script that is no package and says nothing useful."""
    package = folder / "lib" / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    write(package / "openclaw.mjs", "#!/bin/sh\nexit 1\n", mode=0o700)
    if version is not None:
        write(package / "package.json", json.dumps({"name": name, "version": version}))
    (folder / "bin").mkdir()
    (folder / "bin" / "openclaw").symlink_to(package / "openclaw.mjs")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("words", [(), ("--via", "files"), ("--force", "--yes"), ("--dry-run",)])
@pytest.mark.parametrize("version", ["2026.9.6", "2026.8.1", "2026.7.2-beta.3"])
def test_a_file_store_that_was_not_migrated_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, words: tuple[str, ...]
) -> None:
    installed(tmp_path / "usr", monkeypatch, version)
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", *words, state=store.state)
    assert (answer.code, answer.error) == (3, "unmigrated_store")
    assert version in answer.data["error"]["message"]
    assert "openclaw doctor --fix" in answer.data["error"]["remedy"]
    assert tree(store.state) == before


@pytest.mark.parametrize("version", ["2026.7.35", "2026.5.7", "2026.7.2", "none-of-that", "", None])
def test_a_file_store_of_an_older_or_unknown_openclaw_is_closed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    installed(tmp_path / "usr", monkeypatch, version)
    assert run_json(CloseProjectBatch, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]


def test_a_package_of_another_name_says_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "usr", monkeypatch, "2026.9.6", name="something-else")
    assert run_json(CloseProjectBatch, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]


def test_a_version_that_only_the_command_says_counts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "openclaw", "#!/bin/sh\necho 'OpenClaw 2026.9.6 (abcdef0)'\n", mode=0o700)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(tmp_path / "openclaw"))
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert (answer.code, answer.error) == (3, "unmigrated_store")
    assert tree(store.state) == before


def test_a_running_gateway_vouches_for_its_file_store(
    tmp_path: Path, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Store(tmp_path / "state", stub.port)
    files.add((LEAD + "alpha", files.session(LEAD + "alpha")))
    installed(tmp_path / "usr", monkeypatch, "2026.9.6")
    stub.serve(files.state, TOKEN)
    assert run_json(CloseProjectBatch, "alpha", state=files.state).rows == [(LEAD + "alpha", "closed")]
