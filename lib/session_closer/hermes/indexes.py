"""What Hermes keeps beside its database of sessions in use: the gateway's `sessions.json`, the list of open ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from ..core.durations import finite
from ..core.escape import quoted
from ..core.tuples import NamedTuple
from ..system import files

GATEWAY = "gateway.json"
INDEX = "sessions.json"
SESSIONS = "sessions"
_RUNNING = os.path.join("runtime", "active_sessions.json")
_MOST_BYTES = 256 << 20
# What two clocks may say of one start: the time of day may have been set since.
_TOLERANCE = 3600.0


class Unreadable(Exception):
    """A file that says which sessions are in use is there, and cannot be read."""


class Indexes(NamedTuple):
    """Which sessions they name: those that chats lead to, and those that a living process has open."""

    routed: frozenset[str]
    running: frozenset[str]


def sessions_dir(home: str) -> str:
    """Return the folder of the gateway's index and transcripts; Unreadable where that cannot be told."""
    found = _read(os.path.join(home, GATEWAY))
    if not isinstance(found, dict | None):
        raise Unreadable(f"{os.path.join(home, GATEWAY)} is no JSON object")
    named = (found or {}).get("sessions_dir")
    if named is None:
        return os.path.join(home, SESSIONS)
    # A relative one is one of wherever the gateway was started.
    if not isinstance(named, str) or not os.path.isabs(named) or not files.is_path(named):
        raise Unreadable(f"{os.path.join(home, GATEWAY)}: sessions_dir is no absolute path: {quoted(str(named))}")
    return os.path.normpath(named)


def look(home: str) -> Indexes:
    """Return which sessions the files of a home name; Unreadable where one is there that cannot be read."""
    routed: set[str] = set()
    for folder in _folders(home):
        path = os.path.join(folder, INDEX)
        index = _read(path)
        if not isinstance(index, dict | None):
            raise Unreadable(f"{path} is no JSON object")
        routed.update(_ids((index or {}).values()))
    return Indexes(frozenset(routed), frozenset(_running(os.path.join(home, _RUNNING))))


def stamps(home: str) -> tuple[object, ...]:
    """Return what is another value once any of the files that name sessions is another."""
    gateway = _stamp(f"{home}/{GATEWAY}")
    return gateway, *map(_stamp, _others(home, gateway))


@lru_cache(maxsize=8)
def _others(home: str, _gateway: object) -> tuple[str, ...]:
    """Return the paths of the other files of a home whose gateway.json has this stamp."""
    return os.path.join(home, _RUNNING), *(os.path.join(folder, INDEX) for folder in _folders(home))


def routed_by(text: Any) -> Iterator[str]:
    """Give the session of one route in the database; Unreadable where its JSON is none."""
    try:
        entry = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise Unreadable("a row of gateway_routing is no JSON") from None
    yield from _ids([entry])


def _folders(home: str) -> list[str]:
    return sorted({os.path.join(home, SESSIONS), sessions_dir(home)})


def _ids(entries: Iterable[object]) -> Iterator[str]:
    for entry in entries:
        if isinstance(entry, dict) and isinstance(entry.get("session_id"), str):
            yield entry["session_id"]


def _running(path: str) -> Iterator[str]:
    found = _read(path)
    entries = found.get("entries", []) if isinstance(found, dict) else found or []
    if not isinstance(entries, list):
        raise Unreadable(f"{path} is no list of sessions")
    living = [entry for entry in entries if isinstance(entry, dict) and _lives(entry)]
    yield from _ids(living)


def _lives(entry: dict[str, Any]) -> bool:
    from ..system import processes  # psutil, only where a process is named

    pid, started = entry.get("pid"), finite(entry.get("process_start_time"))
    if not isinstance(pid, int) or not processes.is_alive(pid):
        return False
    born = processes.born(pid)
    if born is None or started is None:
        return True
    return abs(born - started) < _TOLERANCE


def _read(path: str) -> Any:
    """Return what is in a JSON file, None where there is none; Unreadable where it is anything else."""
    try:
        return json.loads(files.read(path, _MOST_BYTES)[0])
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError):
        raise Unreadable(f"{path} is no JSON") from None
    except OSError as problem:
        raise Unreadable(f"{path} cannot be read: {problem.strerror}") from None


def _stamp(path: str) -> object:
    try:
        found = os.lstat(path)
    except OSError as problem:
        return problem.errno
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
