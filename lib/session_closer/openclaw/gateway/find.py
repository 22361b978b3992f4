"""Find out whether a gateway serves this state directory, by lock file, listener and process together."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterable

from ...core.status import Life
from ...core.tuples import NamedTuple
from ...system import peers, processes
from ...system.files import real
from .. import lockfile
from ..environment import state_dir_of
from ..home import Home

_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
# Nobody listens, or this machine has no such address.
_NOBODY = {errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH}
_AT_ONCE_SECONDS = 0.05
_SECONDS = 1.0
_HTTP_SECONDS = 2.0
_ANSWER_BYTES = 4096


class Found(NamedTuple):
    """The gateway as its traces show it.

    `sure` means that a trace names this very state directory; `started` is its lock file's date, which changes with
    every start, also one within the same process; `far`: a folder that it names may be another one here.
    """

    life: Life
    pid: int | None = None
    port: int | None = None
    sure: bool = False
    started: str | None = None
    evidence: tuple[str, ...] = ()
    far: bool = False


class _Traces:
    def __init__(self, ports: Iterable[int]) -> None:
        self.ports = set(ports)
        self.looks: set[int] = set()
        self.ours: dict[int, bool] = {}
        self.inside: set[int] = set()
        self.started: dict[int, str] = {}
        self.evidence: list[str] = []

    def leave_out(self, what: str, why: str) -> None:
        """Note what counts for nothing."""
        self.evidence.append(f"{what} is left out of consideration: {why}")


def find(home: Home) -> Found:
    """Return what lock files, listeners and processes say; down only where all of them say no."""
    if home.isolated:
        return Found(Life.DOWN, evidence=("no gateway is looked for in a demonstration, or for a rehearsal",))
    if not processes.are_visible():
        what = "no process can be looked at: /proc is not there, or that of another namespace"
        return Found(Life.UNKNOWN, evidence=(what,), far=True)
    traces = _Traces(home.ports)
    _read_locks(home, traces)
    _look_at_processes(home, traces)
    open_ports, closed = _told_apart(traces)
    listeners = processes.listeners() if open_ports or traces.ours else {}
    strangers = _look_at_ports(home, traces, open_ports, listeners)
    if (up := _serving(home, traces, listeners, far=bool(strangers))) is not None:
        return up
    for pid in sorted(traces.inside):
        traces.evidence.append(f"process {pid} serves this folder from a container, and its port is not seen from here")
    if strangers or traces.inside:
        port, far = next(iter(strangers.items()), (None, True))
        far = far or len(strangers) > 1 or bool(traces.inside)
        return Found(Life.UNKNOWN, port=port, evidence=tuple(traces.evidence), far=far)
    if closed:
        traces.evidence.append(f"nothing listens at port {', '.join(map(str, closed))}")
    return Found(Life.DOWN, evidence=("no lock of a live gateway", "no process", *traces.evidence))


def _serving(home: Home, traces: _Traces, listeners: dict[int, set[int]], *, far: bool) -> Found | None:
    """Return the gateway of this state directory, the surest first; None where no process is one."""
    for pid, sure in sorted(traces.ours.items(), key=lambda item: not item[1]):
        listening = sorted(listeners.get(pid, ()), key=lambda port: (port not in home.ports, port))
        if listening or (sure and pid not in traces.inside):
            port = listening[0] if listening else None
            traces.evidence.append(
                f"process {pid} listens at port {port}" if port else f"process {pid} listens nowhere yet"
            )
            far = far or pid not in traces.looks
            return Found(Life.UP, pid, port, sure, traces.started.get(pid), tuple(traces.evidence), far)
    return None


def lock_folders(home: Home) -> list[str]:
    """Return the folders in which a gateway of ours may have its lock file."""
    # Node takes these variables, then /tmp; a gateway may have been started without what we have.
    bases = [home.environ.get(name) for name in ("TMPDIR", "TMP", "TEMP")]
    bases += ["/tmp", os.path.join(home.state, "tmp")]  # noqa: S108
    return list(dict.fromkeys(os.path.join(base, f"openclaw-{os.getuid()}") for base in bases if base))


def _read_locks(home: Home, traces: _Traces) -> None:
    for folder in lock_folders(home):
        for path, lock, why in lockfile.of_gateways(folder):
            if why:
                traces.leave_out(path, why)
            # A gateway holds its lock as long as it lives: no age makes it a stale one.
            if lock is None or lock.pid is None or lock.held is False or not _names_us(home, lock.content):
                continue
            if stranger := processes.stranger(lock.pid):
                traces.leave_out(f"lock file {path} of process {lock.pid}", stranger)
                continue
            content, pid = lock.content, lock.pid
            traces.ours[pid] = True
            traces.started[pid] = str(content.get("createdAt"))
            traces.evidence.append(f"lock file {path} of process {pid}")
            port = content.get("port")
            if type(port) is int and 0 < port < 65536:
                traces.ports.add(port)


def _told_apart(traces: _Traces) -> tuple[list[int], list[int]]:
    """Return the ports at which something answers, and those at which nothing does; another user's is left out."""
    ports = sorted(traces.ports)
    # The kernel takes 10 ms to say who listens, and no time to say that nobody does.
    first = {port: _is_open(port) for port in ports}
    # Another user's port is waited for no longer.
    ours = _without_strangers(traces, [port for port in ports if first[port] is not False])
    open_ports = [port for port in ours if first[port] or _answers(port)]
    return open_ports, [port for port in ports if first[port] is False or (port in ours and port not in open_ports)]


