"""The processes of this machine: since when they run, whose they are, what they hold and where they listen."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from . import trust

if TYPE_CHECKING:
    import psutil  # as slow to load as 50 modules of ours, and most runs see no process that is worth a look

Answer = TypeVar("Answer")

_LAST_PID = 2**31 - 1
_WORDS = 1 << 16
# A lock is dated a moment after the start of its process, by a clock that may be set by a second meanwhile.
_TOLERANCE = 2.0


def are_visible() -> bool:
    """Tell whether processes can be looked at: on Linux /proc has to be there, and be that of our own pids."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def start_ticks(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot, as OpenClaw records it; None but on Linux."""
    if not (sys.platform.startswith("linux") and are_visible()):
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _asked(pid: int | None, question: Callable[[psutil.Process], Answer]) -> Answer | None:
    """Return what psutil answers of a process, None where that is gone or hidden."""
    import psutil

    try:
        return question(psutil.Process(pid))
    except (psutil.Error, OSError):
        return None


def is_alive(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    # psutil cannot even ask for more than a C int.
    if not 0 < pid <= _LAST_PID:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # Another user's, whom `hidepid` may hide.
        if not os.path.exists(f"/proc/{pid}"):
            return True
    if not are_visible():
        return True
    import psutil

    try:
        return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def is_same(pid: int, started: object) -> bool:
    """Tell whether a pid is alive and, where its start is known on both sides, still the same process."""
    return holds(pid, started, math.inf) is not False


def holds(pid: int, started: object, date: float) -> bool | None:
    """Tell whether a process took a lock at a date (s since 1970); None: it lives, and no start of its says more."""
    if not is_alive(pid):
        return False
    now = start_ticks(pid)
    if type(started) is int and now is not None:
        return started == now
    first = born(pid)
    return False if first is not None and first > date + _TOLERANCE else None


def born(pid: int) -> float | None:
    """Return when a process was started, in seconds since 1970 by the clock as it is now; None where that is hidden."""
    ticks = start_ticks(pid)
    if ticks is not None:
        # psutil goes by the boot time, which the system rounds to seconds.
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")
    return _asked(pid, lambda process: process.create_time()) if are_visible() else None


def called(pid: int) -> str:
    """Return the name of a process in brackets, nothing where it is gone or hidden."""
    name = _name(pid)
    return f"({name})" if name else ""


def _name(pid: int) -> str:
    return _asked(pid, lambda process: process.name()) or ""


def stranger(pid: int) -> str:
    """Return whose a process is that another user has a hand in, "" where it is ours or root's alone."""
    found = _asked(pid, lambda process: process.uids())
    if found is None:
        return "it is gone"
    # The real one, too: a program that runs as root for whoever starts it has that user's words and environment.
    other = [uid for uid in found if not trust.is_trusted(uid)]
    return f"it belongs to uid {other[0]}" if other else ""


def flock_holders(descriptor: int) -> list[int]:
    """Return the processes that hold the flock on what is open, as far as the kernel tells (Linux only)."""
    found = os.fstat(descriptor)
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    return [int(row[4]) for row in rows if len(row) > 5 and (row[1], row[5]) == ("FLOCK", place) and row[4].isdecimal()]


def environment(pid: int) -> dict[str, str] | None:
    """Return a process's environment, None where we may not look."""
    return _asked(pid, lambda process: process.environ())


def command_line(pid: int) -> list[str]:
    """Return a process's arguments; nothing where it is gone or hidden."""
    return _asked(pid, lambda process: process.cmdline()) or []


def listeners() -> dict[int, set[int]]:
    """Return the listening TCP ports of every process whose sockets we may see."""
    found: dict[int, set[int]] = {}
    if not are_visible():
        return found
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr:
                found.setdefault(connection.pid, set()).add(connection.laddr.port)
    except psutil.AccessDenied:
        # macOS shows the whole table to root only; our own processes are the ones that matter.
        for process in psutil.process_iter():
            ports = _asked(process.pid, _ports_of)
            if ports:
                found[process.pid] = ports
    return found


def _ports_of(process: psutil.Process) -> set[int]:
    import psutil

    connections = process.net_connections("tcp")
    return {each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN and each.laddr}


def gateways() -> Iterator[int]:
    """Return the processes that could be a gateway by their looks, which prove nothing."""
    for pid in filter(_may_be_one, _pids()) if are_visible() else ():
        words = [_name(pid), *command_line(pid)]
        program = words[1].rpartition("/")[2] if len(words) > 1 else ""
        titled = words[0].startswith("openclaw") or program.startswith("openclaw")
        if titled or (program in ("node", "bun") and "gateway" in words[2:]):
            yield pid


def _pids() -> list[int]:
    """Return every process that is to be seen."""
    if sys.platform.startswith("linux"):
        return sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
    import psutil

    return psutil.pids()


def _may_be_one(pid: int) -> bool:
    """Tell whether a process is worth the time that psutil takes to look at one."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        said = _told(f"/proc/{pid}/cmdline")
        if _told(f"/proc/{pid}/comm").startswith(b"openclaw"):
            return True
    except OSError:
        return False
    # A title that a process has given itself has spaces between its words, a path may have some, too.
    first = said.partition(b"\0")[0]
    programs = [path.rpartition(b"/")[2] for path in (first, first.partition(b" ")[0])]
    return any(name.startswith(b"openclaw") or (name in (b"node", b"bun") and b"gateway" in said) for name in programs)


def _told(path: str) -> bytes:
    """Return what the kernel tells; a file object would cost more than its words, and there may be hundreds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        said = pieces = os.read(descriptor, _WORDS)
        while pieces:
            pieces = os.read(descriptor, _WORDS)
            said += pieces
        return said
    finally:
        os.close(descriptor)


def ancestors(pid: int) -> Iterator[int]:
    """Return the process ids above a process, nearest first."""
    if not are_visible():
        return
    for parent in _asked(pid, lambda process: process.parents()) or ():
        yield parent.pid


def program(pid: int | None) -> str | None:
    """Return the path of the program that a process runs, None where it is hidden."""
    return _asked(pid, lambda process: process.exe()) or None


def control_group(pid: int) -> str:
    """Return a process's control group, empty where there is none (Linux only)."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            return file.read().strip().rpartition(":")[2]
    except OSError:
        return ""


def shares(pid: int, namespace: str) -> bool:
    """Tell whether a process is known to be in one of our own namespaces, `mnt` say; always, but on Linux."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/ns/{namespace}"), os.stat(f"/proc/self/ns/{namespace}"))
    except OSError:
        return False


def folder(pid: int, path: str) -> os.stat_result | None:
    """Return what a path is to a process in a mount namespace of its own, None where that cannot be told from here."""
    place = f"/proc/{pid}/root"
    try:
        for part in os.path.normpath(path).split("/"):
            place = os.path.join(place, part)
            if os.path.islink(place):
                # The kernel follows an absolute link from our own root.
                return None
        return os.stat(place) if os.path.isabs(path) else None
    except OSError:
        return None


def is_below(pid: int | None) -> bool:
    """Tell whether this process runs below another one."""
    return pid is not None and pid in ancestors(os.getpid())
