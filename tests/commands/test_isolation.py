"""Tests and the real home are nothing to each other: neither can touch or take for its own what the other has."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.core.status import Life
from session_closer.openclaw.environment import state_dir_of
from session_closer.openclaw.gateway.find import find
from session_closer.openclaw.home import Home
from session_closer.system import processes
from support.commands import run, run_json, run_process
from support.gateway import StubGateway, stub_gateway
from support.homes import CALLER, CALLERS_HOME, REAL_HOMES
from support.patience import PATIENCE_SECONDS
from support.programs import ROOT
from support.stores import TOKEN, Store, build
from support.trees import tree, write

NESTED = "SESSION_CLOSER_NESTED"


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


def is_real(environ: dict[str, str]) -> bool:
    """Tell whether a process with this environment serves a state directory of whoever runs the tests."""
    return not REAL_HOMES.isdisjoint(Path(state_dir_of(environ)).parents)


def test_a_gateway_of_the_tests_is_in_no_real_home(served: Store, stub: StubGateway) -> None:
    """The stub outlives tests, and so was started before any of them had a home of its own."""
    pids = {child.pid for child in psutil.Process().children(recursive=True)}
    assert stub.process.pid in pids
    if "PYTEST_XDIST_WORKER" in os.environ:
        pids.add(os.getpid())
    assert {pid: environ for pid in pids if (environ := processes.environment(pid)) and is_real(environ)} == {}


def test_a_gateway_of_the_tests_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    program = "import os, pathlib, signal, sys; sys.path[:0] = sys.argv[2:]; from support.gateway import StubGateway; "
    program += (
        "print(StubGateway(pathlib.Path(sys.argv[1])).process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    words = [sys.executable, "-B", "-c", program, str(tmp_path), *sys.path]
    killed = subprocess.run(words, stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(killed.stdout)).wait(PATIENCE_SECONDS)


def test_a_command_in_the_real_home_does_not_take_a_stub_for_its_gateway(
    served: Store, stub: StubGateway, tmp_path: Path
) -> None:
    """Not even one that is configured for the stub's port and has the temporary directory of the tests."""
    write(tmp_path / "theirs.json", json.dumps({"gateway": {"port": stub.port}}))
    theirs = {"OPENCLAW_CONFIG_PATH": str(tmp_path / "theirs.json"), "TMPDIR": os.environ["TMPDIR"]}
    state = os.path.realpath(Path(CALLERS_HOME, ".openclaw"))
    found = find(Home(state, "home", {"HOME": CALLERS_HOME, **theirs}))
    assert found.pid != stub.process.pid
    assert f"port {stub.port} belongs to process {stub.process.pid}, which serves something else" in found.evidence
    ours = find(Home(str(served.state), "--state-dir", dict(os.environ)))
    assert (ours.life, ours.pid) == (Life.UP, stub.process.pid)


@pytest.mark.parametrize(
    "environ",
    [{"HOME": CALLERS_HOME}, {"HOME": "/nonexistent", "OPENCLAW_STATE_DIR": str(Path(CALLERS_HOME, ".openclaw"))}],
    ids=["home", "state directory"],
)
@pytest.mark.parametrize(
    "start",
    [
        lambda environ: subprocess.run(["true"], env=environ, check=False),
        lambda environ: os.posix_spawn("/bin/true", ["true"], environ),
        lambda environ: os.execve("/bin/true", ["true"], environ),
    ],
    ids=["run", "spawn", "exec"],
)
def test_no_test_starts_a_process_in_the_real_home(
    start: Callable[[dict[str, str]], object], environ: dict[str, str]
) -> None:
    with pytest.raises(AssertionError, match="home of whoever runs the tests"):
        start(environ)


def test_the_openclaw_of_a_test_is_started_in_its_world(
    world: Path, served: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openclaw"
    program.write_text(f'#!/bin/sh\necho "$HOME $TMPDIR" > {tmp_path}/seen\nexit 1\n')
    program.chmod(0o700)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(program))
    assert run(CloseProject, "alpha", "--via", "files", state=served.state).code == 1
    assert (tmp_path / "seen").read_text().split() == [str(world / "home"), str(world / "tmp")]


def test_no_test_looks_at_the_port_of_a_real_gateway(world: Path, closed_port: int) -> None:
    build(world / "home" / ".openclaw", closed_port).configure(gateway={})
    with pytest.raises(AssertionError, match="whoever runs the tests"):
        run(CloseProject, "alpha")


@pytest.mark.skipif(NESTED in os.environ, reason="this is the run inside")
def test_tests_run_beside_a_gateway_of_their_caller_and_neither_notices(tmp_path: Path) -> None:
    home = tmp_path / "callers-home"
    (tmp_path / "gateway").mkdir()
    (tmp_path / "tmp").mkdir()
    with stub_gateway(tmp_path / "gateway") as real:
        store = build(home / ".openclaw", real.port)
        real.serve(store.state, TOKEN)
        assert real.lock is not None
        folder = store.state / "tmp" / real.lock.parent.name
        folder.mkdir(mode=0o700, parents=True)
        real.lock.rename(folder / real.lock.name)
        environ = {"HOME": str(home), "OPENCLAW_STATE_DIR": str(store.state), "TMPDIR": str(tmp_path / "tmp")}
        before = tree(home)
        inside = {name: value for name, value in os.environ.items() if name != CALLER and "XDIST" not in name}
        words = ["-m", "pytest", "-q", "-p", "no:xdist", str(Path(__file__).relative_to(ROOT))]
        done = subprocess.run(
            [sys.executable, "-B", *words],
            cwd=ROOT,
            env={**inside, **environ, NESTED: "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert real.methods() == []
        assert tree(home) == before
        # A command of the caller's does see it: the tests inside could have.
        seen = run_process("list-sessions", "--json", env=environ)
        assert json.loads(seen.stdout)["gateway"]["state"] == "up"