def _without_strangers(traces: _Traces, ports: list[int]) -> list[int]:
    """Return the ports at which no other user listens."""
    left = []
    for port in ports:
        if stranger := peers.stranger(port):
            traces.leave_out(f"port {port}", stranger)
        else:
            left.append(port)
    return left


def _names_us(home: Home, content: dict[str, object]) -> bool:
    state = content.get("stateDir")
    if isinstance(state, str):
        return real(state) == home.state
    config = content.get("configPath")
    if not isinstance(config, str):
        return False
    found = real(config)
    return found == os.path.realpath(home.config_path) or os.path.dirname(found) == home.state


def _look_at_processes(home: Home, traces: _Traces) -> None:
    for pid in processes.gateways():
        stranger = processes.stranger(pid)
        if not stranger:
            traces.looks.add(pid)
        elif state_dir_of(processes.environment(pid) or {}) == home.state:
            traces.leave_out(f"process {pid}, which names this state directory,", stranger)
    for pid in sorted(traces.looks - traces.ours.keys()):
        if _serves_us(home, pid):
            inside = not processes.shares(pid, "mnt")
            traces.ours[pid] = inside
            if inside:
                traces.inside.add(pid)


def _serves_us(home: Home, pid: int) -> bool | None:
    """Tell whether a process serves this state directory; None where that cannot be told from here."""
    environ = processes.environment(pid)
    if environ is None or processes.stranger(pid):
        return None
    named = state_dir_of(environ)
    if named is None:
        return None
    if processes.shares(pid, "mnt"):
        return os.path.realpath(named) == home.state
    # In a container the same folder has another name, and the same name may be another folder.
    ours, theirs = processes.folder(os.getpid(), home.state), processes.folder(pid, named)
    return None if ours is None or theirs is None else os.path.samestat(ours, theirs)


