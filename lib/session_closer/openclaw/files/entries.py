"""What a plan needs of an entry of a sessions.json, whatever is in it (pure)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from ...core import names
from ...core.durations import moment
from ...core.model import Session

UPDATED = "updatedAt"
# The members that are read, in this order.
FIELDS = (
    "sessionId", "sessionFile", "status", "pinnedAt", UPDATED, "chatType", "origin", "model",
    "spawnedBy", "parentSessionKey",
)  # fmt: skip


def session(agent: str, real: Callable[[str], str], key: str, values: tuple[Any, ...] | None) -> Session:
    """Return an entry as a session: `values` are those of FIELDS, None of what is no object; `real` resolves a folder.

    Called once for each of ten thousands of entries.
    """
    if values is None:
        return Session(agent, key, None, None, id_usable=False)
    session_id, path, status, pinned, updated, chat, origin, model, spawned_by, parent = values
    if chat is None and origin is not None:
        chat = origin.get("chatType") if isinstance(origin, dict) else None
    return Session(
        agent,
        key,
        session_id if isinstance(session_id, str) else None,
        _real_parent(path, real) if isinstance(path, str) and "\0" not in path else None,
        sys.intern(status) if isinstance(status, str) else None,
        bool(pinned),
        names.is_session_id(session_id) if session_id is not None else isinstance(path, str),
        False,
        moment(updated),
        chat if isinstance(chat, str) else None,
        # Of tens of thousands of sessions few have a model that no other has.
        sys.intern(model) if model and isinstance(model, str) else None,
        parents=() if spawned_by is parent is None else _parents(spawned_by, parent),
    )


def _parents(*named: Any) -> tuple[str, ...]:
    """Return the keys of the sessions that an entry calls its parents, each once."""
    return tuple(dict.fromkeys(parent for parent in named if isinstance(parent, str)))


def _real_parent(path: str, real: Callable[[str], str]) -> str:
    """Return a path with its folder made real, so that two spellings of one folder compare equal."""
    if not path.startswith("/"):
        return path
    parent, slash, name = path.rpartition("/")
    try:
        folder = real(parent or slash)
    except UnicodeEncodeError:
        # Half a surrogate pair: JSON may hold it, and no file system has such a name.
        return path
    return path if folder == parent else f"{folder}/{name}"


class Named(msgspec.Struct, gc=False):
    """What an entry calls its transcript, and its session, whatever that is."""

    path: Any = msgspec.field(name="sessionFile", default=None)
    own: Any = msgspec.field(name="sessionId", default=None)


_NAMED = msgspec.json.Decoder(Named)


def named(text: str | memoryview) -> Named:
    """Return what the value of an entry names, nothing where it is no object."""
    try:
        # An entry may have a megabyte, and this decodes no more of it than is asked for.
        return _NAMED.decode(text)
    except (ValueError, RecursionError):
        # What msgspec does not take may be an entry all the same: half a surrogate pair, a number like 1e400.
        value = _value(text if isinstance(text, str) else bytes(text))
    return Named(value.get("sessionFile"), value.get("sessionId")) if isinstance(value, dict) else Named()


def _value(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
