"""What kind of session a row is, by its key and its chat type (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from . import keys
from .tuples import NamedTuple
from .words import Kind

if TYPE_CHECKING:
    from .model import Session

# What OpenClaw's own cleanup of a database deletes; it archives all else (isSyntheticSessionMaintenanceKey, 2026.9.6).
OPENCLAW_DELETES = frozenset({Kind.CRON, Kind.CRON_ORPHAN, Kind.CRON_RUN, Kind.HOOK, Kind.SUBAGENT, Kind.ACP})

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MODEL_RUN = rf"explicit:model-run-{_UUID}"
# Of the key of a cron job's own session: without its agent, and with it.
_COLONS = (1, 3)
_SOME_ID = "00000000-0000-0000-0000-000000000000"
# Those that 2026.9.6 lists (CHANNEL_SUBSYSTEM_PREFIXES), and the plugins of DingTalk and WeCom.
_CHANNELS = (
    "clickclack|dingtalk|discord|feishu|googlechat|imessage|irc|line|matrix|mattermost|msteams|nextcloud-talk|nostr|"
    "openclaw-weixin|qqbot|signal|slack|synology-chat|telegram|tlon|twitch|webchat|wechat|wecom|weixin|whatsapp|"
    "yuanbao|zalo|zalouser"
)


class Shape(NamedTuple):
    """One kind of key: a pattern for what follows `agent:<agent>:`, in lower case, and who makes such keys."""

    kind: Kind
    pattern: str
    source: str


# The first that fits a key as a whole says its kind.
SHAPES = (
    Shape(Kind.HEARTBEAT, r"(?:.*:)?heartbeat(?::.*)?", "2026.9.6 isSyntheticSessionMaintenanceKey"),
    # By the places of its parts: an account may be called main, group, channel, dm, thread or topic.
    Shape(
        Kind.DIRECT,
        r"(?!(?:agent|cron|subagent|hook|acp|acp-bridge):)(?:[^:]+:){0,2}direct:[^:]+",
        "2026.9.6 buildAgentPeerSessionKey, isMainScopeStaleDirectSessionKey",
    ),
    Shape(Kind.THREAD, r"[^:]*:(?:.*:)?(?:thread|topic):.*", "2026.9.6 parseThreadSessionSuffix; Telegram topics"),
    Shape(Kind.CRON_RUN, r"cron:[^:]+:run:[^:]+", "2026.9.6 isCronRunSessionKey"),
    Shape(Kind.CRON, r"cron:.*", "2026.9.6 isCronSessionKey"),
    Shape(Kind.SUBAGENT, r"subagent:.*", "2026.9.6 isSubagentSessionKey"),
    Shape(Kind.HOOK, r"hook:.*", "2026.9.6 isSyntheticSessionMaintenanceKey"),
    Shape(Kind.ACP, r"acp(?:-bridge)?:.*", "2026.9.6 isAcpSessionKey"),
    Shape(Kind.DREAMING, r"dreaming-narrative-.*", "2026.5.7 memory-core, dreaming-narrative.ts"),
    Shape(Kind.MEMORY, r"dreaming(?::.*)?", "what an agent's memory comes back to; the first tools always kept it"),
    Shape(Kind.PROBE, _MODEL_RUN, "2026.9.6 isGatewayModelRunSessionKey"),
    Shape(Kind.PROBE, r"probe-setup-inference[-:].+", "2026.9.6 set-up, which tries a model"),
    # Wherever such a word stands: only a key of one word is a name that somebody chose.
    Shape(Kind.DIRECT, r"(?=.*:)(?:.*:)?(?:direct|dm)(?::.*)?", "2026.9.6 parseSessionDeliveryRoute"),
    Shape(Kind.GROUP, r"(?=.*:)(?:.*:)?group(?::.*)?", "2026.9.6 isProtectedExternalConversationSessionKey"),
    Shape(Kind.CHANNEL, r"(?=.*:)(?:.*:)?channel(?::.*)?", "2026.9.6 isProtectedExternalConversationSessionKey"),
    Shape(Kind.THREAD, r"(?=.*:)(?:.*:)?(?:thread|topic)(?::.*)?", "the same words at an end"),
    Shape(
        Kind.CHAT,
        r"(?=.*:)(?:.*:)?slash(?::.*)?",
        "2026.5.7 telegram:slash, slack:slash and slashCommand.sessionPrefix",
    ),
    Shape(Kind.CHAT, r"dashboard:.*", "2026.5.7 server-methods: a chat that was begun in the dashboard"),
    Shape(Kind.CHAT, r"session-\d{13}", "DingTalk-Real-AI/dingtalk-openclaw-connector#307"),
    Shape(
        Kind.CHAT,
        rf"(?:{_CHANNELS}|(?:dingtalk|wecom|wechat)-[^:]*):.+",
        "wecom:<user> in dingxiang-me/OpenClaw-Wechat#49; any channel's own",
    ),
    Shape(Kind.MAIN, r"(?=.*:)(?:.*:)?main(?::.*)?", "what a main session is about"),
)
# `direct` is left out: OpenClaw writes it into whatever was talked to over its web chat.
_BY_CHAT_TYPE: Mapping[str, Kind] = {"group": Kind.GROUP, "channel": Kind.CHANNEL, "thread": Kind.THREAD}


def kind(key: str, chat_type: str | None = None, *, orphaned: bool = False) -> Kind:
    """Return the kind of a session; where key and chat type leave a doubt, the kind that is kept longest.

    `orphaned`: OpenClaw's list of cron jobs has none by the name that the key holds.
    """
    if keys.is_main(key):
        return Kind.MAIN
    ahead, _, own = key.rpartition(":")
    # The many runs of one job, and the many subagents of one agent, differ by an id alone.
    form = _form_of_ids(ahead) if ahead.count(":") > 1 and _is_opaque(own) else _form(key)
    if form.kind is not None:
        return Kind.CRON_ORPHAN if orphaned and form.kind is Kind.CRON else form.kind
    if chat_type is not None and (by_chat := _BY_CHAT_TYPE.get(chat_type.lower())):
        return by_chat
    return form.otherwise


class _Form(NamedTuple):
    """What a key says of its session: the kind whose shape it has, and the kind where it has none."""

    kind: Kind | None
    otherwise: Kind = Kind.OTHER


_OF_A_PROJECT = _Form(None, Kind.PROJECT)


def _is_opaque(part: str) -> bool:
    """Tell whether the last part of a key is as long as a UUID: longer than each word that a shape asks for."""
    return len(part) == len(_SOME_ID) and not part[-1].isspace()


@lru_cache(maxsize=1024)
def _form_of_ids(ahead: str) -> _Form:
    """Return what is said by all keys of several parts that begin so and end with an id."""
    return _form(f"{ahead}:{_SOME_ID}")


def _form(key: str) -> _Form:
    plain = key.lower().strip()
    agent = keys.agent_of(plain)
    rest = plain if agent is None else plain.split(":", 2)[2]
    is_word = ":" not in rest
    # No shape fits such a word, and most keys of a long list are one.
    if is_word and rest.startswith("project-"):
        return _OF_A_PROJECT
    found = _shape().fullmatch(rest)
    if found is not None and found.lastgroup is not None:
        return _Form(SHAPES[int(found.lastgroup[1:])].kind)
    return _Form(None, Kind.PROJECT if is_word and agent == keys.DEFAULT_AGENT else Kind.OTHER)


def of(session: Session) -> Kind:
    """Return the kind of a session that was read."""
    return kind(session.key, session.chat_type, orphaned=session.orphaned)


@cache
def _shape() -> re.Pattern[str]:
    """Return all shapes as one pattern, made when a kind is first asked for: that takes as long as ten modules."""
    return re.compile("|".join(f"(?P<n{number}>{shape.pattern})" for number, shape in enumerate(SHAPES)), re.DOTALL)


def _rest(plain: str) -> str:
    return plain if keys.agent_of(plain) is None else plain.split(":", 2)[2]


def job_of(key: str) -> str | None:
    """Return the id of the cron job whose own session a key is, in lower case, None for any other session."""
    ahead, _, job = _rest(key.lower().strip()).partition(":")
    return job if ahead == "cron" and job and ":" not in job else None


def jobs_of(many: Collection[str]) -> dict[str, str]:
    """Return what `job_of` does of those keys that are a cron job's own sessions."""
    # Of many keys mostly none is, and one look at all of them is much less than a look at each.
    if "cron:" not in "\n".join(many).lower():
        return {}
    # A run's key has more parts than that of its job.
    return {key: job for key in many if key.count(":") in _COLONS and (job := job_of(key)) is not None}


def openclaw_deletes(key: str, of_kind: Kind) -> bool:
    """Tell whether OpenClaw's own cleanup of a database would delete such a session, where it archives others."""
    return of_kind in OPENCLAW_DELETES or bool(re.fullmatch(_MODEL_RUN, _rest(key.lower().strip())))


def is_peer_direct(key: str) -> bool:
    """Tell whether a key is a direct message of one peer, as `session.dmScope` other than `main` makes them.

    The shapes are OpenClaw's own: `direct:<peer>`, `<channel>:direct:<peer>`, `<channel>:<account>:direct:<peer>`.
    """
    plain = key.lower()
    if keys.agent_of(plain) is None:
        return False
    parts = plain.split(":")[2:]
    return 2 <= len(parts) <= 4 and parts[-2] == "direct" and all(parts) and parts[0] != "agent"
