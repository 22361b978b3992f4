"""What Claude Code leaves of a session in its folder: where, under which id, and what belongs together (pure)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from . import late
from .patterns import Pattern

if TYPE_CHECKING:
    from .artifacts import Artifact

TRANSCRIPT, RESULTS, DEBUG, TASKS, TELEMETRY = "transcript", "tool_results", "debug", "todo", "telemetry"
KINDS = frozenset({TRANSCRIPT, RESULTS, DEBUG, TASKS, TELEMETRY})
_PAIR = frozenset({TRANSCRIPT, RESULTS})
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ID = f"(?P<id>{_UUID})"
_IDS = late.pattern(f"(?<![0-9A-Za-z]){_UUID}(?![0-9A-Za-z])")


def patterns(folder: str, project: str) -> tuple[Pattern, ...]:
    """Return its kinds by where they lie in a folder that it calls ~/.claude, for one of its projects."""
    return (
        Pattern(TRANSCRIPT, f"{folder}/projects/{project}", re.compile(rf"{ID}\.jsonl")),
        Pattern(RESULTS, f"{folder}/projects/{project}", re.compile(ID), is_folder=True),
        Pattern(DEBUG, f"{folder}/debug", re.compile(rf"{ID}\.txt")),
        Pattern(TASKS, f"{folder}/todos", re.compile(rf"{ID}-agent-{_UUID}\.json")),
        Pattern(TELEMETRY, f"{folder}/telemetry", re.compile(rf"1p_failed_events\.{ID}\.{_UUID}\.json")),
    )


def ids(text: str) -> frozenset[str]:
    """Return the session ids in a text, in lower case, each of them whole."""
    return frozenset(found.lower() for found in _IDS.findall(text))


def with_pairs(kinds: Collection[str]) -> frozenset[str]:
    """Return kinds with what has to be looked at as well, as one of a pair says how old the other is."""
    return frozenset(kinds) | (_PAIR if _PAIR.intersection(kinds) else frozenset())


def aged_in_pairs(found: Iterable[Artifact]) -> list[Artifact]:
    """Return what was found, a transcript and the folder of its tool results each as old as the younger of the two."""
    every, newest = list(found), defaultdict[str, float](float)
    for one in every:
        newest[_stem(one)] = max(one.at, newest[_stem(one)])
    return [one._replace(at=newest[_stem(one)]) for one in every]


def _stem(one: Artifact) -> str:
    """Return what the two of a pair have in common; of all else its path."""
    return one.path.removesuffix(".jsonl") if one.kind in _PAIR else one.path
