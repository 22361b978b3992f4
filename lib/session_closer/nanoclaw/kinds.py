"""The kinds of file that NanoClaw leaves, of version 1 and 2: where each lies, from which age on it goes (pure)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..artifacts.scan import Pattern
from ..core.artifacts import KindRule
from ..core.durations import SECONDS

DAY = SECONDS["d"]
TRANSCRIPT, RESULTS, ROTATED, LOG = "transcript", "tool_results", "rotated", "group_log"
SESSION, GROUP = "session_dir", "group_dir"
SESSIONS = "data/v2-sessions"
CLAUDES = frozenset({TRANSCRIPT, RESULTS, ROTATED, "debug", "todo", "telemetry"})
INERT = "a session folder that is back is not used before its row is active again: NanoClaw does that, not we"
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_ID = f"(?P<id>{_UUID})"
_IDS = re.compile(f"(?<![0-9A-Za-z]){_UUID}(?![0-9A-Za-z])")
_NAME = re.compile(r"(?P<id>[^.].*)", re.DOTALL)


class Layout(NamedTuple):
    """One version: its central database, below the root, its kinds, and where they lie."""

    database: str
    rules: tuple[KindRule, ...]
    patterns: tuple[Pattern, ...]


def _of_claude(folder: str, projects: str) -> tuple[Pattern, ...]:
    """Return what Claude Code leaves in the folder of a group."""
    return (
        Pattern(TRANSCRIPT, f"{folder}/projects/{projects}", re.compile(rf"{_ID}\.jsonl")),
        Pattern(RESULTS, f"{folder}/projects/{projects}", re.compile(_ID), is_folder=True),
        Pattern("debug", f"{folder}/debug", re.compile(rf"{_ID}\.txt")),
        Pattern("todo", f"{folder}/todos", re.compile(rf"{_ID}-agent-{_UUID}\.json")),
        Pattern("telemetry", f"{folder}/telemetry", re.compile(rf"1p_failed_events\.{_ID}\.{_UUID}\.json")),
    )


def _rules(**days: int) -> tuple[KindRule, ...]:
    family, note = {RESULTS: TRANSCRIPT}, {SESSION: INERT}
    return tuple(
        KindRule(kind, age * DAY, family=family.get(kind, ""), note=note.get(kind, "")) for kind, age in days.items()
    )


V1 = Layout(
    "store/messages.db",
    _rules(transcript=7, tool_results=7, debug=3, todo=3, telemetry=7, group_log=7),
    (
        *_of_claude("data/sessions/*/.claude", "-workspace-group"),
        Pattern(LOG, "groups/*/logs", re.compile(r"[^.].*\.log", re.DOTALL)),
    ),
)
V2 = Layout(
    "data/v2.db",
    _rules(session_dir=30, transcript=30, tool_results=30, rotated=14, debug=7, todo=7, telemetry=7, group_dir=30),
    (
        Pattern(SESSION, f"{SESSIONS}/*", _NAME, is_folder=True),
        *_of_claude(f"{SESSIONS}/*/.claude-shared", "-workspace-agent"),
        Pattern(
            ROTATED,
            f"{SESSIONS}/*/.claude-shared/projects/-workspace-agent",
            re.compile(rf"{_ID}\.jsonl\.rotated-[0-9]+"),
        ),
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


def ids(text: str) -> frozenset[str]:
    """Return the session ids of Claude Code in a text, in lower case, each of them whole."""
    return frozenset(found.lower() for found in _IDS.findall(text))
