"""A stub gateway: a process of its own that speaks OpenClaw's protocol over a real sessions.json or database.

It is told what to serve by a file, so that one process can stand in for many gateways, one after another.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import support_shared
import support_sqlite
from support_sqlite import No

METHODS = ("sessions.list", "sessions.delete")
DEFAULT_AGENT = "main"
_UNSCOPED = "missing scope: operator.admin"
ERAS = {
    "files": ("2026.5.7", METHODS),
    "sqlite": ("2026.9.6", (*METHODS, "sessions.patchMany", "cron.get", "cron.update")),
}
# Of the environment: the process ends with its standard input, which is with whoever started it, killed or not.
UNTIL = "STUB_UNTIL_STDIN_ENDS"
COUNTS: Counter[tuple[str, str]] = Counter()
ONE_AT_A_TIME = threading.Lock()


class StubGateway:
    """The process, seen from a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock: Path | None = None
        self.order: dict[str, Any] = {}
        self._write({})
        # Of its own, so that no command but a test's takes it for its gateway.
        own = {"HOME": str(folder), "TMPDIR": str(folder), "OPENCLAW_STATE_DIR": str(folder / "state"), UNTIL: "yes"}
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**{name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW_")}, **own},
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def serve(self, state: Path, token: str, **more: Any) -> None:
        """Serve a state directory from now on, as a lock file in $TMPDIR says.

        `refuse`: "connect", "delete", "admin" or "cron"; `hello`: the state directory it claims; `lie`: says ok and
        deletes nothing, though it `names` archives; `renames`: the stamp of the archives that it names instead of its
        own; `active`: keys with a run in flight; `old`: rows without hasActiveRun;
        `scopes`: those that its hello names.

        Over databases, `faults` is a list of what goes wrong: {method ("*": any), call (its numbers from 1 on; none:
        each), do, ...}. `do` is "drop-before" or "drop-after" (the connection ends before or after the call has taken
        effect), "retryable", "error" (`error`: what it answers), "lie" (ok and nothing done), "write-before" or
        "write-after" (`agent`, `sql`: what somebody else writes) or "wait" (`seconds`, or `until` a file is
        there, before it takes effect).
        `ghosts`: rows that `sessions.list` adds; `stale`: keys whose `status: running` is left over.
        """
        (self.folder / "calls").unlink(missing_ok=True)
        self.order = {"state": str(state), "token": token, "serial": str(uuid.uuid4()), **more}
        self._write(self.order)
        folder = Path(os.environ["TMPDIR"], f"openclaw-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        self.lock = folder / "gateway.1a2b3c4d.lock"
        self.write_lock("first start")

    def write_lock(self, created: str) -> None:
        """Write the lock file."""
        assert self.lock is not None
        config = str(Path(self.order["state"], "openclaw.json"))
        self.lock.write_text(json.dumps({**self._identity(), "createdAt": created, "configPath": config}))

    def _identity(self) -> dict[str, Any]:
        from session_closer.system import processes

        pid = self.process.pid
        return {"pid": pid, "startTime": processes.start_ticks(pid), "port": self.port}

    def tell(self, **more: Any) -> None:
        """Change how it behaves."""
        self.order.update(more)
        self._write(self.order)

    def calls(self, method: str) -> list[dict[str, Any]]:
        """Return the parameters of all calls of a method."""
        return [row["params"] for row in self._log() if row["method"] == method]

    def methods(self) -> list[str]:
        """Return the methods of all calls, in order."""
        return [row["method"] for row in self._log()]

    def _log(self) -> list[dict[str, Any]]:
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _write(self, order: dict[str, Any]) -> None:
        path = self.folder / "order"
        path.with_suffix(".new").write_text(json.dumps(order))
        path.with_suffix(".new").replace(path)


@contextlib.contextmanager
def stub_gateway(folder: Path) -> Iterator[StubGateway]:
    """Give a stub gateway that serves nobody yet."""
    gateway = StubGateway(folder)
    try:
        yield gateway
    finally:
        gateway.stop()


class StubOpenClaw:
    """An `openclaw` command that knows `gateway status`, `gateway restart` and refuses `gateway call`."""

    def __init__(self, folder: Path, gateway: StubGateway | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        self.path = folder / "openclaw"
        self.answers("status", {"service": {"loaded": False}, "port": {"listeners": []}})
        self.answers("restart", {"ok": True, "result": "restarted"})
        self.answers("call", {}, code=1, complaint="missing scope: operator.admin")
        restart = ""
        if gateway is not None and gateway.lock is not None:
            after = folder / "lock"
            first = json.loads(gateway.lock.read_text())
            after.write_text(json.dumps({**first, "createdAt": "second start"}))
            restart = f"[ -e {folder}/no-effect ] || cp {after} {gateway.lock}"
            self.answers("status", {"service": {"loaded": False}, "port": {"listeners": [{"pid": first["pid"]}]}})
        self.path.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {folder}/calls\n'
            f'[ "$2" = restart ] && {{ {restart or ":"}; }}\n'
            f'cat "{folder}/$2.err" >&2; cat "{folder}/$2.out"; exit "$(cat "{folder}/$2.code")"\n'
        )
        self.path.chmod(0o700)

    def answers(self, word: str, answer: dict[str, Any], *, code: int = 0, complaint: str = "") -> None:
        """Set the answer to `openclaw gateway WORD`."""
        for suffix, text in (("out", json.dumps(answer) if answer else ""), ("err", complaint), ("code", str(code))):
            (self.folder / f"{word}.{suffix}").write_text(text)

    def has_no_effect(self) -> None:
        """Let a restart say that all went well while nothing happens."""
        (self.folder / "no-effect").touch()

    def calls(self, word: str) -> list[str]:
        """Return the command lines of `openclaw gateway WORD` so far."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.split()[1] == word]


class Service:
    """An `openclaw` command whose gateway is a service: `stop`, `start` and the importer do what they say.

    It is to be found on PATH, in `folder`, beside a `node` that knows no zstd.
    """

    def __init__(self, folder: Path, state: Path, token: str, port: int) -> None:
        self.folder, self.port = folder, port
        folder.mkdir()
        order = {"state": str(state), "token": token, "serial": str(uuid.uuid4()), "port": port, "loaded": True}
        (folder / "order").write_text(json.dumps(order))
        self._program("openclaw", f'exec "{sys.executable}" -B "{__file__}" "{folder}" "$@"')
        self._program("node", "exit 1")

    def _program(self, name: str, line: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o700)

    def tell(self, **more: Any) -> None:
        """Change how it behaves.

        `loaded`: whether a service runs the gateway; `importer`: "fails" (and takes nothing), "half" (takes one
        session, then fails) or "lies" (says that all went well); `stop`, `start`: "fails" or "lies".
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
        if how in (None, "half"):
            support_sqlite.import_files(order["state"], agent, limit=1 if how == "half" else None)
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
    words = [sys.executable, "-B", __file__, str(folder)]
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


def main(folder: Path) -> None:
    """Serve until killed; print the port."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import ServerConnection, serve

    def talk(connection: ServerConnection) -> None:
        send = {"type": "event", "event": "connect.challenge", "payload": {"nonce": str(uuid.uuid4())}}
        scopes: set[str] = set()
        try:
            connection.send(json.dumps(send))
            for message in connection:
                said = answer(folder, json.loads(message), scopes)
                if said is None:
                    connection.socket.shutdown(socket.SHUT_RDWR)
                    return
                connection.send(json.dumps(said))
        except (ConnectionClosed, OSError):
            pass

    def end_with_stdin() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    if UNTIL in os.environ:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    port = json.loads((folder / "order").read_text()).get("port", 0)
    with serve(talk, "127.0.0.1", port, compression=None) as server:
        sys.stdout.write(f"{server.socket.getsockname()[1]}\n")
        sys.stdout.flush()
        server.serve_forever()


def answer(folder: Path, frame: dict[str, Any], scopes: set[str] | None = None) -> dict[str, Any] | None:
    """Return the response to a request, None where the connection is to end without one; `scopes`: what it may do."""
    if scopes is not None and frame["method"] == "connect":
        scopes.update(frame["params"]["scopes"])
    with ONE_AT_A_TIME:
        order = json.loads((folder / "order").read_text())
        with open(folder / "calls", "a", encoding="utf-8") as file:
            file.write(json.dumps({"method": frame["method"], "params": frame["params"]}) + "\n")
        faults = {fault["do"]: fault for fault in due(order, frame["method"])}
    if "drop-before" in faults:
        return None
    pause(**faults.get("wait", {}))
    with ONE_AT_A_TIME:
        held = support_sqlite.hold(order) if order.get("state") else {}
        said = respond(order, held, frame, faults, scopes)
    return None if "drop-after" in faults else said


def pause(*, seconds: float = 0, until: str | None = None, **_: Any) -> None:
    """Wait for a time, then until a file is there; a minute at most."""
    time.sleep(seconds)
    latest = time.monotonic() + 60
    while until is not None and not os.path.exists(until) and time.monotonic() < latest:
        time.sleep(0.01)


def respond(
    order: dict[str, Any],
    held: dict[str, Any],
    frame: dict[str, Any],
    faults: dict[str, Any],
    scopes: set[str] | None = None,
) -> dict[str, Any]:
    """Do a call and return the response; `scopes`: what the connection may do, None for everything."""
    head, method, params = {"type": "res", "id": frame["id"]}, frame["method"], frame["params"]
    try:
        if "retryable" in faults:
            raise No("the gateway is starting", code="UNAVAILABLE", retryable=True, retryAfterMs=50)
        if "error" in faults:
            raise No(**faults["error"]["error"])
        if method != "connect" and scopes is not None and (needed := scope_of(method, params)) not in scopes:
            raise No(f"missing scope: {needed}", code="FORBIDDEN")
        write(held, faults.get("write-before"))
        payload = perform(order, held, method, params, lie="lie" in faults)
        write(held, faults.get("write-after"))
    except No as problem:
        return {**head, "ok": False, "error": problem.error}
    return {**head, "ok": True, "payload": payload}


def scope_of(method: str, params: dict[str, Any]) -> str:
    """Return what a call needs (measured on 2026.9.6)."""
    if method == "sessions.delete":
        return "operator.write" if params.get("archivedOnly") else "operator.admin"
    if method == "cron.update":
        return "operator.admin"
    return "operator.read" if method in ("sessions.list", "health", "cron.list", "cron.get") else "operator.write"


def due(order: dict[str, Any], method: str) -> list[dict[str, Any]]:
    """Return the faults of this call; it is counted."""
    counted = {}
    for name in (method, "*"):
        COUNTS[order.get("serial", ""), name] += 1
        counted[name] = COUNTS[order.get("serial", ""), name]
    return [
        fault
        for fault in order.get("faults", [])
        if fault["method"] in counted and counted[fault["method"]] in fault.get("call", counted.values())
    ]


def write(held: dict[str, Any], fault: dict[str, Any] | None) -> None:
    """Do what somebody else does to an agent's rows."""
    if fault is not None:
        for statement in fault["sql"]:
            held[fault["agent"]].execute(*statement)


def perform(order: dict[str, Any], held: dict[str, Any], method: str, params: dict[str, Any], *, lie: bool) -> Any:
    """Do a call and return its payload, by the kind of store that the agent has."""
    if method == "connect":
        return connect(order, params, ERAS["sqlite" if held else "files"])
    if method == "health" and held:
        path = f"{order.get('hello', order['state'])}/agents/main/agent/openclaw-agent.sqlite"
        return {"ok": True, "sessions": {"path": path}}
    if method in ("cron.list", "cron.get", "cron.update"):
        if order.get("refuse") == "cron":
            raise No("the job is being edited")
        try:
            return support_shared.cron(order["state"], method, params, support_sqlite.tick())
        except support_shared.Refused as problem:
            raise No(str(problem)) from None
    if method == "sessions.patchMany" and held:
        return support_sqlite.patch_many(order, held, params, lie=lie)
    agent = params["agentId"] if "agentId" in params else support_sqlite.agent_of(params["key"])
    if agent in held:
        over_rows = {"sessions.list": support_sqlite.list_sessions, "sessions.delete": support_sqlite.delete}
        return over_rows[method](order, held[agent], agent, params, lie=lie)
    if method not in METHODS:
        raise No(_UNSCOPED if order.get("refuse") == "delete" else f"unknown method: {method}")
    return {"sessions.list": list_sessions, "sessions.delete": delete}[method](order, params)


def connect(order: dict[str, Any], params: dict[str, Any], era: tuple[str, tuple[str, ...]]) -> dict[str, Any]:
    """Greet."""
    if params["auth"]["token"] != order.get("token") or order.get("refuse") == "connect":
        raise No("unauthorized: gateway token mismatch")
    if order.get("refuse") == "admin" and "operator.admin" in params["scopes"]:
        raise No("missing scope: operator.admin")
    version, methods = era
    # From 2026.8.1 on an admin alone is told (measured on 2026.8.1 and 2026.9.6).
    tells = era != ERAS["sqlite"] or "operator.admin" in params["scopes"]
    return {
        "type": "hello-ok",
        "protocol": 3,
        "server": {"version": version},
        "features": {"methods": list(methods)},
        "snapshot": {"stateDir": order.get("hello", order["state"])} if tells else {},
        **({"auth": {"scopes": order["scopes"]}} if "scopes" in order else {}),
    }


def list_sessions(order: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return an agent's rows."""
    rows = []
    for key, entry in store_of(order, params["agentId"]).items():
        row = {"key": key, "status": entry.get("status") if isinstance(entry, dict) else None}
        rows.append(row if order.get("old") else {**row, "hasActiveRun": key in order.get("active", [])})
    rows += [row for row in order.get("ghosts", []) if row["key"].split(":")[1] == params["agentId"]]
    return {"sessions": rows}


def delete(order: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Delete a session as 2026.5 does: bare keys are the default agent's, only its main is protected."""
    if set(params) - {"key", "deleteTranscript"}:
        raise No("invalid sessions.delete params: unexpected property")
    if order.get("refuse") == "delete":
        raise No(_UNSCOPED)
    key = params["key"] if params["key"].startswith("agent:") else f"agent:{DEFAULT_AGENT}:{params['key']}"
    if key == f"agent:{DEFAULT_AGENT}:main":
        raise No("Cannot delete the main session")
    agent = key.split(":")[1]
    rows = store_of(order, agent)
    if key not in rows or order.get("lie"):
        return {"ok": True, "key": key, "deleted": False, "archived": order.get("names", [])}
    entry = rows.pop(key)
    folder = Path(order["state"], "agents", agent, "sessions")
    fresh = folder / f"sessions.json.{os.getpid()}.{uuid.uuid4()}.tmp"
    fresh.write_text(json.dumps(rows, indent=2, ensure_ascii=False))
    fresh.chmod(0o600)
    fresh.replace(folder / "sessions.json")
    archived = archive(folder, entry) if params["deleteTranscript"] else []
    if "renames" in order:
        archived = [f"{path.rpartition('.deleted.')[0]}.deleted.{order['renames']}" for path in archived]
    return {"ok": True, "key": key, "deleted": True, "archived": archived}


def archive(folder: Path, entry: dict[str, Any]) -> list[str]:
    """Rename the transcripts of an entry; whoever else uses them is not asked."""
    live = {folder / f"{entry['sessionId']}.jsonl", *folder.glob(f"{entry['sessionId']}-topic-*.jsonl")}
    if "sessionFile" in entry:
        live.add(Path(entry["sessionFile"]))
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f")[:-3] + "Z"
    archived = []
    for path in sorted(live):
        if path.is_file() and not path.is_symlink():
            shutil.move(path, f"{path}.deleted.{stamp}")
            archived.append(f"{path}.deleted.{stamp}")
    return archived


def store_of(order: dict[str, Any], agent: str) -> dict[str, Any]:
    """Return an agent's entries."""
    path = Path(order["state"], "agents", agent, "sessions", "sessions.json")
    return dict(json.loads(path.read_text())) if path.exists() else {}


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(openclaw(Path(sys.argv[1]), sys.argv[2:]))
    main(Path(sys.argv[1]))
