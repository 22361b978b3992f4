"""The kinds of file that NanoClaw leaves, of version 1 and 2: where each lies, from which age on it goes (pure)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from ..core import claude_folder, late
from ..core.artifacts import KindRule
from ..core.claude_folder import DEBUG, ID, RESULTS, TASKS, TELEMETRY, TRANSCRIPT
from ..core.durations import SECONDS
from ..core.patterns import Pattern
from ..core.tuples import NamedTuple

ROTATED, LOG, SESSION, GROUP = "rotated", "group_log", "session_dir", "group_dir"
SESSIONS = "data/v2-sessions"
CLAUDES = claude_folder.KINDS | {ROTATED}
INERT = "a session folder that is back is not used before its row is active again: NanoClaw does that, not we"
_SHARED, _PROJECT = f"{SESSIONS}/*/.claude-shared", "-workspace-agent"
_NAME = late.pattern(r"(?P<id>[^.].*)", re.DOTALL)


class Layout(NamedTuple):
    """One version: its central database, below the root, its kinds, and where they lie."""

    database: str
    rules: tuple[KindRule, ...]
    patterns: tuple[Pattern, ...]


def _rules(days: dict[str, int]) -> tuple[KindRule, ...]:
    family, note = {RESULTS: TRANSCRIPT}, {SESSION: INERT}
    return tuple(
        KindRule(kind, age * SECONDS["d"], family=family.get(kind, ""), note=note.get(kind, ""))
        for kind, age in days.items()
    )


V1 = Layout(
    "store/messages.db",
    _rules({TRANSCRIPT: 7, RESULTS: 7, DEBUG: 3, TASKS: 3, TELEMETRY: 7, LOG: 7}),
    (
        *claude_folder.patterns("data/sessions/*/.claude", "-workspace-group"),
        Pattern(LOG, "groups/*/logs", re.compile(r"[^.].*\.log", re.DOTALL)),
    ),
)
V2 = Layout(
    "data/v2.db",
    _rules({SESSION: 30, TRANSCRIPT: 30, RESULTS: 30, ROTATED: 14, DEBUG: 7, TASKS: 7, TELEMETRY: 7, GROUP: 30}),
    (
        Pattern(SESSION, f"{SESSIONS}/*", _NAME, is_folder=True),
        *claude_folder.patterns(_SHARED, _PROJECT),
        Pattern(ROTATED, f"{_SHARED}/projects/{_PROJECT}", re.compile(rf"{ID}\.jsonl\.rotated-[0-9]+")),
        Pattern(GROUP, SESSIONS, _NAME, is_folder=True),
    ),
)


def layout_of(root: str) -> Layout:
    """Return the version whose central database is there: the second, also beside what the first has left."""
    return V2 if os.path.lexists(os.path.join(root, V2.database)) else V1


def group_of(path: str) -> str:
    """Return the group in whose folder something lies, by its path below the root."""
    return path.split("/")[2]


def but_for(groups: Iterable[str]) -> re.Pattern[str]:
    """Return the names of folders that are of none of these groups."""
    return re.compile(rf"(?P<id>(?!(?:{'|'.join(map(re.escape, groups))})\Z)[^.].*)", re.DOTALL)
