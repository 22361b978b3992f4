"""What a command leaves to the process that outlives it is promised only once that process has begun."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import handoff
from session_closer.system import processes
from support.commands import Result, one_document, run_json, run_process
from support.gateway import StubOpenClaw
from support.patience import PATIENCE_SECONDS
from support.programs import LIB
from support.stores import Store
from support.worker import ME, OTHER

WORDS = ("--json", "--self", ME, "alpha", "topics")
# As below a gateway that is a service of the system: there is a service manager, but none of this user.
SERVICE = """
from session_closer.system import processes
processes.control_group = lambda pid: "/system.slice/openclaw.service"
"""


def script(path: Path, line: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)
    return path


@pytest.fixture
def no_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemd-run` that cannot reach any service manager; return where it notes its calls."""
    calls = tmp_path / "bin" / "calls"
    path = script(tmp_path / "bin" / "systemd-run", f'echo "$*" >> "{calls}"; exit 1').parent
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    return calls


def row(data: dict[str, Any], key: str = ME) -> dict[str, Any]:
    (found,) = [row for row in data["results"] if row["key"] == key]
    return dict(found)


def check_it_is_done(store: Store, done: Result) -> None:
    """Check that what was put off is done by a process that the command has left behind."""
    data = one_document(done.stdout)
    assert (done.code, row(data)["status"], row(data, OTHER)["status"]) == (0, "deferred", "closed")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while store.open_runs() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.open_runs() == []
    (receipt,) = [receipt for receipt in store.receipts() if receipt["id"] == Path(data["receipt"]).stem]
    assert (receipt["state"], row(receipt)["status"], row(receipt)["error"]) == ("done", "closed", None)
    assert {ME, OTHER}.isdisjoint(store.listed())


@pytest.mark.long
def test_where_no_scope_can_be_made_the_process_begins_without_one(store: Store, no_manager: Path) -> None:
    done = run_process("close-project-batch", *WORDS, state=store.state, before=SERVICE)
    check_it_is_done(store, done)
    assert no_manager.read_text().startswith("--user --scope ")
    assert len(no_manager.read_text().splitlines()) == 1


@pytest.mark.long
def test_a_path_with_a_colon_in_it_hinders_nothing(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "odd: path" / "lib"
    place.parent.mkdir()
    place.symlink_to(LIB)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from session_closer.cli.commands.close_project_batch import"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", f"{program} main; sys.exit(main())", place, *WORDS, "--state-dir", store.state],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    check_it_is_done(store, Result(done.returncode, done.stdout, done.stderr))


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors are looked at in /proc")
def test_it_has_the_record_open_and_nothing_else_of_the_command(store: Store) -> None:
    lock = store.lock_transcript(ME)
    done = run_process("close-project-batch", *WORDS, state=store.state)
    try:
        (left,) = [
            process
            for process in psutil.process_iter(["cmdline"])
            if handoff.__name__.replace("handoff", "worker") in (words := process.info["cmdline"] or [])
            and str(store.state) in words[-1]
        ]
        place = store.state / "session-closer" / "open" / store.open_runs()[0]
        opened = {os.path.realpath(path) for path in Path("/proc", str(left.pid), "fd").iterdir()}
        assert opened <= {os.devnull, str(place)}
        assert str(place) in opened
        # Where a relative path in the configuration leads to.
        assert left.cwd() == os.getcwd()
    finally:
        lock.unlink()
    check_it_is_done(store, done)


def hangs(folder: Path) -> str:
    return str(script(folder / "hangs", "exec sleep 600"))


@pytest.fixture(params=["is not there", "ends at once", "hangs"])
def no_python(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A Python that does not get as far as the task; return what is said of it."""
    path, said = {
        "is not there": (str(tmp_path / "no-python"), "cannot be started: No such file or directory"),
        "ends at once": (shutil.which("true"), "has ended before it began"),
        "hangs": (hangs(tmp_path / "slow"), "has not begun within "),
    }[request.param]
    monkeypatch.setattr(sys, "executable", path)
    if request.param == "hangs":
        monkeypatch.setattr(handoff, "_BEGIN_SECONDS", 0.5)
    return said


def children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("service", [False, True])
def test_where_it_does_not_begin_the_own_session_has_failed(
    store: Store, no_python: str, no_manager: Path, monkeypatch: pytest.MonkeyPatch, service: bool
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "session_closer.system.processes.control_group", lambda _pid: "/a.service" if service else "/a.scope"
    )
    before, listed = children(), store.listed()
    answer = run_json(CloseProjectBatch, "--self", ME, "alpha", "topics", state=store.state)
    assert (answer.code, dict(answer.rows)) == (1, {ME: "failed", OTHER: "closed"})
    assert (row(answer.data)["ok"], no_python in row(answer.data)["error"]) == (False, True)
    assert answer.data["kept"] == sum(key in store.listed() for key in listed)
    assert no_manager.exists() is service
    assert (ME in store.listed(), OTHER in store.listed()) == (True, False)
    # Neither a process nor an open record is left.
    assert children() == before
    assert store.open_runs() == []
    (receipt,) = store.receipts()
    assert (receipt["state"], row(receipt)["status"]) == ("done", "failed")
    assert answer.data["receipt"].endswith(f"{receipt['id']}.json")


def test_it_can_be_closed_by_the_same_command_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", shutil.which("true"))
        assert run_json(CloseProjectBatch, "--self", ME, "alpha", "topics", state=store.state).code == 1
    again = run_json(CloseProjectBatch, "alpha", "topics", state=store.state)
    assert dict(again.rows) == {ME: "closed", OTHER: "already_closed"}


def test_where_it_does_not_begin_the_gateway_is_not_restarted_and_that_is_said(
    served: Store, openclaw: StubOpenClaw, no_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "is_below", lambda _pid: True)
    answer = run_json(CloseProject, "--via", "files", "topics", state=served.state)
    assert (answer.code, answer.rows) == (1, [(OTHER, "closed")])
    restart = answer.data["restart"]
    assert (restart["needed"], restart["ok"], restart["result"]) == (True, False, "not-run")
    assert no_python in restart["detail"]
    assert "openclaw gateway restart" in restart["detail"]
    (receipt,) = served.receipts()
    assert (receipt["state"], receipt["restart"]["result"]) == ("done", "not-run")
    assert (served.open_runs(), openclaw.calls("restart")) == ([], [])


def test_a_restore_below_the_gateway_says_so_too(
    served: Store, openclaw: StubOpenClaw, no_python: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_json(CloseProject, "topics", state=served.state).code == 0
    monkeypatch.setattr(processes, "is_below", lambda _pid: True)
    answer = run_json(RestoreSessions, "last", state=served.state)
    assert (answer.code, answer.rows) == (1, [(OTHER, "restored")])
    restart = answer.data["restart"]
    assert (restart["needed"], restart["ok"], restart["result"]) == (True, False, "not-run")
    assert no_python in restart["detail"]
    assert [receipt["restart"]["result"] for receipt in served.receipts()][-1] == "not-run"
    assert (served.open_runs(), openclaw.calls("restart")) == ([], [])
