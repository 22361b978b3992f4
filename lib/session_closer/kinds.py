"""What kind of session a row is, by its key and its chat type (pure)."""

from __future__ import annotations

import re
from enum import StrEnum

from . import keys


class Kind(StrEnum):
    """The kinds of session, in the order in which a list names them."""

    MAIN = "main"
    DIRECT = "direct"
    GROUP = "group"
    CHANNEL = "channel"
    THREAD = "thread"
    CRON = "cron"
    CRON_RUN = "cron-run"
    SUBAGENT = "subagent"
    HOOK = "hook"
    HEARTBEAT = "heartbeat"
    DREAMING = "dreaming"
    ACP = "acp"
    PROBE = "probe"
    PROJECT = "project"
    OTHER = "other"


# People talk there, or OpenClaw itself comes back to it: no policy may name these.
DURABLE = frozenset(
    {Kind.MAIN, Kind.DIRECT, Kind.GROUP, Kind.CHANNEL, Kind.THREAD, Kind.CRON, Kind.HEARTBEAT}
)  # fmt: skip
STALE_KINDS = tuple(kind for kind in Kind if kind not in DURABLE)
# Made by machines, and nobody goes on in them once they have ended: a cleanup frees them.
AUTOMATION = frozenset({Kind.CRON_RUN, Kind.HOOK, Kind.SUBAGENT, Kind.PROBE})

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_PROBE = re.compile(rf"explicit:model-run-{_UUID}|probe-setup-inference[-:].+")
_MACHINES = {
    "cron": Kind.CRON,
    "subagent": Kind.SUBAGENT,
    "hook": Kind.HOOK,
    "acp": Kind.ACP,
    "acp-bridge": Kind.ACP,
}
_PLACES = {
    "direct": Kind.DIRECT,
    "dm": Kind.DIRECT,
    "group": Kind.GROUP,
    "channel": Kind.CHANNEL,
    "thread": Kind.THREAD,
    "topic": Kind.THREAD,
    "main": Kind.MAIN,
}
# `direct` is left out: OpenClaw writes it into whatever was talked to over its web chat.
_BY_CHAT_TYPE = {"group": Kind.GROUP, "channel": Kind.CHANNEL, "thread": Kind.THREAD}


def kind(key: str, chat_type: str | None = None) -> Kind:
    """Return the kind of a session; where key and chat type leave a doubt, the kind that is kept longest."""
    if keys.is_main(key):
        return Kind.MAIN
    plain = key.lower().strip()
    agent = keys.agent_of(plain)
    rest = plain if agent is None else plain.split(":", 2)[2]
    parts = rest.split(":")
    if "heartbeat" in parts:
        return Kind.HEARTBEAT
    inner = parts[1:-1]
    if "thread" in inner or "topic" in inner:
        return Kind.THREAD
    if len(parts) == 4 and parts[0] == "cron" and parts[2] == "run" and parts[1] and parts[3]:
        return Kind.CRON_RUN
    if len(parts) > 1 and parts[0] in _MACHINES:
        return _MACHINES[parts[0]]
    if rest.startswith("dreaming-narrative-"):
        return Kind.DREAMING
    if _PROBE.fullmatch(rest):
        return Kind.PROBE
    # Wherever such a word stands: only a key of one word is a name that somebody chose.
    for part in parts if len(parts) > 1 else []:
        if part in _PLACES:
            return _PLACES[part]
    if chat_type is not None and (found := _BY_CHAT_TYPE.get(chat_type.lower())):
        return found
    if len(parts) == 1 and (rest.startswith("project-") or agent == keys.DEFAULT_AGENT):
        return Kind.PROJECT
    return Kind.OTHER


def is_peer_direct(key: str) -> bool:
    """Tell whether a key is a direct message of one peer, as `session.dmScope` other than `main` makes them.

    The shapes are OpenClaw's own: `direct:<peer>`, `<channel>:direct:<peer>`, `<channel>:<account>:direct:<peer>`.
    """
    plain = key.lower()
    if keys.agent_of(plain) is None:
        return False
    parts = plain.split(":")[2:]
    return 2 <= len(parts) <= 4 and parts[-2] == "direct" and all(parts) and parts[0] != "agent"
