"""Whose a lock is: its process, the start of that process, and the lock's own date decide; then 30 minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from session_closer.core.errors import Busy
from session_closer.core.status import Life
from session_closer.openclaw import lockfile
from session_closer.openclaw.files.lock import reclaimable, store_lock
from session_closer.openclaw.gateway.find import find
from session_closer.openclaw.home import Home
from session_closer.system import processes
from session_closer.system.disk import Disk

MINUTE, HOUR, YEAR = 60.0, 3600.0, 365 * 86400.0
NO_PROCESS = 2**22 + 1
linux = pytest.mark.skipif(sys.platform != "linux", reason="start times are compared on Linux only")


@pytest.fixture(scope="module")
def child() -> Iterator[int]:
    """A process that lives, and was started just now."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


@pytest.fixture(params=["sessions.json.lock", "1.jsonl.lock"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a lock is: of an index, or of a transcript."""
    return tmp_path / str(request.param)


def wrote(path: Path, age: float, *, created: float | None = None, **content: Any) -> None:
    """Write a lock file that is as old as that; `created`: the age by its own word, another one."""
    if created is not None:
        moment = datetime.fromtimestamp(time.time() - created, UTC)
        content["createdAt"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    path.write_text(json.dumps(content))
    os.utime(path, (time.time() - age, time.time() - age))


def is_stale(path: Path) -> bool:
    """Tell what is done with a lock: one of an index is taken over, one of a transcript protects nothing."""
    if path.name.startswith("sessions"):
        return reclaimable(str(path))
    return not lockfile.run_in_flight(str(path))


@linux
@pytest.mark.parametrize("age", [0, HOUR, YEAR, -YEAR])
def test_a_living_process_whose_start_is_the_locks_holds_it_however_old(path: Path, child: int, age: float) -> None:
    wrote(path, age, created=age, pid=child, starttime=processes.start_ticks(child))
    assert not is_stale(path)


@linux
def test_a_process_of_another_user_that_is_hidden_from_us_lives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As under a /proc that is mounted with hidepid."""

    def forbid(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbid)
    wrote(path, MINUTE, pid=NO_PROCESS, starttime=1)
    assert not is_stale(path)
    wrote(path, HOUR, pid=NO_PROCESS)
    assert is_stale(path)


@linux
@pytest.mark.parametrize("age", [MINUTE, YEAR, -YEAR])
def test_a_process_with_another_start_does_not_hold_it(path: Path, child: int, age: float) -> None:
    wrote(path, age, pid=child, starttime=1)
    assert is_stale(path)


@pytest.mark.parametrize("age", [MINUTE, 20 * MINUTE, YEAR])
def test_a_process_that_is_younger_than_the_lock_does_not_hold_it(path: Path, child: int, age: float) -> None:
    wrote(path, age, pid=child)
    assert is_stale(path)


def test_the_date_in_the_lock_goes_before_that_of_the_file(path: Path, child: int) -> None:
    wrote(path, 0, created=HOUR, pid=child)
    assert is_stale(path)


@pytest.mark.parametrize("created", ["", "now", "2026-13-45T00:00:00Z", 5, None, [], "0001-01-01T00:00:00+14:00x"])
def test_a_date_that_is_none_leaves_that_of_the_file(path: Path, child: int, created: object) -> None:
    wrote(path, HOUR, pid=child, createdAt=created)
    assert is_stale(path)
    wrote(path, 0, pid=child, createdAt=created)
    assert not is_stale(path)


@pytest.mark.parametrize("created", ["0001-01-01T00:00:00+14:00", "0001-01-01", "9999-12-31T23:59:59-14:00"])
def test_a_date_at_the_end_of_the_calendar_is_one(path: Path, created: str) -> None:
    wrote(path, 0, pid=NO_PROCESS, createdAt=created)
    assert is_stale(path)


@pytest.mark.parametrize(("age", "stale"), [(0, False), (25 * MINUTE, False), (35 * MINUTE, True)])
def test_of_a_process_that_is_older_than_the_lock_and_says_no_start_the_age_decides(
    path: Path, child: int, monkeypatch: pytest.MonkeyPatch, age: float, *, stale: bool
) -> None:
    monkeypatch.setattr(processes, "born", lambda _pid: time.time() - YEAR)
    wrote(path, age, pid=child)
    assert is_stale(path) is stale


@pytest.mark.parametrize("text", ["", "{", "\0\0", "[]", "7", '{"pid": "x"}', '{"pid": null}', '{"pid": true}'])
@pytest.mark.parametrize(("age", "stale"), [(0, False), (25 * MINUTE, False), (35 * MINUTE, True)])
def test_of_a_lock_that_names_no_process_the_age_decides(path: Path, text: str, age: float, *, stale: bool) -> None:
    path.write_text(text)
    os.utime(path, (time.time() - age, time.time() - age))
    assert is_stale(path) is stale


@pytest.mark.parametrize("pid", [NO_PROCESS, 10**20, 2**31, 2**63, -1, 0, -(10**20)])
@pytest.mark.parametrize("age", [MINUTE, YEAR, -MINUTE, -YEAR])
def test_a_lock_of_no_living_process_is_stale_also_one_of_the_future(path: Path, pid: int, age: float) -> None:
    wrote(path, age, created=age, pid=pid)
    assert is_stale(path)


@pytest.mark.parametrize("started", [10**20, -1, "7", None, [], 1.5, True])
def test_a_start_of_any_kind_is_borne(path: Path, child: int, started: object) -> None:
    wrote(path, 0, pid=child, starttime=started)
    assert isinstance(is_stale(path), bool)


def test_what_is_gone_holds_nothing(path: Path) -> None:
    assert reclaimable(str(path)) is False
    assert lockfile.run_in_flight(str(path)) is False


def test_a_process_of_another_namespace_that_locked_the_index_just_now_is_given_time(tmp_path: Path) -> None:
    lock = tmp_path / "sessions.json.lock"
    for age in (5, -5):
        wrote(lock, age, pid=NO_PROCESS)
        assert not reclaimable(str(lock))


@linux
def test_a_lock_that_is_waited_for_is_named_with_age_process_and_the_way_out(tmp_path: Path) -> None:
    me = os.getpid()
    lock = tmp_path / "sessions.json.lock"
    wrote(lock, 5 * MINUTE + 1, pid=me, starttime=processes.start_ticks(me))
    with pytest.raises(Busy) as caught, store_lock(Disk(), str(tmp_path / "sessions.json"), wait=0.0):
        raise AssertionError("the lock was taken")
    assert str(lock) in caught.value.message
    assert f"process {me}" in caught.value.message
    assert "5m" in caught.value.message
    assert str(me) in caught.value.remedy
    assert f"rm {lock}" in caught.value.remedy
    assert lock.exists()


def test_a_lock_of_nobody_that_is_waited_for_says_when_it_will_be_taken(tmp_path: Path) -> None:
    lock = tmp_path / "sessions.json.lock"
    lock.write_text("")
    with pytest.raises(Busy) as caught, store_lock(Disk(), str(tmp_path / "sessions.json"), wait=0.0):
        raise AssertionError("the lock was taken")
    assert "names no process" in caught.value.message
    assert "30m" in caught.value.remedy


# The lock of a gateway


def gateway_lock(home: Home, age: float, **content: Any) -> None:
    """Write a gateway's lock file as old as that."""
    folder = Path(home.state, "tmp", f"openclaw-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    wrote(folder / "gateway.0123abcd.lock", age, created=age, stateDir=home.state, **content)


@pytest.fixture
def home(tmp_path: Path, closed_port: int) -> Home:
    """A state directory without any other trace of a gateway."""
    state = tmp_path.resolve() / "state"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": closed_port}}))
    return Home(str(state), "--state-dir", {"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")})


def test_a_gateway_lock_whose_process_is_younger_is_no_trace(home: Home, child: int) -> None:
    gateway_lock(home, MINUTE, pid=child)
    assert find(home).life is Life.DOWN


def test_a_gateway_lock_is_never_too_old(home: Home, child: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "born", lambda _pid: time.time() - 2 * YEAR)
    gateway_lock(home, YEAR, pid=child)
    assert (find(home).life, find(home).pid) == (Life.UP, child)


@pytest.mark.parametrize("pid", [10**20, 2**31, NO_PROCESS, -1, 0, "7", None, True, [], 1.5])
def test_a_gateway_lock_of_no_process_is_no_trace(home: Home, pid: object) -> None:
    gateway_lock(home, 0, pid=pid)
    assert find(home).life is Life.DOWN


@pytest.mark.parametrize("port", [10**20, -1, 65536, "x", None, [], 1.5])
def test_a_gateway_lock_with_any_port_is_borne(home: Home, child: int, port: object) -> None:
    gateway_lock(home, 0, pid=child, port=port)
    assert find(home).pid == child
