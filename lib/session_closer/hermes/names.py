"""Whose a file among Hermes' sessions is: by the session id in its name, as it is or made safe, and in its text."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterable

from ..core import late
from ..core.tuples import NamedTuple
from ..system import pieces
from . import kinds

_LONGEST = 96
# What is safe as it is: the underscores at both ends would be taken away.
_SAFE = late.pattern(r"(?!_)[\w-]{1,96}(?<!_)")
_UNSAFE = late.pattern(r"[^\w-]")
_PATTERNS = tuple(pattern for pattern in kinds.PATTERNS if pattern.folder == kinds.SESSIONS)
# Where Hermes writes a snapshot or a dump, the id stands in its first lines.
_HEAD, _WHOLE = 4 << 10, 64 << 20
NOBODY = frozenset[str]()
_NEEDLE = b'"session_id"'
_INSIDE = late.pattern(rb'"session_id"\s*:\s*("(?:[^"\\]|\\.)*")', re.DOTALL)


class Named(NamedTuple):
    """What a file's name says: its kind, and the name of the session in it, which may be that of several ids."""

    kind: str
    name: str


def safe(session_id: str) -> str:
    """Return the name that Hermes gives a session's files from 0.18 on: nothing in it can lead to another folder."""
    raw = session_id.strip()
    name = _UNSAFE.sub("_", raw).strip("._")[:_LONGEST] or "session"
    if name == raw:
        return name
    return f"{name}_{hashlib.sha256(raw.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def parse(name: str) -> Named | None:
    """Return what the name of a file in the folder of the sessions says, None for one that is no session's."""
    for pattern in _PATTERNS:
        if found := pattern.name.fullmatch(name):
            return Named(pattern.kind, found["id"])
    return None


def is_safe(session_id: str) -> bool:
    """Tell whether an id is the one name that its session's files may have."""
    return _SAFE.fullmatch(session_id) is not None


def names_of(session_id: str) -> Collection[str]:
    """Return all names that a session's files may have: versions before 0.18 take the id as it is."""
    if is_safe(session_id):
        return (session_id,)
    return {session_id, session_id.strip(), safe(session_id)}


def owners(session_ids: Iterable[str]) -> dict[str, str]:
    """Return whose each name is that files of these sessions may have; of several ids with one name the first."""
    found: dict[str, str] = {}
    for session_id in session_ids:
        for name in names_of(session_id):
            found.setdefault(name, session_id)
    return found


def others(folder: int, file: str, name: str) -> frozenset[str]:
    """Return the session ids besides a name that a snapshot or a dump in an open folder says it is of; OSError."""
    head = pieces.head(folder, file, _HEAD)
    # So Hermes writes it, and so do nearly all: nothing has to be parsed where the name is written as it is.
    usual = f'"session_id": "{name}"'.encode("utf-8", "surrogatepass")
    if usual in head and head.count(_NEEDLE) == 1 and '"' not in name and "\\" not in name:
        return NOBODY
    found = _ids(head)
    return (found if found or len(head) < _HEAD else _ids(pieces.head(folder, file, _WHOLE))) - {name}


def inside(path: str) -> frozenset[str]:
    """Return the session ids that a snapshot or a dump says it is of; OSError where it cannot be read.

    No more is read than its head, where that names one.
    """
    head = pieces.piece(path, 0, _HEAD)
    found = _ids(head)
    return found if found or len(head) < _HEAD else _ids(pieces.piece(path, 0, _WHOLE))


def _ids(text: bytes) -> frozenset[str]:
    found = set()
    # Far less of a large text is looked at than by a search for the pattern.
    at = text.find(_NEEDLE)
    while at >= 0:
        if match := _INSIDE.match(text, at):
            with contextlib.suppress(ValueError):
                found.add(_string(match[1]))
        at = text.find(_NEEDLE, match.end() if match else at + 1)
    return frozenset(found)


def _string(text: bytes) -> str:
    """Return a string of JSON as what it stands for; ValueError where it is none."""
    plain = text[1:-1].decode("utf-8", "surrogatepass")
    return plain if plain.isprintable() and "\\" not in plain else json.loads(f'"{plain}"')
