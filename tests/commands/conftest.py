"""Gateways in every state of life for the tests of the commands, and what they leave to others."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.openclaw.files import close
from session_closer.operations import apply, bundles
from session_closer.system import processes
from support.clock import Brisk, handed
from support.commands import run_json
from support.gateway import StubGateway, StubOpenClaw
from support.sqlite import Bases, Delete
from support.stores import TOKEN, Stage, Store, build
from support.worker import BeforeComparing, Between, Left

DAC_OVERRIDE, DAC_READ_SEARCH = 1 << 1, 1 << 2


@pytest.fixture
def mortal() -> Iterator[None]:
    """A user who may not write whatever the rights of a folder are: root does without that one right."""
    if os.geteuid() != 0:
        yield
        return
    if not sys.platform.startswith("linux"):
        pytest.skip("root may write anywhere")
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    # Effective, permitted, inheritable; twice, for the higher bits.
    mine = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, mine) == 0
    fewer = (ctypes.c_uint32 * 6)(*mine)
    fewer[0] &= ~(DAC_OVERRIDE | DAC_READ_SEARCH)
    assert libc.capset(header, fewer) == 0
    try:
        yield
    finally:
        assert libc.capset(header, mine) == 0


@pytest.fixture(autouse=True)
def _short_waits() -> Iterator[None]:
    """The stub writes nothing of its own accord, so nobody has to wait for what it might write."""
    with handed(Brisk()):
        yield


@pytest.fixture
def delete(stub: StubGateway) -> Delete:
    """Delete sessions through the stub, which is gone again afterwards."""

    def deleted(bases: Bases, *keys: str) -> str:
        port, bases.store.port = bases.store.port, stub.port
        bases.store.configure()
        stub.serve(bases.store.state, TOKEN)
        answer = run_json(CloseProjectBatch, "--delete", *keys, state=bases.store.state)
        assert answer.code == 0, answer
        assert stub.lock is not None
        stub.lock.unlink()
        bases.store.port = port
        bases.store.configure()
        return Path(answer.data["receipt"]).stem

    return deleted


@pytest.fixture
def served(tmp_path: Path, stub: StubGateway) -> Store:
    """The sample store, with the stub as its gateway and no `openclaw` command."""
    store = build(tmp_path / "state", stub.port)
    stub.serve(store.state, TOKEN)
    return store


@pytest.fixture
def openclaw(tmp_path: Path, stub: StubGateway, monkeypatch: pytest.MonkeyPatch) -> StubOpenClaw:
    """An `openclaw` command that can restart the stub; ask for it after `served`."""
    made = StubOpenClaw(tmp_path / "bin", stub)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(made.path))
    return made


@pytest.fixture
def stage(tmp_path: Path, stub: StubGateway, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Return a maker of the sample store with its gateway down, up, mute, no-openclaw, no-delete or unknown.

    Mute lets nobody in, but `openclaw` can restart it; no-delete lets us in and refuses to delete.
    """
    with contextlib.ExitStack() as held:

        def make(life: str, **order: Any) -> Store:
            if life == "down":
                return build(tmp_path / "state", closed_port)
            if life == "unknown":
                # Somebody listens, and the process cannot be looked at: another user's, say.
                stranger = held.enter_context(socket.create_server(("127.0.0.1", 0)))
                monkeypatch.setattr(processes, "listeners", dict)
                store = build(tmp_path / "state", stranger.getsockname()[1])
                store.configure(token=None)
                return store
            store = build(tmp_path / "state", stub.port)
            refuse = {"mute": "connect", "no-openclaw": "connect", "no-delete": "delete"}.get(life)
            stub.serve(store.state, TOKEN, refuse=refuse, **order)
            if life != "no-openclaw":
                command = StubOpenClaw(tmp_path / "bin", stub)
                monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(command.path))
            return store

        yield make


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> Iterator[Left]:
    """What commands leave to the process that outlives them."""
    made = Left(monkeypatch)
    yield made
    made.die()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Do something when all is planned and the lock is about to be taken."""

    def set_up(happens: Callable[[], object]) -> None:
        for module in (apply,):
            monkeypatch.setattr(module, "locked", _preceded(module.locked, happens))

    return set_up


@pytest.fixture
def before_comparing(monkeypatch: pytest.MonkeyPatch) -> BeforeComparing:
    """Do something each time all of a session's export is written, before it is compared: given is its key."""

    def set_up(happens: Callable[[str], object]) -> None:
        real = bundles._as_it_was

        def compared(making: Any, *words: Any) -> str:
            happens(making.whose.key)
            return real(making, *words)

        monkeypatch.setattr(bundles, "_as_it_was", compared)

    return set_up


@pytest.fixture
def afterwards(monkeypatch: pytest.MonkeyPatch) -> Between:
    """Do something as soon as the files of closed sessions have their archive names."""

    def set_up(happens: Callable[[], object]) -> None:
        real = close.archive

        def archive(*words: Any) -> None:
            real(*words)
            happens()

        monkeypatch.setattr(close, "archive", archive)

    return set_up


def _preceded(real: Any, happens: Callable[[], object]) -> Any:
    @contextlib.contextmanager
    def locked(*words: Any) -> Iterator[None]:
        happens()
        with real(*words):
            yield

    return locked
