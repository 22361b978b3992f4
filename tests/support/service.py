"""An `openclaw` command whose gateway is a service, as a test sees it and as it runs."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from support.importer import import_files
from support.programs import command_line

_AGAIN = "STARTED_AGAIN"


class Service:
    """An `openclaw` command whose gateway is a service: `stop`, `start` and the importer do what they say.

    It is to be found on PATH, in `folder`, beside a `node` that knows no zstd.
    """

    def __init__(self, folder: Path, state: Path, token: str, port: int) -> None:
        self.folder, self.port = folder, port
        folder.mkdir()
        order = {"state": str(state), "token": token, "serial": str(uuid.uuid4()), "port": port, "loaded": True}
        (folder / "order").write_text(json.dumps(order))
        self._program("openclaw", f'exec {shlex.join(command_line("service", str(folder)))} "$@"')
        self._program("node", "exit 1")

    def _program(self, name: str, line: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o700)

    def tell(self, **more: Any) -> None:
        """Change how it behaves.

        `loaded`: whether a service runs the gateway; `importer`: "fails" (and takes nothing), "tells" (why it does, on
        stdout, at length), "half" (takes one session, then fails), "lies" (says that all went well), "again" (starts
        itself once more, out of reach of who ends it, and takes its time) or "leaves" (a process behind, when it has
        done its work); `stop`, `start`: "fails" or "lies".
        """
        order = json.loads((self.folder / "order").read_text())
        (self.folder / "order").write_text(json.dumps({**order, **more}))

    def run(self, *words: str) -> None:
        """Do what a person would with the command."""
        subprocess.run([str(self.folder / "openclaw"), *words], check=True, stdout=subprocess.DEVNULL)

    @property
    def pid(self) -> int | None:
        """The process of the gateway, None while there is none."""
        return service_pid(self.folder)

    def calls(self) -> list[str]:
        """Return the command lines so far."""
        path = self.folder / "commands"
        return path.read_text().splitlines() if path.exists() else []


def service_pid(folder: Path) -> int | None:
    """Return the process of the gateway of a Service."""
    path = folder / "pid"
    return int(path.read_text()) if path.exists() else None


def openclaw(folder: Path, words: list[str]) -> int:
    """Be the `openclaw` command of a Service."""
    order = json.loads((folder / "order").read_text())
    with open(folder / "commands", "a", encoding="utf-8") as file:
        file.write(" ".join(words) + "\n")
    pid = service_pid(folder)
    if words[:2] == ["gateway", "status"]:
        listeners = [] if pid is None else [{"pid": pid}]
        service = {"loaded": order["loaded"], "runtime": {"pid": pid}}
        return say({"service": service, "port": {"listeners": listeners}})
    if words[:2] in (["gateway", "stop"], ["gateway", "start"]):
        how = order.get(words[1])
        if how is None:
            {"stop": stop_service, "start": start_service}[words[1]](folder, order, pid)
        return say({"ok": how != "fails"}, code=1 if how == "fails" else 0)
    if words[:3] == ["doctor", "--session-sqlite", "import"]:
        how, agent = order.get("importer"), words[words.index("--session-sqlite-agent") + 1]
        if pid is not None:
            return say({"ok": False, "error": "a gateway is running"}, code=1)
        if how == "again" and _AGAIN not in os.environ:
            words = [*command_line("service", str(folder)), *words]
            return subprocess.run(
                words, env={**os.environ, _AGAIN: "1"}, start_new_session=True, check=False
            ).returncode
        if how == "again":
            (folder / "begun").touch()
            time.sleep(1.0)
        if how == "leaves":
            left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            (folder / "left").write_text(str(left.pid))
        if how in (None, "half", "again", "leaves"):
            import_files(order["state"], agent, limit=1 if how == "half" else None)
        if how == "tells":
            return say({"said": "much " * 9999, "error": "the import is locked"}, code=1)
        if how in ("fails", "half"):
            sys.stderr.write("the importer has failed\n")
            return 1
        return say({"ok": True})
    return say({"ok": False}, code=1)


def say(answer: dict[str, Any], *, code: int = 0) -> int:
    """Print an answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    return code


def service_lock(folder: Path) -> Path:
    """Return where the gateway of a Service has its lock file."""
    state = json.loads((folder / "order").read_text())["state"]
    return Path(state, "tmp", f"openclaw-{os.getuid()}", "gateway.5e6f7a8b.lock")


def start_service(folder: Path, order: dict[str, Any], pid: int | None) -> None:
    """Start the gateway, at the port it always has."""
    if pid is not None:
        return
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}
    words = command_line("stub", str(folder))
    # Nothing of this command's is inherited: who reads its answer would wait for the gateway's end.
    closed = subprocess.DEVNULL
    process = subprocess.Popen(
        words, stdin=closed, stdout=subprocess.PIPE, stderr=closed, env=environ, start_new_session=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    (folder / "pid").write_text(str(process.pid))
    lock = service_lock(folder)
    lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = {"pid": process.pid, "port": order["port"], "stateDir": order["state"], "createdAt": str(uuid.uuid4())}
    lock.write_text(json.dumps(found))


def stop_service(folder: Path, order: dict[str, Any], pid: int | None) -> None:
    """End the gateway and wait until nobody listens any more."""
    if pid is None:
        return
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(("127.0.0.1", order["port"]), timeout=5).close()
            time.sleep(0.02)
    (folder / "pid").unlink()
    service_lock(folder).unlink(missing_ok=True)


def main(folder: str, *words: str) -> None:
    """Be the command and exit."""
    sys.exit(openclaw(Path(folder), list(words)))
