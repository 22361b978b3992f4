"""Who listens at a port is asked where something does, and nobody waits for a port at which nothing is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from session_closer.core.status import Life
from session_closer.openclaw import home
from session_closer.openclaw.gateway import find
from support.stores import build


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ports of which the kernel's table was asked."""
    ports: list[int] = []

    def stranger(port: int) -> str:
        ports.append(port)
        return "uid 4242 listens there"

    monkeypatch.setattr(find.peers, "stranger", stranger)
    return ports


def look(tmp_path: Path, port: int) -> find.Found:
    """Return what is found where a configuration names a port."""
    store = build(tmp_path / f"state-{len(list(tmp_path.iterdir()))}", port)
    return find.find(home.find({"HOME": os.environ["HOME"]}, state_dir=str(store.state)))


def test_nobody_is_looked_for_where_nothing_listens(tmp_path: Path, asked: list[int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = look(tmp_path, port)
    assert found.life is Life.DOWN
    assert f"nothing listens at port {port}" in " ".join(found.evidence)
    assert port not in asked


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_what_listens_is_asked_who_it_is_before_it_is_waited_for(
    tmp_path: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(find, "_answers", pytest.fail)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError as problem:
        pytest.skip(f"no such address here: {problem}")
    with server:
        port = server.getsockname()[1]
        found = look(tmp_path, port)
    assert asked == [port]
    assert f"port {port} is left out of consideration: uid 4242 listens there" in found.evidence
    assert "nothing listens" not in " ".join(found.evidence)


def test_where_the_kernel_says_nothing_at_once_it_is_asked_again_with_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_AT_ONCE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = look(tmp_path, port)
        assert f"port {port} belongs to process {os.getpid()}" in " ".join(found.evidence)
    assert f"nothing listens at port {port}" in " ".join(look(tmp_path, port).evidence)
