"""What entries say of themselves to whoever lists sessions: names that people gave them, and tokens (pure).

Source: SessionEntry of 2026.5.7 to 2026.9.6. A file and a database hold the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..core.details import NOTHING, Details
from ..core.durations import moment
from .files.values import decoded

# Members in the order in which they are looked at.
_TITLES = ("title", "derivedTitle", "subject", "groupChannel")
_CHANNELS = ("channel", "lastChannel")
_CREATED = ("createdAt", "sessionStartedAt")
_MEMBERS = (
    "label", "displayName", *_TITLES, *_CHANNELS, "origin", "deliveryContext", "parentSessionKey", "spawnedBy",
    "inputTokens", "outputTokens", "totalTokens", "contextTokens", "modelProvider", *_CREATED,
)  # fmt: skip
# Of so many entries, decoding these members alone is worth the import of what can do that.
_MANY = 1000


def read(entries: Mapping[str, bytes | str]) -> dict[str, Details]:
    """Return by key what entries say, given as JSON; nothing of one that is no object."""
    found = _quick(entries) if len(entries) >= _MANY else None
    if found is None:
        found = map(_slowly, entries.values())
    return {
        key: _details(entry.get) if isinstance(entry, dict) else NOTHING
        for key, entry in zip(entries, found, strict=True)
    }


def _slowly(raw: bytes | str) -> Any:
    return decoded(raw if isinstance(raw, str) else raw.decode("utf-8"), 0)[0]


def _quick(entries: Mapping[str, bytes | str]) -> Iterable[Any] | None:
    """Return the members alone of all entries, None where one of them has to be looked at in the slower way."""
    import msgspec

    entry = msgspec.defstruct("Entry", [(name, Any, None) for name in _MEMBERS], gc=False)
    decoder = msgspec.json.Decoder(entry)
    try:
        return [msgspec.structs.asdict(decoder.decode(raw)) for raw in entries.values()]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _details(get: Callable[[str], Any]) -> Details:
    return Details(
        _text(get("label")),
        _text(get("displayName")),
        _first(map(get, _TITLES)),
        _first((*map(get, _CHANNELS), _member(get("origin"), "provider"), _member(get("deliveryContext"), "channel"))),
        _text(get("parentSessionKey")),
        _text(get("spawnedBy")),
        _count(get("inputTokens")),
        _count(get("outputTokens")),
        _count(get("totalTokens")),
        _count(get("contextTokens")),
        _text(get("modelProvider")),
        next((at for at in map(moment, map(get, _CREATED)) if at is not None), None),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _first(values: Iterable[Any]) -> str | None:
    return next(filter(None, map(_text, values)), None)


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
