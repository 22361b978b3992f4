"""The process of a stub gateway: it speaks OpenClaw's protocol over a real sessions.json or databases.

It is told what to serve by a file, so that one process can stand in for many gateways, one after another.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

from support import file_answers, shared, sqlite_answers
from support.sqlite import agent_of
from support.sqlite_answers import No

ERAS = {
    "files": ("2026.5.7", file_answers.METHODS),
    "sqlite": ("2026.9.6", (*file_answers.METHODS, "sessions.patchMany", "cron.get", "cron.update")),
}
# Of the environment: the process ends with its standard input, which is with whoever started it, killed or not.
UNTIL = "STUB_UNTIL_STDIN_ENDS"
COUNTS: Counter[tuple[str, str]] = Counter()
ONE_AT_A_TIME = threading.Lock()


def main(place: str) -> None:
    """Serve until killed; print the port."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import ServerConnection, serve

    folder = Path(place)

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
        held = sqlite_answers.hold(order) if order.get("state") else {}
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
            return shared.cron(order["state"], method, params, sqlite_answers.tick())
        except shared.Refused as problem:
            raise No(str(problem)) from None
    if method == "sessions.patchMany" and held:
        return sqlite_answers.patch_many(order, held, params, lie=lie)
    agent = params["agentId"] if "agentId" in params else agent_of(params["key"])
    if agent in held:
        over_rows = {"sessions.list": sqlite_answers.list_sessions, "sessions.delete": sqlite_answers.delete}
        return over_rows[method](order, held[agent], agent, params, lie=lie)
    if method not in file_answers.METHODS:
        raise No(file_answers.UNSCOPED if order.get("refuse") == "delete" else f"unknown method: {method}")
    return {"sessions.list": file_answers.list_sessions, "sessions.delete": file_answers.delete}[method](order, params)


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