def _look_at_ports(
    home: Home, traces: _Traces, open_ports: list[int], listeners: dict[int, set[int]]
) -> dict[int, bool]:
    """Note the listeners; return the ports of those of which nobody can tell whom they serve, and whether from far."""
    strangers: dict[int, bool] = {}
    for port in open_ports:
        pids = [pid for pid, ports in listeners.items() if port in ports]
        others = []
        for pid in pids:
            if pid in traces.ours:
                continue
            named, serves = "OPENCLAW_STATE_DIR" in (processes.environment(pid) or {}), _serves_us(home, pid)
            if named and serves:
                traces.ours[pid] = False
            elif pid not in traces.looks:
                others.append(pid)
            elif named and serves is not None:
                traces.evidence.append(f"port {port} belongs to process {pid}, which serves something else")
            else:
                strangers[port] = _is_far(traces, port, pid) or strangers.get(port, False)
        if _may_be_passed_on(traces, port, pids, others):
            strangers[port] = True
    return strangers


def _is_far(traces: _Traces, port: int, pid: int) -> bool:
    """Note a gateway of which nobody can tell whom it serves; return whether it is in a container."""
    # `openclaw --profile NAME` sets its state directory inside the process, where nobody sees it.
    near = processes.shares(pid, "mnt")
    what = "a gateway of nobody knows which profile" if near else "a gateway in a container"
    traces.evidence.append(f"port {port} belongs to process {pid}, {what}")
    return not near


def _may_be_passed_on(traces: _Traces, port: int, pids: list[int], others: list[int]) -> bool:
    """Note the listeners that are no gateways; return whether one that is not seen may answer through them."""
    # A container's port, or a tunnel's: the process that listens only passes on what it is told.
    passes_on = _gateway_behind(port) if others and traces.ours.keys().isdisjoint(pids) else ""
    for pid in others:
        traces.evidence.append(f"port {port} belongs to process {pid}, {passes_on or 'which serves something else'}")
    if not pids:
        traces.evidence.append(f"port {port} answers, but its process cannot be looked at")
    return bool(passes_on) or not pids


def _answers(port: int) -> bool:
    return any(_called(family, address, port, _SECONDS) == 0 for family, address in _LOOPBACK)


def _is_open(port: int) -> bool | None:
    """Tell whether something listens at a port, None where the kernel does not say so at once."""
    ends = [_called(family, address, port, _AT_ONCE_SECONDS) for family, address in _LOOPBACK]
    if 0 in ends:
        return True
    return False if _NOBODY.issuperset(ends) else None


def _called(family: socket.AddressFamily, address: str, port: int, seconds: float) -> int:
    """Return how a call ended: 0 where somebody takes it, else an errno."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(seconds)
            return probe.connect_ex((address, port))
    except OSError as problem:
        return problem.errno or errno.EIO


def _gateway_behind(port: int) -> str:
    """Return why a gateway may answer at a port, "" where something else does: it is asked for its health."""
    deadline = time.monotonic() + _SECONDS
    for family, address in _LOOPBACK:
        answer = _health(family, address, port, deadline)
        if answer is None:
            return "which says nothing for a second"
        head, _, body = answer.partition(b"\r\n\r\n")
        said = b"".join(body.split())
        if head.startswith(b"HTTP/") and b'"ok":true' in said and b'"status":"live"' in said:
            return "and a gateway answers there"
    return ""


def speaks_http(port: int) -> bool:
    """Tell whether what listens at a port answers a request for its health, whatever it says."""
    deadline = time.monotonic() + _HTTP_SECONDS
    return (_health(*_LOOPBACK[0], port, deadline) or b"").startswith(b"HTTP/")


def _health(family: int, address: str, port: int, deadline: float) -> bytes | None:
    """Return what is answered to `GET /healthz` until the time is up, None where that is nothing.

    An answer that does not end is cut off.
    """
    said = b""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as link:
            link.settimeout(max(0.05, deadline - time.monotonic()))
            link.connect((address, port))
            link.sendall(f"GET /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
            while len(said) < _ANSWER_BYTES and (left := deadline - time.monotonic()) > 0:
                link.settimeout(left)
                some = link.recv(_ANSWER_BYTES - len(said))
                if not some:
                    break
                said += some
    except TimeoutError:
        return said or None
    except OSError:
        return said
    return said
