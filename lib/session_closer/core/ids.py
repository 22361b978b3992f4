"""Session ids as names: the whole id, or so much of its beginning that it is one session's (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import late

if TYPE_CHECKING:
    from .keys import Target
    from .model import Session, Snapshot

# As OpenClaw makes them; a shorter beginning, or another word, is a slip in the name of a project.
_BEGINNING = late.pattern(r"[0-9a-f]{8}[0-9a-f-]*", re.IGNORECASE)


def is_beginning(name: str) -> bool:
    """Tell whether a name may be the beginning of a session id."""
    return bool(_BEGINNING.fullmatch(name))


def named(name: str, ids: Iterable[str | None]) -> set[str]:
    """Return those of some session ids that a name stands for: it alone, where it is one, else all that begin so."""
    there = set(filter(None, ids))
    if name in there:
        return {name}
    begins = name.lower()
    return {each for each in there if each.lower().startswith(begins)} if is_beginning(name) else set()


def sessions(target: Target, snapshot: Snapshot) -> list[Session]:
    """Return the sessions of a store that a name may mean as a session id, where it names no key there."""
    if any(key in snapshot.sessions for key in target.candidates):
        return []
    meant = named(target.given, (session.session_id for session in snapshot.sessions.values()))
    return [session for session in snapshot.sessions.values() if session.session_id in meant]


def resolved(target: Target, snapshot: Snapshot) -> Target:
    """Return the target with the key of the one session whose id it gives; as it was where that is none, or several."""
    found = sessions(target, snapshot)
    if len(found) != 1:
        return target
    return target._replace(candidates=(found[0].key,), session_id=found[0].session_id)
