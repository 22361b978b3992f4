"""Whose socket is at the other end of a connection: a token is for ourselves and root, on this machine or by name."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from functools import cache

from ..core.tuples import NamedTuple
from . import trust

_MAPPED = bytes(10) + b"\xff\xff"
_LISTENS = "0A"
_EVERYBODY = "0 0 4294967295"
_LOOPBACK = (socket.inet_pton(socket.AF_INET, "127.0.0.1"), socket.inet_pton(socket.AF_INET6, "::1"))

End = tuple[bytes, int]


class Line(NamedTuple):
    """A connected socket and its ends: ours, and the one that is spoken to."""

    socket: socket.socket
    here: End
    there: End


class _Socket(NamedTuple):
    """A socket of this machine; `uid` is None where it is not to be told, `held`: a process has it."""

    local: End
    remote: End | None
    uid: int | None
    held: bool = True


def dial(host: str, port: int, seconds: float) -> Line:
    """Connect; raise OSError."""
    made = socket.create_connection((host, port), seconds)
    try:
        return Line(made, _end(made.getsockname()), _end(made.getpeername()))
    except BaseException:
        made.close()
        raise


def objection(line: Line, *, named: bool) -> str:
    """Return why the other end may not be told a token, "" where it may.

    It has taken the connection by now, so its own socket tells who that was; the one that listens must be trusted, too.
    `named`: the address was given to us as the gateway's, so it may be on another machine, or in a container.
    """
    local = line.there[0] == line.here[0] or _is_loopback(line.there[0])
    found = _sockets(line.there[1])
    if found is None:
        return "" if named and not local else "whose process that is cannot be told"
    ends = [each for each in found if each.local == line.there and each.remote == line.here]
    listeners = _listening(found, line.there[0]) if local or ends else []
    if not ends and not listeners:
        return "" if named and (not local or _sees_all()) else "no process is seen there"
    if not ends or not listeners or not all(each.held for each in ends):
        return "it is not seen which process has taken the connection"
    return _strange([*ends, *listeners])


def is_elsewhere(line: Line) -> bool:
    """Tell whether nothing in this network namespace is at the other end."""
    found = _sockets(line.there[1])
    return found is not None and not any(each.local == line.there and each.remote == line.here for each in found)


def stranger(port: int) -> str:
    """Return whose it is where another user listens at a port of this machine's loopback, "" where nobody is known to.

    Where one of its two addresses is ours or root's, what listens at the other is nobody's business.
    """
    found = _sockets(port) or []
    said = [_strange(listeners) for at in _LOOPBACK if (listeners := _listening(found, at)) and _is_told(listeners)]
    return said[0] if said and all(said) else ""


def stranger_at_home(port: int) -> str:
    """Return the same of 127.0.0.1, where OpenClaw's own commands look for a gateway."""
    listeners = _listening(_sockets(port) or [], _LOOPBACK[0])
    return _strange(listeners) if _is_told(listeners) else ""


def _is_told(found: list[_Socket]) -> bool:
    return all(each.uid is not None for each in found)


def _strange(found: list[_Socket]) -> str:
    for each in found:
        if each.uid is None:
            return "a user whom this user namespace does not know listens there"
        if not trust.is_trusted(each.uid):
            return f"uid {each.uid} listens there"
    return ""


def _listening(found: list[_Socket], address: bytes) -> list[_Socket]:
    """Return the sockets that take connections to an address: of all that could, the kernel takes the most exact."""
    for exact in (address, bytes(4), bytes(16)) if len(address) == 4 else (address, bytes(16)):
        some = [each for each in found if each.remote is None and each.local[0] == exact]
        if some:
            return some
    return []


def _is_loopback(address: bytes) -> bool:
    return address == _LOOPBACK[1] or (len(address) == 4 and address[0] == 127)


def _sees_all() -> bool:
    return sys.platform.startswith("linux") or os.geteuid() == 0


def _sockets(port: int) -> list[_Socket] | None:
    """Return the TCP sockets of this network namespace with a local port, as far as they are to be seen."""
    if not sys.platform.startswith("linux"):
        return list(_of_processes(port))
    found: list[_Socket] = []
    # The kernel's own table, and not psutil's: that has no uids, and looks through every process for what has them.
    for name, must in (("tcp", True), ("tcp6", False)):
        try:
            with open(f"/proc/net/{name}", encoding="utf-8") as file:
                found += _table(file.read(), port)
        except FileNotFoundError:
            if must:
                return None
        except (OSError, ValueError, IndexError):
            return None
    return found


def _table(text: str, port: int) -> Iterator[_Socket]:
    needle = f":{port:04X} "
    for row in text.splitlines()[1:]:
        if needle in row:
            words = row.split()
            local, remote, state, uid, inode = words[1], words[2], words[3], int(words[7]), words[9]
            if local.endswith(needle[:-1]):
                other = None if state == _LISTENS else _parsed(remote)
                yield _Socket(_parsed(local), other, None if uid == _unknown_uid() else uid, inode != "0")


def _parsed(text: str) -> End:
    address, _, port = text.partition(":")
    raw = bytes.fromhex(address)
    if sys.byteorder == "little":
        raw = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    return _plain(raw), int(port, 16)


def _of_processes(port: int) -> Iterator[_Socket]:
    """Return what psutil sees where the kernel has no such table: to anybody but root only what is their own."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            for each in process.net_connections("tcp"):
                if each.laddr and each.laddr.port == port:
                    other = _end(each.raddr) if each.raddr else None
                    if other is not None or each.status == psutil.CONN_LISTEN:
                        yield _Socket(_end(each.laddr), other, process.uids().effective)


def _end(address: tuple[str, int] | tuple[str, int, int, int]) -> End:
    host, port = address[0].partition("%")[0], address[1]
    return _plain(socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)), port


def _plain(raw: bytes) -> bytes:
    return raw[12:] if raw.startswith(_MAPPED) else raw


@cache
def _unknown_uid() -> int | None:
    """Return the uid that stands for all whom our user namespace does not know, None where it knows everybody."""
    try:
        with (
            open("/proc/self/uid_map", encoding="utf-8") as known,
            open("/proc/sys/kernel/overflowuid", encoding="utf-8") as file,
        ):
            return None if " ".join(known.read().split()) == _EVERYBODY else int(file.read())
    except (OSError, ValueError):
        return None
