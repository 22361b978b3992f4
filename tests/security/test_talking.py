"""What answers at the gateway's address, by whomever: it leads us nowhere, takes no memory, and is given its time."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import websockets.sync.client
from session_closer.openclaw.gateway import restart
from session_closer.openclaw.gateway.link import LinkLost, SocketLink
from session_closer.system import peers
from support.patience import PATIENCE_SECONDS
from support.stores import TOKEN
from websockets.sync.server import ServerConnection, serve

SECRET = "a-secret"
Server = Callable[[Callable[[socket.socket, bytes], None]], int]


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a starter of a server that says what it is told to each request; its port."""
    with contextlib.ExitStack() as held:

        def start(answer: Callable[[socket.socket, bytes], None]) -> int:
            made = held.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        line, _ = made.accept()
                        held.enter_context(line)
                        line.settimeout(20)
                        answer(line, line.recv(65536))

            thread = threading.Thread(target=accept, daemon=True)
            thread.start()
            held.callback(thread.join)
            held.callback(made.shutdown, socket.SHUT_RDWR)
            return int(made.getsockname()[1])

        yield start


def end(line: socket.socket, answer: bytes) -> None:
    """Say the last word."""
    line.sendall(answer)
    line.shutdown(socket.SHUT_WR)


def greet(line: socket.socket, request: bytes) -> None:
    """Answer the request for a WebSocket."""
    (key,) = [row.split(b": ")[1] for row in request.split(b"\r\n") if row.lower().startswith(b"sec-websocket-key")]
    accepted = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    line.sendall(head + b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("named", [False, True])
def test_nobody_is_told_anything_at_the_address_to_which_an_answer_leads(
    server: Server, status: int, named: bool
) -> None:
    asked: list[bytes] = []
    other = server(lambda _, request: asked.append(request))

    def lead(line: socket.socket, _request: bytes) -> None:
        place = f"Location: ws://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n"
        end(line, f"HTTP/1.1 {status} Elsewhere\r\n{place}".encode())

    port = server(lead)
    with pytest.raises(LinkLost):
        SocketLink(f"ws://127.0.0.1:{port}", SECRET, named=named)
    assert restart.speaks_http(port)
    assert asked == []


def test_no_proxy_is_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    proxy = server(lambda _, request: asked.append(request))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
    port = server(lambda line, _: end(line, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))
    with pytest.raises(LinkLost):
        SocketLink(f"ws://127.0.0.1:{port}", SECRET)
    assert restart.speaks_http(port)
    assert asked == []


@pytest.mark.parametrize("announced", [5 << 20, 1 << 40])
def test_before_its_hello_nobody_is_given_more_memory_than_that_needs(
    server: Server, announced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, objection = threading.Event(), peers.objection

    def look(*line: Any, **more: Any) -> str:
        why = objection(*line, **more)
        looked.set()
        return why

    def boast(line: socket.socket, request: bytes) -> None:
        greet(line, request)
        # Such a frame ends the connection, and whose a connection was that has ended is not to be seen.
        assert looked.wait(PATIENCE_SECONDS)
        line.sendall(struct.pack("!BBQ", 0x81, 127, announced) + b"x" * 1000)
        # It is answered with a close, and whoever has closed waits for the other end to hang up.
        assert line.recv(65536)
        line.shutdown(socket.SHUT_WR)

    monkeypatch.setattr(peers, "objection", look)
    with pytest.raises(LinkLost, match=r"1009|too big|exceeds"):
        SocketLink(f"ws://127.0.0.1:{server(boast)}", SECRET)


@pytest.fixture
def gateway() -> Iterator[int]:
    """The port of one that lists as many sessions as fill eight MiB."""

    def talk(line: ServerConnection) -> None:
        for message in line:
            frame = json.loads(message)
            payload = {} if frame["method"] == "connect" else {"sessions": ["x" * (8 << 20)]}
            line.send(json.dumps({"type": "res", "id": frame["id"], "ok": True, "payload": payload}))

    with serve(talk, "127.0.0.1", 0, compression=None) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield int(made.socket.getsockname()[1])
        made.shutdown()
        thread.join()


def test_a_gateway_may_say_much_and_take_its_time(gateway: int, monkeypatch: pytest.MonkeyPatch) -> None:
    how: list[dict[str, Any]] = []
    real = websockets.sync.client.connect
    monkeypatch.setattr(websockets.sync.client, "connect", lambda url, **more: how.append(more) or real(url, **more))
    link = SocketLink(f"ws://127.0.0.1:{gateway}", TOKEN)
    try:
        assert len(link.call("sessions.list", {})["sessions"][0]) == 8 << 20
    finally:
        link.close()
    # A ping that nobody answers would end a call long before its own time is up.
    assert [each["ping_interval"] for each in how] == [None]
