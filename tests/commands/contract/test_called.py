"""Commands that a message prints are found by a shell, however the command that prints them was called."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import one_document
from support.keys import LEAD
from support.programs import LIB, importable, put_python
from support.stores import Store

CLONE = LIB.parent / "bin"
# Each program makes its place in the folder it is run in, and what it prints as undo is then run in another one.
LINKED = f"mkdir x; ln -s '{CLONE}/close-project' x/close-project; "
CALLS = {
    "by its path": (f"'{CLONE}/close-project'", f"{CLONE}/restore-sessions"),
    "through PATH": (f"PATH='{CLONE}':$PATH; close-project", f"{CLONE}/restore-sessions"),
    "by a link": (f"{LINKED} x/close-project", f"{CLONE}/restore-sessions"),
    "by a link on PATH": (f"{LINKED} PATH=$PWD/x:$PATH; close-project", f"{CLONE}/restore-sessions"),
    "by a link of another name": (f"{LINKED} mv x/close-project x/cp; x/cp", f"{CLONE}/restore-sessions"),
    "by links of all": (f"ln -s '{CLONE}' all; \"$PWD\"/all/close-project", "HERE/all/restore-sessions"),
    "by its bare name": (f"cd '{CLONE}'; python3 close-project", f"{CLONE}/restore-sessions"),
}


def called(store: Store, place: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, with the Python of whoever runs the tests and its packages."""
    (place / "path").mkdir(exist_ok=True)
    put_python(place / "path")
    environ = {
        **os.environ,
        "PYTHONPATH": importable(),
        "PATH": os.pathsep.join([str(place / "path"), os.environ["PATH"]]),
        "OPENCLAW_STATE_DIR": str(store.state),
    }
    line = f"{program} {shlex.join(words)}" if words else program
    shell = [shutil.which("bash") or "bash", "-c", line]
    return subprocess.run(shell, env=environ, cwd=place, capture_output=True, text=True, check=False)


@pytest.mark.long
@pytest.mark.parametrize(("program", "undo"), CALLS.values(), ids=CALLS)
def test_the_undo_is_found_from_anywhere(store: Store, tmp_path: Path, program: str, undo: str) -> None:
    done = called(store, tmp_path, program, "topics", "--json")
    assert done.returncode == 0, done.stderr
    found = one_document(done.stdout)["undo"]
    assert shlex.split(found)[0] == undo.replace("HERE", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    restored = called(store, tmp_path / "elsewhere", found)
    assert "1 restored" in restored.stdout, restored.stderr
    assert LEAD + "topics" in store.entries()


def test_a_command_that_was_called_by_a_relative_path_names_its_neighbours_so(store: Store, tmp_path: Path) -> None:
    program = f"ln -s '{CLONE}' bin; bin/close-project"
    done = called(store, tmp_path, program, "topics", "--json")
    assert one_document(done.stdout)["undo"].startswith("bin/restore-sessions --state-dir ")


@pytest.mark.parametrize(("program", "undo"), CALLS.values(), ids=CALLS)
def test_a_remedy_is_found_from_anywhere(store: Store, tmp_path: Path, program: str, undo: str) -> None:
    done = called(store, tmp_path, program, "alpha", "beta")
    batch = undo.replace("HERE", str(tmp_path)).replace("restore-sessions", "close-project-batch")
    assert (done.returncode, done.stderr.partition("; next: ")[2]) == (2, f"several are closed with: {batch}\n")


def test_a_hint_is_found_from_anywhere(store: Store, tmp_path: Path) -> None:
    done = called(store, tmp_path, CALLS["by a link"][0], "zzz", "--agent", "main", "--json")
    (row,) = one_document(done.stdout)["results"]
    assert (
        row["error"]
        == f"not in agent main; see them with: {CLONE}/list-sessions --state-dir {store.state} --agent main"
    )


@pytest.mark.long
@pytest.mark.parametrize("name", ["by a link", "by its bare name", "by a link of another name"])
def test_the_same_command_again_is_found(store: Store, tmp_path: Path, name: str) -> None:
    done = called(store, tmp_path, CALLS[name][0], "kelly-dashboard", "--max", "1")
    assert done.returncode == 3
    again = done.stderr.partition("; next: if all of them are meant: ")[2].strip()
    assert called(store, tmp_path, again).returncode == 0, again
    assert LEAD + "kelly-dashboard" not in store.entries()
