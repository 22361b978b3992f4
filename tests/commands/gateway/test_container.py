"""A gateway in a container, its state directory bind-mounted from here: it must never be taken for none."""

from __future__ import annotations

import contextlib
import http
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.core.status import Life
from session_closer.openclaw import home
from session_closer.openclaw.gateway import link
from session_closer.openclaw.gateway.find import Found, find
from support import stub
from support.commands import run_json
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.programs import command_line
from support.stores import TOKEN, Store, build
from support.trees import tree
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

LIVE = b'{"ok":true,"status":"live"}'
OTHER = LEAD + "topics"
BUSY = LEAD + "busy"


def look(store: Store) -> Found:
    return find(home.find(os.environ, state_dir=str(store.state)))


def check_left_alone(store: Store, *said: str) -> None:
    """Check that nothing is edited unless it is asked for, and then nothing that says it is running."""
    store.add((BUSY, store.session(BUSY, status="running")))
    before = tree(store.state)
    answer = run_json(CloseProject, OTHER, state=store.state)
    assert (answer.code, answer.error, answer.data["gateway"]["state"]) == (6, "gateway_needed", "unknown")
    evidence = " ".join(answer.data["gateway"]["evidence"])
    assert all(part in evidence for part in said), evidence
    told = run_json(CloseProject, "--via", "files", BUSY, state=store.state)
    assert [row["reason"] for row in told.data["results"]] == ["running"]
    assert tree(store.state) == before


# What listens only passes on


@pytest.fixture
def proxy() -> Iterator[Callable[[str], int]]:
    """Return a starter of a gateway that calls its state directory so, behind a process that is none; its port."""
    with contextlib.ExitStack() as held:

        def start(hello: str) -> int:
            def health(_link: ServerConnection, request: Request) -> Response | None:
                if request.path != "/healthz":
                    return None
                return Response(http.HTTPStatus.OK, "OK", Headers({"Content-Length": str(len(LIVE))}), LIVE)

            def talk(link: ServerConnection) -> None:
                order = {"token": TOKEN, "state": hello}
                for message in link:
                    link.send(json.dumps(stub.respond(order, {}, json.loads(message), {})))

            server = held.enter_context(serve(talk, "127.0.0.1", 0, process_request=health, compression=None))
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            held.callback(thread.join)
            held.callback(server.shutdown)
            return int(server.socket.getsockname()[1])

        yield start


def test_a_gateway_behind_a_port_that_is_passed_on_is_not_taken_for_none(
    tmp_path: Path, proxy: Callable[[str], int]
) -> None:
    store = build(tmp_path / "state", proxy("/home/node/.openclaw"))
    store.configure(token=None)
    check_left_alone(store, f"port {store.port} belongs to process {os.getpid()}, and a gateway answers there")


def test_a_name_that_is_also_a_folder_here_does_not_prove_that_it_serves_another(
    tmp_path: Path, proxy: Callable[[str], int]
) -> None:
    """In a container `/root/.openclaw` is not ours, though we may have one, too."""
    (tmp_path / "of-the-same-name").mkdir()
    store = build(tmp_path / "state", proxy(str(tmp_path / "of-the-same-name")))
    check_left_alone(store, "and a gateway answers there", "of-the-same-name")


def test_a_gateway_behind_such_a_port_that_says_that_it_is_ours_is_used(
    tmp_path: Path, proxy: Callable[[str], int]
) -> None:
    store = build(tmp_path / "state", proxy(str(tmp_path / "state")))
    answer = run_json(CloseProject, OTHER, state=store.state)
    assert (answer.code, answer.data["gateway"]["state"]) == (0, "up")
    assert [row["route"] for row in answer.data["results"]] == ["gateway"]
    assert OTHER not in store.listed()


def plain(status: str, body: bytes, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n" + body


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"hello\r\n\r\n" + LIVE,
        plain("404 Not Found", b"<html>not here</html>"),
        plain("200 OK", b'{"ok":true}'),
        plain("200 OK", b'{"status":"live"}'),
        plain("302 Found", b"", "Location: /health"),
        plain("200 OK", b"x" * (1 << 20) + LIVE),
    ],
    ids=["its end", "another protocol", "no HTTP", "404", "ok", "live", "redirect", "too much"],
)
def test_what_does_not_answer_as_a_gateway_does_is_something_else(tmp_path: Path, said: bytes) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:

        def answer() -> None:
            # The first connection only looks whether anybody answers.
            for _ in range(4):
                link, _ = server.accept()
                held.enter_context(link)
                link.settimeout(PATIENCE_SECONDS)
                with contextlib.suppress(OSError):
                    request = link.recv(4096)
                    if request:
                        asked.append(request)
                        link.sendall(said)
                        link.close()

        threading.Thread(target=answer, daemon=True).start()
        store = build(tmp_path / "state", server.getsockname()[1])
        found = look(store)
        assert [request.split(b"\r\n")[0] for request in asked] == [b"GET /healthz HTTP/1.1"]
        assert found.life is Life.DOWN
        assert f"port {store.port} belongs to process {os.getpid()}, which serves something else" in found.evidence
        assert run_json(CloseProject, "alpha", state=store.state).code == 0


