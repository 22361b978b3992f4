"""No test reaches the real home or a real gateway, and a guard proves it when the session ends."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import plumbum
import psutil
import pytest
from session_closer.openclaw.environment import state_dir_of
from session_closer.openclaw.home import DEFAULT_PORT
from session_closer.system import peers, processes
from support import choice, connection
from support.clock import HandIn, handed
from support.gateway import StubGateway, stub_gateway
from support.homes import CALLER, CALLERS_HOME, REAL_HOMES, CallersEnviron
from support.memory import folder_in_memory
from support.programs import TESTS
from support.shares import Share
from support.stores import Store, build

OURS = ("session-closer", "sessions.json.bak-*", "sessions.json.session-closer-*")
# psutil takes the first of all processes for the one that has no parent.
RAN_BEFORE = set(psutil.pids()[1:]) - {os.getpid()}
# What hypothesis tries of each property with --brief; of itself 100.
FEW_EXAMPLES = 20
# Where each event of a start has the environment.
STARTS = {"subprocess.Popen": 3, "os.posix_spawn": 2, "os.exec": 2}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the words that leave nothing out, or more."""
    parser.addoption("--everything", action="store_true", help="all there is to try; in tests/live on all versions")
    parser.addoption("--brief", action="store_true", help="of long tables some rows, of sweeps a few points")
    parser.addoption("--rest", action="store_true", help="a share of what --brief leaves out, sweeps at more points")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what --everything adds; with --brief and with --rest take what each of them takes."""
    if config.getoption("--everything"):
        return
    depths = ((item, item.get_closest_marker("depth")) for item in items)
    taken = [item for item, depth in depths if depth is None or depth.args]
    for word, choose in (("--brief", choice.brief), ("--rest", choice.rest)):
        if config.getoption(word):
            taken = list(itertools.compress(taken, choose(map(_row, taken))))
    if left_out := set(items).difference(taken):
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = taken


def _row(item: pytest.Item) -> choice.Row:
    sweeps = item.path.is_relative_to(TESTS / "faults") and "some" in getattr(item, "fixturenames", ())
    sweeps = sweeps or hypothesis.is_hypothesis_test(getattr(item, "obj", None))
    return choice.Row(item.nodeid.partition("[")[0], item.get_closest_marker("long") is not None, sweeps)


def pytest_configure(config: pytest.Config) -> None:
    """Give all that is started from here on a home of its own, workers included: a real command looks at processes."""
    if config.getoption("--brief"):
        hypothesis.settings.register_profile("brief", max_examples=FEW_EXAMPLES)
        hypothesis.settings.load_profile("brief")
    if hasattr(config, "workerinput"):
        return
    memory = None if os.environ.get("TMPDIR") else folder_in_memory()
    if memory is not None:
        # A disk takes most of the time of tests that put thousands of small folders there and away again.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", memory)
    home = tempfile.TemporaryDirectory(prefix="session-closer-tests-", dir=memory)
    config.add_cleanup(home.cleanup)
    os.environ.update({CALLER: CALLERS_HOME, "HOME": home.name})
    for name in _names_of_openclaw():
        del os.environ[name]


def _names_of_openclaw() -> list[str]:
    return [name for name in os.environ if name.startswith(("OPENCLAW_", "CLAWDBOT_"))]


def _refuse_what_is_real(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to start a process that a real command could take for its gateway, and to look at a real one's port."""
    if event == "socket.connect" and arguments[1][1:2] == (DEFAULT_PORT,):
        raise AssertionError("a gateway of whoever runs the tests may listen there")
    if event not in STARTS:
        return
    environ = arguments[STARTS[event]]
    if isinstance(environ, CallersEnviron):
        return
    environ = {os.fsdecode(name): os.fsdecode(value) for name, value in (environ or os.environ).items()}
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    state = Path(state_dir_of({**environ, "HOME": str(home)}))
    if home in REAL_HOMES or not REAL_HOMES.isdisjoint(state.parents):
        raise AssertionError(f"{arguments[:2]} would start in the home of whoever runs the tests")


sys.addaudithook(_refuse_what_is_real)
connection.watch()


