"""Start-up stays cheap: what only one path needs is not imported on the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run_process
from support.leavings import Leavings
from support.programs import BARE
from support.stores import Store
from support.terminal import on_terminal

CLOSERS = ("close-project", "close-project-batch", "keep-only-sessions")
SHOW = """
import atexit, json, os
def show():
    with open(os.environ["LOADED"], "w") as file:
        json.dump(sorted(sys.modules), file)
atexit.register(show)
"""
# Only a gateway, a configuration with comments or a database needs these.
RARE = {"rich", "websockets", "json5", "sqlite3", "asyncio", "multiprocessing", "urllib.request", "http.client", "ssl"}
# Only a change needs these.
CHANGES = ("operations.apply", "operations.recover", "journal.journal", "openclaw.files.close")
# Only an interrupted run, and what is left to another process, needs these.
RECOVERY = (
    "operations.recover", "operations.worker", "operations.task", "openclaw.recorded", "openclaw.files.recover",
    "openclaw.files.replay", "openclaw.sqlite.recover",
)  # fmt: skip
# Only a database, a policy, a filter, a gateway, a worktree or an export needs these.
OTHERS = (
    "openclaw.sqlite.store", "openclaw.sqlite.close", "openclaw.gateway.restart", "openclaw.gateway.service",
    "openclaw.attached.bindings", "openclaw.attached.worktrees", "core.policy", "core.verdicts", "core.filters",
    "operations.children", "core.export.parts",
)  # fmt: skip
# Only work on a store needs these.
WORK = {"psutil", "ctypes", "uuid", "difflib", "hashlib", "socket", "tempfile", "subprocess"}


@pytest.fixture(scope="module")
def unavoidable() -> set[str]:
    """What plumbum.cli imports itself, whatever we do."""
    program = "import json, sys; import plumbum.cli; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, *BARE, "-c", program], capture_output=True, check=True)
    found = set(json.loads(done.stdout))
    assert found.isdisjoint({"websockets", "json5", "sqlite3", "asyncio", "psutil", "ctypes"})
    return found


def loaded(store: Store, name: str, *words: str) -> set[str]:
    """Return the modules that a command has imported when it ends."""
    return loaded_at(store.state, name, *words)


def loaded_at(state: Path, name: str, *words: str) -> set[str]:
    """Return the same where any folder is the state directory, or the home."""
    path = state.parent / "loaded"
    result = run_process(name, *words, state=state, before=SHOW, env={"LOADED": str(path)})
    assert result.code in (0, 2), result.stderr
    return set(json.loads(path.read_text()))


@pytest.mark.parametrize("name", [*CLOSERS, "list-sessions", "export-sessions"])
@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--no-such-flag",)])
def test_words_that_touch_no_store_load_nothing_for_one(
    store: Store, unavoidable: set[str], name: str, words: tuple[str, ...]
) -> None:
    found = loaded(store, name, *words)
    assert "session_closer.cli.app" in found
    assert found & (RARE | WORK) - unavoidable == set()


@pytest.mark.parametrize("name", CLOSERS)
@pytest.mark.parametrize("words", [("--dry-run", "alpha"), ("alpha",)])
def test_a_small_file_store_without_a_gateway_loads_nothing_for_anything_else(
    store: Store, unavoidable: set[str], name: str, words: tuple[str, ...]
) -> None:
    found = loaded(store, name, *words)
    assert "session_closer.operations.close" in found
    assert found & RARE - unavoidable == set()
    assert found & {f"session_closer.{other}" for other in OTHERS} == set()


def test_a_list_of_a_small_file_store_loads_nothing_that_changes_one(store: Store, unavoidable: set[str]) -> None:
    found = loaded(store, "list-sessions")
    assert "session_closer.operations.list" in found
    assert found & {f"session_closer.{name}" for name in CHANGES} == set()
    assert found & RARE - unavoidable == set()


def test_a_dry_run_loads_nothing_that_finishes_a_run(store: Store) -> None:
    found = loaded(store, "close-project-batch", "--dry-run", "alpha")
    assert "session_closer.operations.close" in found
    assert found & {f"session_closer.{name}" for name in ("operations.apply", *RECOVERY)} == set()


def test_a_look_at_a_home_loads_nothing_that_changes_one(tmp_path: Path) -> None:
    home = Leavings(tmp_path / "home")
    home.lay_all()
    found = loaded_at(home.path, "cleanup-sessions", "--dry-run")
    assert {"session_closer.operations.prune", "session_closer.hermes.home"} <= found
    changes = {
        f"session_closer.{name}" for name in ("operations.put_away", "operations.recover_homes", "artifacts.aside")
    }
    assert found & {"msgspec", "psutil", "ctypes", *changes} == set()
    home.close()


def test_json5_is_for_a_configuration_that_json_refuses(store: Store) -> None:
    path = store.state / "openclaw.json"
    path.write_text(path.read_text().replace("{", "{ // a comment\n", 1))
    found = loaded(store, "close-project", "alpha")
    assert "json5" in found


def test_websockets_is_for_a_gateway(served: Store) -> None:
    found = loaded(served, "close-project", "topics")
    assert "websockets.sync.client" in found
    assert "asyncio" not in found


def on_a_terminal(store: Store, name: str, *words: str) -> set[str]:
    """Return the modules that a command has imported when it ends, and the same of it on a terminal."""
    path = store.state.parent / "loaded"
    seen = on_terminal(name, *words, state=store.state, before=SHOW, LOADED=str(path))
    assert seen.code in (0, 2), seen.text
    return set(json.loads(path.read_text()))


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--no-such-flag",), ("--json", "--dry-run", "alpha")])
def test_a_terminal_alone_is_no_reason_to_load_what_draws(store: Store, words: tuple[str, ...]) -> None:
    assert "rich" not in on_a_terminal(store, "close-project", *words)


def test_a_table_on_a_terminal_loads_what_draws_it_and_no_more(store: Store) -> None:
    found = on_a_terminal(store, "close-project", "--dry-run", "alpha")
    assert "rich" in found
    # The lock has none of them.
    assert found & {"pygments", "markdown_it", "mdurl"} == set()
