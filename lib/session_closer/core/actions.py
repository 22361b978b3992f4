"""How a session is put away, and in a word each what that makes of a thing that is attached to it (pure)."""

from __future__ import annotations

from enum import StrEnum

DISABLED, REMOVED, KEPT = "disabled", "removed", "kept"
CHILD = "child"
EXACT, AGAIN, NONE = "exact", "again", "none"


class How(StrEnum):
    """How a session is put away: which of its belongings go depends on that."""

    ARCHIVE = "archive"
    DELETE = "delete"
    GATEWAY = "gateway"
    FILES = "files"
