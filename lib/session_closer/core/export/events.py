"""The events of a transcript, one JSON object a line: which are on the active branch, what they add up to (pure).

OpenClaw links events by `parentId`; the branch is the way from the last one back to the first. A `leaf` moves its end,
what has `appendMode` side hangs on it and is no part of it, and what has no `parentId` follows the event before it.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import msgspec

# The events that OpenClaw makes branches of.
LINKED = frozenset(
    {
        "message", "thinking_level_change", "model_change", "compaction", "branch_summary", "custom", "custom_message",
        "label", "session_info", "reset",
    }
)  # fmt: skip
KNOWN = LINKED | {"session", "leaf"}
_USAGE = ("input", "output", "cacheRead", "cacheWrite", "totalTokens")
# No event is called so; 0 stands for the beginning.
_NOBODY = -1
_MASK = (1 << 62) - 1


def event(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, None where the line holds none."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            # Half a surrogate pair is no error to OpenClaw.
            found = json.loads(line)
        except (ValueError, RecursionError):
            return None
    return found if isinstance(found, dict) else None


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    provider: Any = None
    model: Any = None
    usage: Any = None


class _Brief(msgspec.Struct, rename="camel", gc=False):
    """What a survey needs of an event: the rest of a line is passed over."""

    type: str = ""
    id: str | None = None
    parent_id: str | msgspec.UnsetType | None = msgspec.UNSET
    target_id: str | msgspec.UnsetType | None = msgspec.UNSET
    append_parent_id: str | msgspec.UnsetType | None = msgspec.UNSET
    append_mode: Any = None
    timestamp: Any = None
    message: _Message | None = None


_DECODER = msgspec.json.Decoder(_Brief)


def _brief(line: bytes) -> _Brief | None:
    try:
        return _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    found = event(line)
    if found is None:
        return None
    message = found.get("message")
    said = message if isinstance(message, dict) else {}
    return _Brief(
        _text(found.get("type")) or "",
        _text(found.get("id")),
        _link(found, "parentId"),
        _link(found, "targetId"),
        _link(found, "appendParentId"),
        found.get("appendMode"),
        found.get("timestamp"),
        _Message(said.get("role"), said.get("provider"), said.get("model"), said.get("usage")),
    )


def _link(found: dict[str, Any], name: str) -> str | msgspec.UnsetType | None:
    value = found.get(name)
    return value if name in found and (value is None or isinstance(value, str)) else msgspec.UNSET


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


@dataclass(slots=True)
class Totals:
    """What the events of a transcript add up to, all branches of it.

    `roles` counts messages, `kinds` all events by type, `usage` tokens; `cost` is in the currency of the provider's
    prices. `broken` lines hold no event. `last_id` is the id of the last event that has one.
    """

    events: int = 0
    broken: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    models: dict[str, None] = field(default_factory=dict)
    usage: Counter[str] = field(default_factory=Counter)
    cost: float = 0.0
    first: Any = None
    last: Any = None
    last_id: str | None = None


@dataclass(slots=True)
class Survey:
    """A transcript that was looked through once: its totals, and by line whether it is on the active branch.

    Memory: 17 bytes a line, nothing of what it says.
    """

    totals: Totals
    active: bytearray

    @property
    def aside(self) -> int:
        """How many events are on other branches."""
        return len(self.active) - sum(self.active)


class _Branch:
    """The links of the events so far, as numbers: an id is known by its hash."""

    def __init__(self) -> None:
        self.own, self.above = array("q"), array("q")
        self.leaf = self.append = 0
        self.moves = array("q")

    def add(self, found: _Brief | None) -> None:
        """Note a line, whatever it holds."""
        if found is not None and found.type == "leaf":
            self.moves.append(len(self.own))
        own, above = self._linked(found) if found is not None and found.id else (_NOBODY, _NOBODY)
        self.own.append(own)
        self.above.append(above)

    def _linked(self, found: _Brief) -> tuple[int, int]:
        own, canonical, side = _hash(found.id), found.type in LINKED, found.append_mode == "side"
        if found.type == "leaf":
            if found.parent_id is msgspec.UNSET or found.target_id is msgspec.UNSET:
                return _NOBODY, _NOBODY
            self.leaf = _hash(found.target_id)
            onward = found.append_parent_id
            self.append = self.leaf if onward is msgspec.UNSET else _hash(onward)
            return own, self.leaf
        if found.parent_id is msgspec.UNSET:
            if not canonical:
                return _NOBODY, _NOBODY
            above = self.leaf
        else:
            above = _hash(found.parent_id)
            # What is appended behind an event that is no part of the branch continues the branch.
            if canonical and not side and above == self.append and self.leaf != self.append:
                above = self.leaf
        self.append = own
        if not canonical:
            return _NOBODY, _NOBODY
        if not side:
            self.leaf = own
        return own, above

    def active(self) -> bytearray:
        """Return by line whether it is shown: on the branch, or no part of any."""
        shown = bytearray(1 if own == _NOBODY else 0 for own in self.own)
        wanted, first = self.leaf, len(self.own)
        for at in range(len(self.own) - 1, -1, -1):
            if self.own[at] == wanted:
                shown[at], wanted, first = 1, self.above[at], at
        if wanted != 0:
            # The event that came before is not there: what is there of the time before it is shown as it stands.
            shown[:first] = b"\1" * first
        # They say which branch is the active one, and are on none.
        for at in self.moves:
            shown[at] = 1
        return shown


def _hash(text: str | msgspec.UnsetType | None) -> int:
    return 0 if text is None or text is msgspec.UNSET else (hash(text) & _MASK) or 1


def survey(lines: Iterable[bytes]) -> Survey:
    """Look through a transcript once."""
    totals, branch = Totals(), _Branch()
    for line in lines:
        found = _brief(line)
        branch.add(found)
        if found is None:
            totals.broken += 1
            continue
        _count(totals, found)
    return Survey(totals, branch.active())


def _count(totals: Totals, found: _Brief) -> None:
    totals.events += 1
    totals.kinds[found.type] += 1
    totals.last_id = found.id or totals.last_id
    if found.timestamp is not None:
        totals.first = found.timestamp if totals.first is None else totals.first
        totals.last = found.timestamp
    if found.type != "message" or found.message is None:
        return
    said = found.message
    totals.roles[said.role if isinstance(said.role, str) else "unknown"] += 1
    if isinstance(said.model, str):
        totals.models[f"{said.provider}/{said.model}" if isinstance(said.provider, str) else said.model] = None
    if isinstance(said.usage, dict):
        _add_usage(totals, said.usage)


def _add_usage(totals: Totals, usage: dict[str, Any]) -> None:
    for name in _USAGE:
        count = usage.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1 << 53:
            totals.usage[name] += count
    cost = usage.get("cost")
    total = cost.get("total") if isinstance(cost, dict) else cost
    if isinstance(total, (int, float)) and not isinstance(total, bool) and isfinite(total) and total > 0:
        totals.cost += total
