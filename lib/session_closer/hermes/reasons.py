"""Why sessions of Hermes are in use, by their own rows and by what others say of them (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from ..core.tuples import NamedTuple
from .tables import Delegation, Session

DAY = 86400.0
# How long a result that nobody has fetched holds the sessions that wait for it.
PENDING = 30 * DAY
# A chat goes on in the session that one of these has ended: the gateway opens it again.
_REOPENABLE = frozenset({"agent_close", "ws_orphan_reap", "superseded_by_resume", "startup_orphan_reap"})
_HANDED_OVER = frozenset({"pending", "running"})
_CONTINUED = "compression"


class Reason(StrEnum):
    """Why a session is in use; of several the first counts."""

    INDEX = "index"
    RUNNING = "running"
    OPEN = "open"
    ROUTED = "routed"
    HANDOFF = "handoff"
    LOCKED = "locked"
    LEASED = "leased"
    DELEGATED = "delegated"
    REOPENABLE = "reopenable"
    PINNED = "pinned"
    ARCHIVED = "archived"
    ANCESTOR = "ancestor"


class Terms(NamedTuple):
    """What counts as in use.

    `pending`: for how many seconds a result that nobody has fetched holds sessions; `archived`: whether those do that
    somebody has archived. `every`: the rows of all sessions are wanted, too, and not those alone that hold something.
    """

    pending: float = PENDING
    archived: bool = True
    every: bool = True


class Holders(NamedTuple):
    """What says of sessions that they are in use, besides their own rows; `unreadable`: why that is not known."""

    named: Mapping[Reason, frozenset[str]]
    delegations: Mapping[str, str]
    waiting: frozenset[str]
    unreadable: str


def each_of(rows: Sequence[Session], holders: Holders, terms: Terms) -> Mapping[Reason, Collection[str]]:
    """Return what each reason but that of the ancestors protects, the first reason first."""
    found: dict[Reason, Collection[str]] = {
        **holders.named,
        Reason.OPEN: {row.id for row in rows if row.ended_at is None},
        Reason.HANDOFF: {row.id for row in rows if row.handoff in _HANDED_OVER},
        Reason.REOPENABLE: {row.id for row in rows if row.end_reason in _REOPENABLE and _has_chat(row)},
        Reason.PINNED: _pinned(rows),
        Reason.ARCHIVED: {row.id for row in rows if terms.archived and row.archived},
    }
    return {reason: found[reason] for reason in Reason if reason in found}


def first(rows: Sequence[Session], by_reason: Mapping[Reason, Collection[str]]) -> dict[str, Reason]:
    """Return the first reason for each session in use."""
    found: dict[str, Reason] = {}
    for reason, session_ids in by_reason.items():
        for each in session_ids:
            found.setdefault(each, reason)
    return found | dict.fromkeys(ancestors(rows, found), Reason.ANCESTOR)


def _pinned(rows: Sequence[Session]) -> set[str]:
    """Return the pinned sessions, and those in which they go on."""
    found = {row.id for row in rows if row.pinned}
    ended = {row.id for row in rows if row.end_reason == _CONTINUED} if found else set()
    further = found
    while further:
        further = {row.id for row in rows if row.parent in further and row.parent in ended} - found
        found = found | further
    return found


def ancestors(rows: Sequence[Session], used: Collection[str]) -> set[str]:
    """Return the sessions that those in use come from, but for those in use themselves."""
    parents = {row.id: row.parent for row in rows if row.parent is not None}
    found: set[str] = set()
    for each in used:
        above = parents.get(each)
        while isinstance(above, str) and above not in used and above not in found:
            found.add(above)
            above = parents.get(above)
    return found


def waiting(one: Delegation) -> Iterator[object]:
    """Give the sessions that wait for what was delegated."""
    yield from (one.parent, one.origin, one.origin_ui)


def texts(values: Iterable[object]) -> frozenset[str]:
    return frozenset(value for value in values if isinstance(value, str) and value)


def _has_chat(row: Session) -> bool:
    return bool(row.session_key or row.chat_id)
