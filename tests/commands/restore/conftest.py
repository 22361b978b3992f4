"""Databases for the tests of restore-sessions, their gateway up or stopped."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import run_json
from support.gateway import StubGateway
from support.restore import DELETED, Down, held
from support.service import Service
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases with a gateway that runs."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


@pytest.fixture
def service(bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The command of a gateway that is a service, at a port of its own; it does not run yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Service(tmp_path / "service", bases.store.state, TOKEN, port)
    monkeypatch.setenv("PATH", os.pathsep.join([str(made.folder), os.environ["PATH"]]))
    yield made
    made.tell(stop=None)
    if made.pid is not None:
        made.run("gateway", "stop")


@pytest.fixture
def down(bases: Bases, stub: StubGateway, service: Service) -> Down:
    before = held(bases)
    closed = run_json(CloseProjectBatch, "--delete", *DELETED, state=bases.store.state)
    assert closed.code == 0
    # From here on the gateway is the service's, and that does not run.
    bases.store.port = service.port
    bases.store.configure()
    assert stub.lock is not None
    stub.lock.unlink()
    return Down(bases, service, closed, before)
