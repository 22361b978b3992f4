"""The words for kinds of session and orders of a list, and what holds for the kinds (pure)."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of session, in the order in which a list names them."""

    MAIN = "main"
    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    THREAD = "thread"
    CHAT = "chat"
    CRON = "cron"
    CRON_ORPHAN = "cron-orphan"
    CRON_RUN = "cron-run"
    SUBAGENT = "subagent"
    HOOK = "hook"
    HEARTBEAT = "heartbeat"
    MEMORY = "memory"
    DREAMING = "dreaming"
    ACP = "acp"
    PROBE = "probe"
    PROJECT = "project"
    OTHER = "other"


# So many sessions a list shows where nobody says.
LIMIT = 100


class Sort(StrEnum):
    """The orders of a list: newest, largest, most tokens first; keys from a on."""

    AGE = "age"
    SIZE = "size"
    TOKENS = "tokens"
    KEY = "key"


# People talk there, or OpenClaw itself comes back to it: no policy may name these.
DURABLE = frozenset(
    {Kind.MAIN, Kind.DIRECT, Kind.GROUP, Kind.CHANNEL, Kind.THREAD, Kind.CHAT, Kind.CRON, Kind.HEARTBEAT, Kind.MEMORY}
)  # fmt: skip
STALE_KINDS = tuple(kind for kind in Kind if kind not in DURABLE)
# Made by machines, and nobody goes on in them once they have ended: a cleanup frees them.
AUTOMATION = frozenset({Kind.CRON_ORPHAN, Kind.CRON_RUN, Kind.HOOK, Kind.SUBAGENT, Kind.PROBE})
