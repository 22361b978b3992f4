"""Read a large sessions.json in a third of the time: msgspec decodes it, a walk shows where each entry stands (pure).

Whatever does not fit is left to the slower way, which alone says what is an error: what msgspec lets pass (one key
twice) does not survive the walk, and a lone surrogate, 1e400 in a field or a key with an escape is not taken up here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from itertools import repeat
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from .members import Document, Member

Row = TypeVar("Row")
_HEAD = rb'[ \t\n\r]*"([^"\\]*)"[ \t\n\r]*:[ \t\n\r]*'
_FIRST = re.compile(_HEAD)
_NEXT = re.compile(rb"[ \t\n\r]*," + _HEAD)
_BLANK = re.compile(rb"[ \t\n\r]*")
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])


def scan(raw: bytes, pick: Callable[[str, Any], Row], fields: tuple[str, ...]) -> Document[Row] | None:
    """Return what `document.scan` returns of these bytes, which are UTF-8, or None where it has to look itself."""
    assert len(fields) != 1  # of one field attrgetter gives the value, not a tuple
    try:
        values = _VALUES.decode(raw)
        rows: Iterable[Any] = map(attrgetter(*fields), _rows(fields).decode(raw).values()) if fields else repeat(())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    inside = at = raw.find(b"{") + 1
    head = _FIRST.match
    members: dict[str, Member[Row]] = {}
    for (key, value), row in zip(values.items(), rows):  # noqa: B905
        # Where each key in turn stands where it is looked for, none stands there twice, and each value is its own.
        found = head(raw, at)
        if found is None or found[1] != key.encode():
            return None
        begin = found.end()
        at = begin + len(memoryview(value))
        members[key] = Member(found.start(1) - 1, begin, at, pick(key, row))
        head = _NEXT.match
    close = _behind_blanks(raw, at)
    if not raw.startswith(b"}", close) or _behind_blanks(raw, close + 1) != len(raw):
        return None
    return Document(raw, inside, close, members)


def _behind_blanks(raw: bytes, at: int) -> int:
    found = _BLANK.match(raw, at)
    assert found is not None  # the pattern matches the empty string
    return found.end()


@cache
def _rows(fields: tuple[str, ...]) -> msgspec.json.Decoder[dict[str, Any]]:
    """Return what decodes of each entry these members, None for those that are absent."""
    row = msgspec.defstruct("Row", [(name, Any, None) for name in fields], gc=False)
    return msgspec.json.Decoder(dict[str, row])  # type: ignore[valid-type]