@pytest.mark.long
def test_what_says_nothing_may_be_a_gateway_that_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_CONNECT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        store = build(tmp_path / "state", server.getsockname()[1])
        assert look(store).life is Life.UNKNOWN
        before = tree(store.state)
        answer = run_json(CloseProject, "alpha", state=store.state)
        assert (answer.code, answer.error) == (6, "gateway_needed")
        assert "says nothing for a second" in answer.data["error"]["message"]
        assert tree(store.state) == before


# Its process is to be seen, and calls the folder by another name

UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@pytest.fixture(scope="module")
def _namespaces(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mounted")
    try:
        words = [*UNSHARE, "--net", "mount", "--bind", str(folder), str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except OSError as problem:
        pytest.skip(f"no container can be played here: {problem}")
    if done.returncode != 0:
        pytest.skip(f"no container can be played here: {done.stderr.strip()}")


Contain = Callable[..., Store]


@pytest.fixture
def contain(tmp_path: Path, _namespaces: None) -> Iterator[Contain]:
    """Return a maker of the sample store with its gateway in a container.

    `name`: what the container calls the folder; `says`: what its process says that it serves; `source`: what is
    mounted, if it is not the store; `alone`: it has a network of its own.
    """
    program = tmp_path / "openclaw-gateway"
    program.symlink_to(sys.executable)
    with contextlib.ExitStack() as held:

        def make(
            *, says: str | None = None, source: Path | None = None, alone: bool = False, more: str = "", **config: Any
        ) -> Store:
            state, name, folder = tmp_path / "state", tmp_path / "node" / ".openclaw", tmp_path / "gateway"
            for path in (name, folder):
                path.mkdir(parents=True)
            store = build(state, 0)
            order = {"state": str(state), "token": TOKEN, "hello": str(name)}
            (folder / "order").write_text(json.dumps(order))
            mount = f'mount --bind "{source or state}" "{name}" && {more or ":"}'
            # Without an address of its own a new network has no loopback to listen at.
            start = [program, "-c", "import time\nprint(9, flush=True)\ntime.sleep(600)"]
            start = start if alone else command_line("stub", str(folder), python=str(program))
            process = subprocess.Popen(
                [*UNSHARE, *(["--net"] if alone else []), "sh", "-c", f'{mount} && exec "$@"', "sh", *start],
                stdout=subprocess.PIPE,
                env={**os.environ, "OPENCLAW_STATE_DIR": says or str(name)},
            )
            held.callback(process.communicate)
            held.callback(process.kill)
            assert process.stdout is not None
            store.port = int(process.stdout.readline())
            store.configure(**config)
            return store

        yield make


def test_a_gateway_whose_folder_is_ours_under_another_name_is_ours(contain: Contain) -> None:
    store = contain()
    found = look(store)
    assert (found.life, found.port, found.sure) == (Life.UP, store.port, True)
    # It does not call the folder as we do, so nothing is asked of it unless its name for it is given.
    check_left_alone(store, "serves")


def test_a_session_that_runs_in_it_is_no_left_over_without_a_token_either(contain: Contain) -> None:
    store = contain(token=None)
    store.add((BUSY, store.session(BUSY, status="running")))
    answer = run_json(CloseProject, BUSY, state=store.state)
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("refused", "running")]
    assert BUSY in store.listed()


def test_a_gateway_whose_port_is_not_to_be_seen_is_not_taken_for_none(contain: Contain) -> None:
    store = contain(alone=True)
    assert look(store).port is None
    check_left_alone(store, "serves this folder from a container")


def test_a_gateway_whose_folder_cannot_be_compared_is_a_stranger(contain: Contain, tmp_path: Path) -> None:
    link = tmp_path / "node" / "by-link"
    store = contain(says=str(link), more=f'ln -s "{tmp_path / "node" / ".openclaw"}" "{link}"', token=None)
    check_left_alone(store, "a gateway in a container")


def test_a_gateway_of_another_folder_in_a_container_is_something_else(contain: Contain, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    store = contain(source=other)
    assert look(store).life is Life.DOWN
    assert run_json(CloseProject, "alpha", state=store.state).code == 0