def traces(home: Path) -> dict[str, int]:
    """Return what our commands would leave in a home: state directories, and in them our records and backups.

    Only these: an OpenClaw that runs while the tests do may write whatever else it likes.
    """
    found = {}
    for state in sorted([*home.glob(".openclaw*"), *home.glob(".clawdbot*")]):
        found[str(state)] = 0
        for pattern in OURS:
            for path in state.rglob(pattern):
                inside = [path, *path.rglob("*")] if path.is_dir() else [path]
                found.update({str(each): each.lstat().st_mtime_ns for each in inside})
    return found


@pytest.fixture(scope="session", autouse=True)
def _real_homes_stay_as_they_are() -> Iterator[None]:
    before = {home: traces(home) for home in REAL_HOMES}
    yield
    assert {home: traces(home) for home in REAL_HOMES} == before, "a test has touched a real home"


@pytest.fixture(scope="session")
def _worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """New folders, one after the other. (For a name that is free pytest would look at all that there are.)"""
    root = tmp_path_factory.mktemp("worlds")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def world(request: pytest.FixtureRequest, _worlds: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME, TMPDIR, caches and PATH into an empty world; return it. Nothing of OpenClaw is in sight."""
    made = next(_worlds)
    made.mkdir(mode=0o700)
    ours = [name for name in os.environ if name.startswith("SESSION_CLOSER_") and name != "SESSION_CLOSER_LIVE_CACHE"]
    for name in (*_names_of_openclaw(), *ours):
        monkeypatch.delenv(name)
    # Restarting goes through the user's service manager: no test may reach it.
    for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "COMP_WORDS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (made / "home").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(made / "home"))
    # A copy that plumbum has made when it was loaded.
    monkeypatch.setitem(plumbum.local.env, "HOME", str(made / "home"))
    if request.node.get_closest_marker("live") is None:
        (made / "tmp").mkdir(mode=0o700)
        monkeypatch.setenv("TMPDIR", str(made / "tmp"))
        monkeypatch.setitem(plumbum.local.env, "TMPDIR", str(made / "tmp"))
        monkeypatch.setattr(tempfile, "tempdir", None)
        monkeypatch.setenv("XDG_CACHE_HOME", str(made / "home" / ".cache"))
        monkeypatch.setenv("PATH", os.pathsep.join(_path_without_openclaw()))
    return made


def _path_without_openclaw() -> list[str]:
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    # A version manager's `python3` is a script that takes longer to start than what it starts.
    folders = [os.path.dirname(sys.executable), *folders]
    return [folder for folder in folders if shutil.which("openclaw", path=folder) is None]


@pytest.fixture(autouse=True)
def no_power_is_cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: what a process has written outlives it, and what a power cut would leave is found in a model."""
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _nobody_else_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    """Let a command in this process see no process that ran before the tests, and nobody at the port that is closed.

    To look through all processes and sockets of a machine takes most of a short command's time, for each of them.
    """
    if request.node.get_closest_marker("live") is None:
        pids, sockets = psutil._psplatform.pids, peers._sockets
        # What has ended may give its number to what a test starts.
        RAN_BEFORE.intersection_update(pids())
        for module, name in ((psutil._psplatform, "pids"), (processes, "_pids")):
            monkeypatch.setattr(module, name, lambda: [pid for pid in pids() if pid not in RAN_BEFORE])
        monkeypatch.setattr(peers, "_sockets", lambda port: [] if port == closed_port else sockets(port))


@pytest.fixture
def hand_in() -> Iterator[HandIn]:
    """Hand a clock to each command that the test runs in this process from then on."""
    with contextlib.ExitStack() as held:
        yield lambda clock: held.enter_context(handed(clock))


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A port at which nothing listens and nobody can begin to while the tests run."""
    with contextlib.ExitStack() as held:
        four = held.enter_context(socket.socket(socket.AF_INET))
        four.bind(("127.0.0.1", 0))
        port: int = four.getsockname()[1]
        with contextlib.suppress(OSError):
            six = held.enter_context(socket.socket(socket.AF_INET6))
            six.bind(("::1", port))
        yield port


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubGateway]:
    """The process of a stub gateway: each test tells it whom to serve."""
    with stub_gateway(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(scope="session")
def some(pytestconfig: pytest.Config) -> Share:
    """Take a share of the points of a sweep, all of them with --everything."""
    return Share(bool(pytestconfig.getoption("--everything")))


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    """The sample store in `tmp_path/state`; its gateway is down."""
    return build(tmp_path / "state", closed_port)
