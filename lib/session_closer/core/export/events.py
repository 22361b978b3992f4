"""The events of a transcript, one JSON object a line: which are on the active branch, what they add up to (pure).

OpenClaw links events by `parentId`; the branch is the way from the last one back to the first. A `leaf` moves its end,
what has `appendMode` side hangs on it and is no part of it, and what has no `parentId` follows the event before it.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from ..durations import finite

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
# So many lines are looked at together.
_TOGETHER = 256


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


_BRIEF = msgspec.json.Decoder(_Brief).decode
_KIND, _OWN, _MODE = attrgetter("type"), attrgetter("id"), attrgetter("append_mode")


def _brief(line: bytes) -> _Brief | None:
    """Return what a survey needs of a line, None where it holds no event: anything may be anything."""
    try:
        return _BRIEF(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
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

    def count(self, found: Sequence[_Brief]) -> None:
        """Add more events."""
        self.events += len(found)
        self.kinds.update(map(_KIND, found))
        if ids := list(filter(None, map(_OWN, found))):
            self.last_id = ids[-1]
        if times := [one.timestamp for one in found if one.timestamp is not None]:
            self.first, self.last = times[0] if self.first is None else self.first, times[-1]
        said = [one.message for one in found if one.message is not None and one.type == "message"]
        self.roles.update([one.role if isinstance(one.role, str) else "unknown" for one in said])
        for one in said:
            if isinstance(one.model, str):
                self.models[f"{one.provider}/{one.model}" if isinstance(one.provider, str) else one.model] = None
            if isinstance(one.usage, dict):
                self._spent(one.usage)

    def _spent(self, usage: dict[str, Any]) -> None:
        for name in _USAGE:
            count = usage.get(name)
            if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 1 << 53:
                self.usage[name] += count
        cost = usage.get("cost")
        total = finite(cost.get("total") if isinstance(cost, dict) else cost)
        if total is not None and total > 0:
            self.cost += total


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
    """The links of the events so far, as numbers: an id is known by its hash, which is never that of nobody."""

    __slots__ = ("above", "append", "leaf", "moves", "own")

    def __init__(self) -> None:
        self.own, self.above = array("q"), array("q")
        self.leaf = self.append = 0
        self.moves = array("q")

    def add(self, found: _Brief | None) -> None:
        """Note a line, whatever it holds."""
        own = above = _NOBODY
        if found is None:
            pass
        elif found.type == "leaf":
            self.moves.append(len(self.own))
            own, above = self._moved(found)
        elif found.id:
            is_linked, is_side, parent = found.type in LINKED, found.append_mode == "side", found.parent_id
            if parent is not msgspec.UNSET:
                above = 0 if parent is None else hash(parent) or 1
                # What is appended behind an event that is no part of the branch continues the branch.
                if above == self.append != self.leaf and is_linked and not is_side:
                    above = self.leaf
                self.append = hash(found.id) or 1
            elif is_linked:
                above = self.leaf
                self.append = hash(found.id) or 1
            if is_linked:
                own = self.append
                if not is_side:
                    self.leaf = own
        self.own.append(own)
        self.above.append(above)

    def goes_on(self, found: Sequence[_Brief]) -> bool:
        """Note events that each follow the one before, so that none begins a branch; False, and none noted, else."""
        ids = list(map(_OWN, found))
        above = [one.parent_id for one in found]
        if above[1:] != ids[:-1] or not LINKED.issuperset(map(_KIND, found)) or not all(ids):
            return False
        if _hash(above[0]) != self.leaf or self.leaf != self.append or any(map(_MODE, found)):
            return False
        own = [hash(each) or 1 for each in ids]
        self.above.append(self.leaf)
        self.above.extend(own[:-1])
        self.own.extend(own)
        self.leaf = self.append = own[-1]
        return True

    def _moved(self, found: _Brief) -> tuple[int, int]:
        if not found.id or found.parent_id is msgspec.UNSET or found.target_id is msgspec.UNSET:
            return _NOBODY, _NOBODY
        self.leaf = _hash(found.target_id)
        onward = found.append_parent_id
        self.append = self.leaf if onward is msgspec.UNSET else _hash(onward)
        return _hash(found.id), self.leaf

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
    return 0 if text is None or text is msgspec.UNSET else hash(text) or 1


def survey(lines: Iterable[bytes]) -> Survey:
    """Look through a transcript once."""
    totals, branch, left = Totals(), _Branch(), iter(lines)
    while some := list(islice(left, _TOGETHER)):
        found = _briefs(some)
        there = [one for one in found if one is not None]
        totals.broken += len(found) - len(there)
        totals.count(there)
        if len(there) < len(found) or not branch.goes_on(there):
            for one in found:
                branch.add(one)
    return Survey(totals, branch.active())


def _briefs(lines: Sequence[bytes]) -> list[_Brief | None]:
    try:
        return list(map(_BRIEF, lines))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return list(map(_brief, lines))
