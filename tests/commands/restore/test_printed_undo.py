"""The undo that a close prints works in a shell as it stands there."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import one_document, run_process
from support.programs import BARE, LIB, importable, put_python
from support.stores import build, picture

BIN = LIB.parent / "bin"


@pytest.mark.parametrize("name", ["state", 'it\'s a "state" dir; $HOME `x` ñ', "tab\tand\nnewline"])
def test_the_undo_that_a_close_prints_works_in_a_shell(tmp_path: Path, closed_port: int, name: str) -> None:
    store = build(tmp_path / name, closed_port)
    before = picture(store)
    environ = {**os.environ, "PYTHONPATH": importable()}
    words = ["--json", "--state-dir", str(store.state), "topics"]
    program = [sys.executable, *BARE, "-B", str(BIN / "close-project")]
    closed = subprocess.run([*program, *words], env=environ, capture_output=True, text=True, check=True)
    undo = one_document(closed.stdout)["undo"]
    assert undo.isprintable()
    assert shlex.split(undo)[0] == str(BIN / "restore-sessions")
    # A script of the checkout is started by the Python on PATH, which has our dependencies here.
    place = tmp_path / "path"
    place.mkdir()
    put_python(place)
    environ["PATH"] = os.pathsep.join([str(place), environ["PATH"]])
    shell = shutil.which("bash") or "/bin/bash"
    done = subprocess.run([shell, "-c", undo], env=environ, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    assert "1 restored" in done.stdout
    assert picture(store) == before


@pytest.mark.long
@pytest.mark.parametrize("config", [False, True])
def test_the_undo_that_a_close_prints_needs_no_environment(tmp_path: Path, closed_port: int, config: bool) -> None:
    store = build(tmp_path / "state", closed_port)
    named = {"OPENCLAW_STATE_DIR": str(store.state)}
    if config:
        moved = store.state / "sessions of {agentId}.json"
        named["OPENCLAW_CONFIG_PATH"] = str(tmp_path / "elsewhere.json")
        settings = json.loads((store.state / "openclaw.json").read_text())
        settings["session"] = {"store": str(moved)}
        (tmp_path / "elsewhere.json").write_text(json.dumps(settings))
        for agent in store.state.joinpath("agents").iterdir():
            store.index(agent.name).rename(str(moved).format(agentId=agent.name))
    closed = run_process("close-project", "--json", "topics", env=named)
    undo = shlex.split(one_document(closed.stdout)["undo"])
    assert closed.code == 0
    # From where the environment says nothing; the words themselves may set some of it.
    at = undo.index("restore-sessions")
    environ = dict(word.split("=", 1) for word in undo[1:at])
    assert (undo[:at] == []) is not config
    done = run_process("restore-sessions", *undo[at + 1 :], env=environ)
    assert done.stdout.startswith("1 restored; "), done.stderr
