"""The kinds of file that Hermes leaves beside its sessions: where each lies, and from which age on it goes (pure)."""

from __future__ import annotations

import re

from ..core import late
from ..core.artifacts import ROW, KindRule
from ..core.durations import SECONDS
from ..core.patterns import Pattern

DAY = SECONDS["d"]
SNAPSHOT, DUMP, TRANSCRIPT = "session_json", "request_dump", "transcript_jsonl"
V1, V2, LEGACY, DELEGATION = "checkpoint_v1", "checkpoint_v2", "checkpoint_legacy", "delegation_log"
RULES = (
    KindRule(SNAPSHOT, 30 * DAY),
    KindRule(DUMP, 30 * DAY),
    KindRule(TRANSCRIPT, 30 * DAY),
    KindRule(V1, 14 * DAY, family="checkpoint"),
    KindRule(V2, 14 * DAY, family="checkpoint"),
    KindRule(LEGACY, 14 * DAY, family="checkpoint"),
    KindRule(DELEGATION, 7 * DAY),
    KindRule("spawn_tree", 30 * DAY, on=False),
    KindRule("moa_trace", 30 * DAY, on=False),
    KindRule("hook_output", 30 * DAY, on=False),
)
# Only where --rows names their sources.
ROWS = KindRule(ROW, 0.0, on=False, returns=False)
DATABASE, SESSIONS = "state.db", "sessions"
_LIVE = late.pattern(r"(?P<id>deleg_[0-9a-f]{8})")
_ANY = late.pattern(r"(?P<id>[^.].*)", re.DOTALL)
TRANSCRIPT_NAME = late.pattern(r"(?P<id>[^.].*)\.jsonl", re.DOTALL)
PATTERNS = (
    Pattern(SNAPSHOT, SESSIONS, re.compile(r"session_(?P<id>.+)\.json", re.DOTALL)),
    Pattern(DUMP, SESSIONS, re.compile(r"request_dump_(?P<id>.+)_[0-9]{8}_[0-9]{6}_\w{6}\.json", re.DOTALL)),
    Pattern(TRANSCRIPT, SESSIONS, TRANSCRIPT_NAME),
    Pattern(V1, "checkpoints", re.compile(r"[0-9a-f]{16}"), is_folder=True),
    Pattern(LEGACY, "checkpoints", re.compile(r"legacy-[0-9]{8}-[0-9]{6}"), is_folder=True, own_time=True),
    Pattern(DELEGATION, "cache/delegation/live", _LIVE, is_folder=True),
    Pattern(DELEGATION, "delegation_cache/live", _LIVE, is_folder=True),
    Pattern("spawn_tree", "spawn-trees", _ANY, is_folder=True),
    Pattern("moa_trace", "moa-traces", TRANSCRIPT_NAME),
    Pattern("hook_output", "hook_outputs", _ANY, is_folder=True),
)
# Where all of it lies.
FOLDERS = tuple(dict.fromkeys(pattern.folder for pattern in PATTERNS))
# What is a session's, by its name or by what is in it.
OWNED = frozenset({SNAPSHOT, DUMP, TRANSCRIPT, "spawn_tree", "moa_trace", "hook_output"})
