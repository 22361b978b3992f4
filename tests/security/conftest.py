"""The victim's home, store and environment; the other user's traps."""

from __future__ import annotations

import contextlib
import http
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.app import Command
from session_closer.openclaw.gateway import connection, link
from support.clock import Brisk, handed
from support.commands import Answer, run_json
from support.early import import_all
from support.stores import TOKEN, Store, build
from support.users import STRANGER, as_user, common_ground, running
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

LIVE = b'{"ok":true,"status":"live"}'

# Another user cannot read what is below root's home.
import_all()


class Ground(NamedTuple):
    """Who is attacked, and where: `shared` is everybody's temporary folder, `marks` where a trap leaves its mark."""

    uid: int
    store: Store
    shared: Path
    marks: Path

    @property
    def locks(self) -> Path:
        """The folder where the victim's gateway would have its lock file."""
        return self.shared / f"openclaw-{self.uid}"

    def does(self, command: type[Command], *words: str) -> Answer:
        """Run a command as the victim."""
        found: Answer = as_user(self.uid, lambda: run_json(command, *words, state=self.store.state))
        return found

    def marked(self) -> list[str]:
        """Return what the stranger's programs have been run as, and what the stranger's sockets have been told."""
        return sorted(path.read_text() for path in self.marks.iterdir())


@pytest.fixture
def ground(tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Ground]]:
    """Return a maker of a victim's ground, by uid."""
    # Whoever waits for a stranger fails here.
    # A trap takes no connection.
    monkeypatch.setattr(link, "_CONNECT_SECONDS", 1.0)
    with handed(_Impatient()), contextlib.ExitStack() as held:

        def make(uid: int) -> Ground:
            shared = held.enter_context(common_ground())
            marks = shared / "marks"
            marks.mkdir()
            marks.chmod(0o1777)
            home = shared / "home"
            store = build(home / ".openclaw", closed_port)
            for path in (home, *home.rglob("*")):
                os.chown(path, uid, uid)
            monkeypatch.setenv("HOME", str(home))
            monkeypatch.setenv("TMPDIR", str(shared))
            return Ground(uid, store, shared, marks)

        yield make


class _Impatient(Brisk):
    """Nobody waits for a gateway that does not open its port."""

    def sleep(self, seconds: float) -> None:
        """Wait, but not for that."""
        if seconds == connection.AWAKE_PAUSE:
            raise AssertionError("a command waits for somebody")
        super().sleep(seconds)


class Trap(NamedTuple):
    """A process of the stranger's, named as a gateway is, whose own words leave a mark if they are ever run."""

    pid: int
    port: int
    script: Path


@contextlib.contextmanager
def trap(ground: Ground, *, uid: int = STRANGER, listens: str = "", **environ: str) -> Iterator[Trap]:
    """Set a trap; `listens`: the address at which it does."""
    script = ground.shared / f"index-{uid}.mjs"
    script.write_text(f'if [ $# -gt 0 ]; then id -u > "{ground.marks}/run"; exit 1; fi\necho ready >&3\nread word\n')
    script.chmod(0o644)
    os.chown(script, uid, uid)

    def work(say: Callable[[object], None]) -> None:
        port = 0
        if listens:
            family = socket.AF_INET6 if ":" in listens else socket.AF_INET
            made = socket.create_server((listens, 0), family=family)
            made.set_inheritable(True)
            port = made.getsockname()[1]
        read, write = os.pipe()
        say(port)
        # It waits for a word that never comes: the other end of the pipe stays open with it.
        os.dup2(read, 0)
        os.set_inheritable(write, True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 3)
        os.execve("/bin/sh", ["openclaw-gateway", str(script)], {"PATH": "/usr/bin:/bin", **environ})

    with running(uid, work) as (pid, port):
        _named(pid)
        yield Trap(pid, port, script)


def _named(pid: int) -> None:
    """Wait until a process has its new name."""
    for _ in range(1000):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"openclaw-gateway\0"):
            return
        time.sleep(0.01)
    raise AssertionError("the trap was not set")


def lock(ground: Ground, trapped: Trap, *, folder: Path | None = None, uid: int, mode: int = 0o600) -> Path:
    """Leave a lock file that names a trap as the victim's gateway; its folder is made by the same user."""
    place = ground.locks if folder is None else folder
    content = {"pid": trapped.pid, "createdAt": "now", "configPath": str(ground.store.state / "openclaw.json")}
    path = place / "gateway.1a2b3c4d.lock"
    if not place.exists():
        place.mkdir(mode=0o755, parents=True)
        os.chown(place, uid, uid)
    path.write_text(json.dumps(content))
    path.chmod(mode)
    os.chown(path, uid, uid)
    return path


@contextlib.contextmanager
def listener(ground: Ground, uid: int, address: str = "127.0.0.1", **more: Any) -> Iterator[int]:
    """Give the port at which a user's process speaks WebSocket as a gateway does, and marks what it is told.

    `accepts`: who takes the connections, if not who listens; `hello`: the state directory that it claims.
    """
    accepts, hello = more.get("accepts", uid), more.get("hello", str(ground.store.state))

    def work(say: Callable[[object], None]) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.create_server(
            (address, more.get("port", 0)), family=family, dualstack_ipv6=family == socket.AF_INET6
        )
        if accepts != uid:
            os.setgid(accepts)
            os.setuid(accepts)
        server = serve(talk, sock=made, process_request=health, compression=None)
        say(made.getsockname()[1])
        server.serve_forever()

    def health(_link: ServerConnection, request: Request) -> Response | None:
        if request.path != "/healthz":
            return None
        return Response(http.HTTPStatus.OK, "OK", Headers({"Content-Length": str(len(LIVE))}), LIVE)

    def talk(line: ServerConnection) -> None:
        for message in line:
            with open(ground.marks / "told", "a") as file:
                file.write(str(message))
            frame = json.loads(message)
            payload = {"snapshot": {"stateDir": hello}, "sessions": []}
            line.send(json.dumps({"type": "res", "id": frame["id"], "ok": True, "payload": payload}))

    with running(uid, work) as (_, port):
        yield port


def told(ground: Ground) -> bool:
    """Tell whether a token has been told to anybody who marks what it is told."""
    return any(TOKEN in mark for mark in ground.marked())
