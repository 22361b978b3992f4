"""A gateway that is not to be recognised from here, in a container or behind a port that is passed on, is not none."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from .gateway import Gateway, free_port
from .lab import Lab, create, run

pytestmark = pytest.mark.live

ONE = "agent:project-lead:project-one"
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@pytest.mark.depth("2026.9.6")
def test_a_gateway_in_a_container_is_met_by_name_only(lab: Lab) -> None:
    name = lab.root / "node" / ".openclaw"
    name.mkdir(parents=True)
    mount = [*UNSHARE, "sh", "-c", f'mount --bind "{lab.state}" "{name}" && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
        pytest.skip("no mount namespace can be made here")
    (lab.root / "node" / "tmp").mkdir(mode=0o700)
    inside = {
        "OPENCLAW_STATE_DIR": str(name),
        "OPENCLAW_CONFIG_PATH": str(name / "openclaw.json"),
        "TMPDIR": str(lab.root / "node" / "tmp"),
    }
    command = [*mount, str(lab.install.node), str(lab.install.entry), "gateway", "--port", str(lab.port)]
    lab.gateway = Gateway(command, {**lab.environ(), **inside}, lab.root / "inside.log", lab.port, lab.auth)
    lab.gateway.wait_ready()
    with lab.rpc() as rpc:
        create(rpc, ONE)
    before = lab.entries("project-lead")

    refused = run(lab, "close-project", "--delete", "one")
    assert (refused.code, refused.json["gateway"]["state"]) == (6, "unknown")
    assert f"serves '{name}'" in " ".join(refused.json["gateway"]["evidence"]).replace('"', "'")
    assert lab.entries("project-lead") == before

    named = ["--url", f"ws://127.0.0.1:{lab.port}", "--gateway-state-dir", str(name)]
    closed = run(lab, "close-project", "--delete", *named, "one")
    assert (closed.code, closed.statuses()) == (0, {ONE: "closed"})
    assert ONE not in lab.entries("project-lead")


@contextlib.contextmanager
def passed_on(target: int) -> Iterator[int]:
    """Give a port whose listener passes on what it is told, as a container's proxy does."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept(server: socket.socket, held: contextlib.ExitStack) -> None:
        with contextlib.suppress(OSError):
            while True:
                pair = (held.enter_context(server.accept()[0]), socket.create_connection(("127.0.0.1", target)))
                held.enter_context(pair[1])
                for ends in (pair, pair[::-1]):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    with contextlib.ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server, held), daemon=True).start()
        yield int(server.getsockname()[1])


@pytest.mark.depth("2026.9.6")
def test_a_gateway_behind_a_port_that_is_passed_on_is_not_taken_for_none(lab: Lab) -> None:
    lab.start()
    state = lab.root / "of-the-container"
    state.mkdir(mode=0o700)
    (state / "agents" / "project-lead" / "sessions").mkdir(mode=0o700, parents=True)
    environ = {"OPENCLAW_STATE_DIR": str(state), "OPENCLAW_CONFIG_PATH": str(state / "openclaw.json")}
    for auth in (lab.auth, {"mode": "none"}):
        with passed_on(lab.port) as port:
            config = {"gateway": {"mode": "local", "port": port, "bind": "loopback", "auth": auth}}
            (state / "openclaw.json").write_text(json.dumps(config))
            looked = run(lab, "list-sessions", environ=environ)
        assert looked.json["gateway"]["state"] == "unknown"
        assert "and a gateway answers there" in " ".join(looked.json["gateway"]["evidence"])
    config["gateway"]["port"] = free_port()
    (state / "openclaw.json").write_text(json.dumps(config))
    assert run(lab, "list-sessions", environ=environ).json["gateway"]["state"] == "down"
