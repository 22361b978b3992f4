"""Read a large sessions.json in a third of the time: msgspec decodes it, a walk shows where each entry stands (pure).

Whatever does not fit is left to the slower way, which alone says what is an error: one key twice is noticed here, and a
lone surrogate, 1e400 in a field or, where the walk is needed, a key with an escape is not taken up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from ...core import late
from .members import Document, Member
from .values import decoded

Row = TypeVar("Row")
_HEAD = rb'[ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*'
_FIRST = late.pattern(_HEAD)
_NEXT = late.pattern(rb"[ \t\n\r]*," + _HEAD)
_BLANK = late.pattern(rb"[ \t\n\r]*")


class _Key(str):
    """A key of the text: no two are equal, so that of what stands there twice both are found."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


_FAILS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_VALUES = msgspec.json.Decoder(dict[_Key, msgspec.Raw], dec_hook=str.__new__)


def entries(raw: bytes) -> dict[str, msgspec.Raw] | None:
    """Return the value of each member as it stands in these bytes, which are UTF-8, or None as `scan` does."""
    found = _members(raw)
    if found is None:
        return None
    values = dict(zip(map(str, found), found.values(), strict=True))
    return values if len(values) == len(found) else None


def _members(raw: bytes) -> dict[_Key, msgspec.Raw] | None:
    """Return all members as they stand there, also those of one key, None for what is no such text."""
    try:
        return _VALUES.decode(raw)
    except _FAILS:
        return None


def column(values: Iterable[msgspec.Raw], field: str) -> list[Any] | None:
    """Return one member of each entry, None for one that is absent; None instead where one cannot be told here."""
    try:
        return list(map(attrgetter(field), map(_entry((field,)).decode, values)))
    except _FAILS:
        return None


def picked(value: msgspec.Raw, fields: tuple[str, ...]) -> tuple[Any, ...]:
    """Return these members of one entry that is an object, whatever is in it."""
    try:
        found: tuple[Any, ...] = attrgetter(*fields)(_entry(fields).decode(value))
    except _FAILS:
        entry = decoded(bytes(value).decode(), 0)[0]
        found = tuple(map(entry.get, fields))
    return found


def scan(raw: bytes, pick: Callable[[str, Any], Row], fields: tuple[str, ...]) -> Document[Row] | None:
    """Return what `document.scan` returns of these bytes, which are UTF-8, or None where it has to look itself."""
    assert len(fields) != 1  # of one field attrgetter gives the value, not a tuple
    found = _members(raw)
    if found is None:
        return None
    try:
        rows: Iterable[Any] = map(attrgetter(*fields), _rows(fields).decode(raw).values()) if fields else repeat(())
    except _FAILS:
        return None
    inside = at = raw.find(b"{") + 1
    head = _FIRST.match
    members: dict[str, Member[Row]] = {}
    for (own, value), row in zip(found.items(), rows):  # noqa: B905
        # These are all that stand there, so each key in turn is what is behind the value of the one before.
        at_key = head(raw, at)
        if at_key is None:
            return None
        key, begin = str(own), at_key.end()
        at = begin + len(memoryview(value))
        members[key] = Member(at_key.start(1) - 1, begin, at, pick(key, row))
        head = _NEXT.match
    close = _behind_blanks(raw, at)
    whole = raw.startswith(b"}", close) and _behind_blanks(raw, close + 1) == len(raw)
    if not whole or len(members) != len(found):
        return None
    return Document(raw, inside, close, members)


def _behind_blanks(raw: bytes, at: int) -> int:
    found = _BLANK.match(raw, at)
    assert found is not None  # the pattern matches the empty string
    return found.end()


@cache
def _entry(fields: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
    """Return what decodes of an entry these members, None for those that are absent."""
    return msgspec.json.Decoder(_row(fields))


@cache
def _rows(fields: tuple[str, ...]) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return what decodes them of each entry."""
    return msgspec.json.Decoder(dict[str, _row(fields)])  # type: ignore[misc]


def _row(fields: tuple[str, ...]) -> type[msgspec.Struct]:
    return msgspec.defstruct("Row", [(name, Any, None) for name in fields], gc=False)
