"""Find out whether a gateway serves this state directory, by lock file, listener and process together."""

from __future__ import annotations

import glob
import os
import socket
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import locks, processes
from ..home import Home, state_dir_of
from ..model import Life


class Found(NamedTuple):
    """The gateway as its traces show it.

    `sure` means that a trace names this very state directory; `started` is its lock file's date, which changes with
    every start, also one within the same process.
    """

    life: Life
    pid: int | None = None
    port: int | None = None
    sure: bool = False
    started: str | None = None
    evidence: tuple[str, ...] = ()


@dataclass(slots=True)
class _Traces:
    ours: dict[int, bool] = field(default_factory=dict)
    started: dict[int, str] = field(default_factory=dict)
    ports: set[int] = field(default_factory=set)
    evidence: list[str] = field(default_factory=list)


def find(home: Home) -> Found:
    """Return what lock files, listeners and processes say; down only where all of them say no."""
    if home.isolated:
        return Found(Life.DOWN, evidence=("a demonstration never looks for a gateway",))
    traces = _Traces(ports=set(home.ports))
    _read_locks(home, traces)
    _look_at_processes(home, traces)
    open_ports = sorted(port for port in traces.ports if _answers(port))
    listeners = processes.listeners() if open_ports or traces.ours else {}
    strangers = _look_at_ports(home, traces, open_ports, listeners)
    for pid, sure in sorted(traces.ours.items(), key=lambda item: not item[1]):
        listening = sorted(listeners.get(pid, ()), key=lambda port: (port not in home.ports, port))
        if listening or sure:
            port = listening[0] if listening else None
            traces.evidence.append(
                f"process {pid} listens at port {port}" if port else f"process {pid} listens nowhere yet"
            )
            return Found(Life.UP, pid, port, sure, traces.started.get(pid), tuple(traces.evidence))
    if strangers:
        return Found(Life.UNKNOWN, port=strangers[0], evidence=tuple(traces.evidence))
    closed = ", ".join(str(port) for port in sorted(traces.ports - set(open_ports)))
    if closed:
        traces.evidence.append(f"nothing listens at port {closed}")
    return Found(Life.DOWN, evidence=("no lock of a live gateway", "no process", *traces.evidence))


def lock_folders(home: Home) -> list[str]:
    """Return the folders in which a gateway of ours may have its lock file."""
    # Node takes these variables, then /tmp; a gateway may have been started without what we have.
    bases = [home.environ.get(name) for name in ("TMPDIR", "TMP", "TEMP")]
    bases += ["/tmp", os.path.join(home.state, "tmp")]  # noqa: S108
    return list(dict.fromkeys(os.path.join(base, f"openclaw-{os.getuid()}") for base in bases if base))


def _read_locks(home: Home, traces: _Traces) -> None:
    for folder in lock_folders(home):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "gateway.*.lock"))):
            content = locks.read(path)
            pid = content.get("pid")
            if type(pid) is not int or not processes.is_same(pid, content.get("startTime")):
                continue
            if _names_us(home, content):
                traces.ours[pid] = True
                traces.started[pid] = str(content.get("createdAt"))
                traces.evidence.append(f"lock file {path} of process {pid}")
                port = content.get("port")
                if type(port) is int and 0 < port < 65536:
                    traces.ports.add(port)


def _names_us(home: Home, content: dict[str, object]) -> bool:
    state = content.get("stateDir")
    if isinstance(state, str):
        return os.path.realpath(state) == home.state
    config = content.get("configPath")
    if not isinstance(config, str):
        return False
    real = os.path.realpath(config)
    return real == os.path.realpath(home.config_path) or os.path.dirname(real) == home.state


def _look_at_processes(home: Home, traces: _Traces) -> None:
    for pid in processes.gateways():
        if pid not in traces.ours and _serves_us(home, pid):
            traces.ours[pid] = False


def _serves_us(home: Home, pid: int) -> bool:
    environ = processes.environment(pid)
    return environ is not None and os.path.realpath(state_dir_of(environ)) == home.state


def _look_at_ports(home: Home, traces: _Traces, open_ports: list[int], listeners: dict[int, set[int]]) -> list[int]:
    """Note the listeners; return the ports of those of which nobody can tell whom they serve."""
    strangers = []
    looks = set(processes.gateways()) if open_ports else set()
    for port in open_ports:
        pids = [pid for pid, ports in listeners.items() if port in ports]
        for pid in pids:
            named = "OPENCLAW_STATE_DIR" in (processes.environment(pid) or {})
            if pid not in traces.ours and named and _serves_us(home, pid):
                traces.ours[pid] = False
            if pid not in traces.ours and pid in looks and not named:
                # `openclaw --profile NAME` sets its state directory inside the process, where nobody sees it.
                traces.evidence.append(f"port {port} belongs to process {pid}, a gateway of nobody knows which profile")
                strangers.append(port)
            elif pid not in traces.ours:
                traces.evidence.append(f"port {port} belongs to process {pid}, which serves something else")
        if not pids:
            traces.evidence.append(f"port {port} answers, but its process cannot be looked at")
            strangers.append(port)
    return strangers


def _answers(port: int) -> bool:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(1.0)
                if probe.connect_ex((address, port)) == 0:
                    return True
        except OSError:
            continue
    return False
