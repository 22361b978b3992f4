"""The words for what becomes of sessions and files, why one stays, who takes an entry out, who serves it (pure)."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What happened, or would happen, to one session or file."""

    CLOSED = "closed"
    WOULD_CLOSE = "would_close"
    ALREADY_CLOSED = "already_closed"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    ARCHIVED = "archived"
    WOULD_ARCHIVE = "would_archive"
    RESTORED = "restored"
    WOULD_RESTORE = "would_restore"
    ALREADY_RESTORED = "already_restored"
    DEFERRED = "deferred"
    WOULD_DEFER = "would_defer"
    EXPIRED = "expired"
    WOULD_EXPIRE = "would_expire"
    DELETED = "deleted"
    WOULD_DELETE = "would_delete"
    KEPT = "kept"
    CONFLICT = "conflict"
    CAME_BACK = "came_back"
    FAILED = "failed"


CHANGED = frozenset(
    {
        Status.CLOSED, Status.WOULD_CLOSE, Status.ARCHIVED, Status.WOULD_ARCHIVE, Status.RESTORED,
        Status.WOULD_RESTORE, Status.DEFERRED, Status.WOULD_DEFER, Status.EXPIRED, Status.WOULD_EXPIRE,
        Status.DELETED, Status.WOULD_DELETE,
    }
)  # fmt: skip
# What a plan is going to put away.
GOING = frozenset({Status.WOULD_CLOSE, Status.WOULD_DEFER})
# What a run has put away: a later close finds it closed already, and a restore brings it back.
PUT_AWAY = frozenset({Status.CLOSED, Status.ARCHIVED})
FINE = CHANGED | {Status.ALREADY_CLOSED, Status.ALREADY_RESTORED, Status.KEPT}


class Reason(StrEnum):
    """Why a session was refused or kept; `pending`: a run that ended early has begun it, and the next one finishes it.

    `filter`: the filters do not match it; `protected`: they alone did, or its
    parent goes, and no policy may take it either. `child`: its parent goes, or did when it was planned.
    """

    MAIN = "main"
    RUNNING = "running"
    AMBIGUOUS = "ambiguous"
    SELF = "self"
    CLOCK = "clock"
    PENDING = "pending"
    WORKTREE = "worktree"
    EXPORT = "export"
    FILTER = "filter"
    PROTECTED = "protected"
    CHILD = "child"


class Route(StrEnum):
    """Who takes the entry out of the store."""

    FILES = "files"
    GATEWAY = "gateway"


class Life(StrEnum):
    """Whether a gateway serves this state directory."""

    DOWN = "down"
    UP = "up"
    UNKNOWN = "unknown"
