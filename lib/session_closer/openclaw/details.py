"""What entries say of themselves to whoever lists sessions: names that people gave them, and tokens (pure).

Source: SessionEntry of 2026.5.7 to 2026.9.6. A file and a database hold the same text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from ..core.details import Details
from ..core.durations import moment
from .files.values import decoded

# Gives a member of an entry, None where it is not there.
Get = Callable[[str], Any]

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


def read(entries: Iterable[tuple[str, bytes | str]], count: int) -> dict[str, Details]:
    """Return by key what about `count` entries say, given as JSON.

    Nothing of one that is no object, or nested deeper than Python reads.
    """
    quick = _quick() if count >= _MANY else _slowly
    return {key: _details(quick(raw)) for key, raw in entries}


def _slowly(raw: bytes | str) -> Get:
    try:
        entry = decoded(raw if isinstance(raw, str) else raw.decode("utf-8"), 0)[0]
    except RecursionError:
        return _nothing
    return entry.get if isinstance(entry, dict) else _nothing


def _nothing(_: str) -> None:
    return None


def _quick() -> Callable[[bytes | str], Get]:
    """Return what decodes these members alone; what it cannot take up goes the slower way."""
    import msgspec

    entry = msgspec.defstruct("Entry", [(name, Any, None) for name in _MEMBERS], gc=False)
    decoder = msgspec.json.Decoder(entry)

    def get(raw: bytes | str) -> Get:
        try:
            return partial(getattr, decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _slowly(raw)

    return get


def _details(get: Get) -> Details:
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
