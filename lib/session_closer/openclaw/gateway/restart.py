"""Restart the gateway of one state directory, once, and wait until it answers again."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...core.errors import GatewayNeeded
from ...core.report import RestartResult
from ...core.status import Life
from ...system import processes
from ...system.clock import REAL, Clock
from ..home import Home
from . import client, connection
from .command import OpenClaw, first_object
from .find import Found, find, speaks_http
from .link import CallRefused, LinkLost, LinkRefused, SocketLink

# OpenClaw waits up to 300 s for active runs before it restarts.
RESTART_SECONDS = 330.0
HEALTH_SECONDS = 90.0
PATIENCE_SECONDS = 330.0
_STATUS_SECONDS = 60.0
_PAUSE = 0.2
_PATIENT_PAUSE = 1.0
_SETTLE_SECONDS = 3.0
_WHERE_STARTED = "restart it where you started it"


def restart(home: Home, found: Found, clock: Clock = REAL) -> RestartResult:
    """Restart the gateway; only `result: restarted` followed by a healthy answer is a success."""
    if found.life is not Life.UP or found.pid is None or not found.sure:
        return RestartResult(True, False, "not-proven", "no gateway of this state directory is proven to run")
    command = OpenClaw(home, found.pid, found.port)
    try:
        reason = _would_hit_another(command, found)
        if reason:
            return RestartResult(True, False, "not-proven", f"{reason}; restart it by hand")
        code, out, err = command.run("gateway", "restart", "--json", seconds=RESTART_SECONDS)
    except LinkRefused as problem:
        return RestartResult(True, False, "not-run", f"{problem}; {_WHERE_STARTED}")
    except LinkLost as problem:
        return RestartResult(True, False, "timeout", f"{problem}; look with: openclaw gateway status")
    answer = first_object(out)
    result = answer.get("result")
    if result != "restarted":
        if result == "not-loaded":
            what = f"no service runs the gateway, process {found.pid}: {_WHERE_STARTED}"
            return RestartResult(True, False, result, what)
        said = str(answer.get("message") or answer.get("error") or " ".join((err or out).split())[:200])
        word = result if isinstance(result, str) else f"exit {code}"
        why = f"{said.rstrip('.')}; " if said else ""
        return RestartResult(True, False, word, f"{why}openclaw gateway status may say why; {_WHERE_STARTED}")
    return _wait_until_healthy(home, found, clock)


def noticed(home: Home, closed: Mapping[str, Collection[str]], clock: Clock = REAL) -> str:
    """Return whether a gateway that was not restarted lists any of what was closed below it, keys by agent."""
    told = "whether it has noticed already cannot be told"
    try:
        gateway = connection.meet(home, looking_only=True, clock=clock)
    except GatewayNeeded:
        return told
    try:
        listed = {agent: client.listed(gateway, agent) for agent in closed}
    except (CallRefused, LinkRefused, LinkLost):
        return told
    finally:
        gateway.close()
    left = sum(key in listed[agent] for agent, keys in closed.items() for key in keys)
    every = sum(map(len, closed.values()))
    return f"it still lists {left} of the {every} closed" if left else "it has noticed already, and lists none of them"


def _would_hit_another(command: OpenClaw, found: Found) -> str:
    """Return why a restart could hit a gateway that is not ours: the service's name ignores the state directory."""
    status = command.answer("gateway", "status", "--json", seconds=_STATUS_SECONDS)
    if not status:
        return "openclaw gateway status gave no answer"
    service = status.get("service")
    service = service if isinstance(service, dict) else {}
    runtime = service.get("runtime")
    runtime = runtime if isinstance(runtime, dict) else {}
    if service.get("loaded") is True:
        pid = runtime.get("pid")
        if pid == found.pid or (type(pid) is int and pid in processes.ancestors(found.pid or 0)):
            return ""
        return f"the installed service runs process {pid}, the gateway of this state directory is {found.pid}"
    port = status.get("port")
    listeners = port.get("listeners") if isinstance(port, dict) else None
    pids = [item.get("pid") for item in listeners if isinstance(item, dict)] if isinstance(listeners, list) else []
    if pids and found.pid not in pids:
        return f"port {found.port} belongs to process {pids[0]}, the gateway of this state directory is {found.pid}"
    return ""


def _wait_until_healthy(home: Home, before: Found, clock: Clock) -> RestartResult:
    deadline = clock.monotonic() + HEALTH_SECONDS
    if before.started is None:
        # Without a lock file nothing tells the old start from the new one: give the old one time to go.
        clock.sleep(_SETTLE_SECONDS)
    patience = clock.monotonic() + PATIENCE_SECONDS
    waits = False
    while clock.monotonic() < (patience if waits else deadline):
        now = find(home)
        again = before.started is None or (now.pid, now.started) != (before.pid, before.started)
        answers = now.life is Life.UP and now.port is not None and healthy(home, now.port)
        if answers and again:
            return RestartResult(True, True, "restarted", f"healthy again, process {now.pid}")
        # A gateway that was told to restart lets active runs end first, and answers meanwhile.
        waits = answers
        clock.sleep(_PATIENT_PAUSE if waits else _PAUSE)
    if waits:
        what = "it was told to restart and still waits for active runs; look with: openclaw gateway status"
        return RestartResult(True, False, "timeout", what)
    return RestartResult(
        True,
        False,
        "not-healthy",
        f"no healthy answer within {HEALTH_SECONDS:.0f} s; look with: openclaw gateway status",
    )


def healthy(home: Home, port: int) -> bool:
    """Tell whether a gateway at a port answers for this state directory."""
    token = home.token
    if token is None:
        return speaks_http(port)
    try:
        link = SocketLink(f"ws://127.0.0.1:{port}", token)
    except LinkLost:
        return False
    except LinkRefused:
        # It answers, only not to us.
        return True
    try:
        return link.state_dir in (None, home.state)
    finally:
        link.close()
