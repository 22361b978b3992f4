"""The text of sessions.json: read entry by entry, edited without a change to the rest, merged three ways (pure).

The text is never serialised again, and what is not cut keeps its bytes: Python would write a number such as 1e400 as
Infinity, which the gateway cannot read.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ...core import late
from ...core.errors import CorruptStore
from ...core.tuples import NamedTuple
from .members import Document, Member, Row
from .values import COLON, NUL, Values, decoded

MAX_BYTES = 512 * 1024 * 1024
TOO_DEEP = "is nested deeper than it can be checked"
_CHUNK = 1 << 20
# From here on a list makes sessions only of the rows that it shows.
LARGE = 8 << 20
# From here on a scan with msgspec is worth its import.
QUICK = 128 << 10
_BLANK = late.pattern(rb"[ \t\n\r]*")
# What stands between two members where a store shows none.
_GAP = b",\n  "
_COMMA = late.pattern(rb"[ \t\n\r]*,[ \t\n\r]*")


def nothing(key: str, values: Any) -> None:
    """Keep nothing of an entry but its span."""


def scan(raw: bytes, pick: Callable[[str, Any], Row], fields: tuple[str, ...] = ()) -> Document[Row]:
    """Return the members of a store's bytes with what `pick(key, values)` keeps of each; raise CorruptStore.

    `values` are those of the entry's `fields`, None for one that is absent; None where the entry is no object.
    """
    ascii_only = check_text(raw)
    if len(raw) >= QUICK:
        from . import quickscan  # its import takes longer than a small store

        if (found := quickscan.scan(raw, pick, fields)) is not None:
            return found

    def chosen(key: str, entry: Any) -> Row:
        return pick(key, tuple(map(entry.get, fields)) if isinstance(entry, dict) else None)

    try:
        return _scan(raw, chosen, ascii_only=ascii_only)
    except RecursionError:
        raise CorruptStore(TOO_DEEP) from None


def check_text(raw: bytes) -> bool:
    """Raise CorruptStore for bytes that are too many, or no UTF-8; tell whether all of them are ASCII."""
    if len(raw) > MAX_BYTES:
        raise CorruptStore(f"is larger than {MAX_BYTES >> 20} MiB, more than OpenClaw can read")
    if raw.isascii():
        return True
    if raw.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CorruptStore("starts with a byte order mark")
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(raw)
    try:
        for at in range(0, len(raw), _CHUNK):
            decoder.decode(view[at : at + _CHUNK])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise CorruptStore("is not valid UTF-8") from None
    return False


def _scan(raw: bytes, pick: Callable[[str, Any], Row], *, ascii_only: bool) -> Document[Row]:
    blank, colon, comma, value_at = _BLANK.match, COLON.match, _COMMA.match, Values(raw).at
    inside = _inside(raw)
    members: dict[str, Member[Row]] = {}
    at = _end(blank(raw, inside))
    more = not raw.startswith(b"}", at)
    while more:
        if not raw.startswith(b'"', at):
            raise _other_than(raw, at, "a key")
        start = at
        key, at = value_at(at)
        if not ascii_only and not raw[start:at].isascii():
            key = json.loads(raw[start:at])
        found = colon(raw, at)
        if found is None:
            raise _other_than(raw, _end(blank(raw, at)), "a colon")
        value = found.end()
        entry, at = value_at(value)
        if not ascii_only and not raw[value:at].isascii():
            entry = decoded(raw[value:at].decode("utf-8"), 0)[0]
        if key in members:
            raise CorruptStore(f"holds the key {json.dumps(key)} twice")
        members[key] = Member(start, value, at, pick(key, entry))
        found = comma(raw, at)
        more = found is not None
        at = found.end() if found is not None else at
    return Document(raw, inside, _closed(raw, at), members)


def _inside(raw: bytes) -> int:
    """Return what is behind the opening brace."""
    at = _end(_BLANK.match(raw, 0))
    if at == len(raw):
        raise CorruptStore("is empty" if not raw else "holds only blanks")
    if raw.startswith(b"\0", at):
        raise CorruptStore(NUL)
    if not raw.startswith(b"{", at):
        raise CorruptStore("is not a JSON object")
    return at + 1


def _closed(raw: bytes, at: int) -> int:
    """Return where the closing brace is, with nothing but blanks before and behind it."""
    close = _end(_BLANK.match(raw, at))
    if not raw.startswith(b"}", close):
        raise _other_than(raw, close, "a comma or }")
    rest = _end(_BLANK.match(raw, close + 1))
    if rest != len(raw):
        raise CorruptStore(NUL if raw[rest] == 0 else f"goes on after its object, at byte {rest}")
    return close


def _other_than(raw: bytes, at: int, expected: str) -> CorruptStore:
    """Return what is wrong with a text that has something else at a byte than was expected there."""
    if at >= len(raw):
        return CorruptStore("is cut off")
    return CorruptStore(NUL if raw[at] == 0 else f"is not valid JSON at byte {at}: {expected} was expected")


def _end(found: re.Match[bytes] | None) -> int:
    assert found is not None  # the pattern matches the empty string
    return found.end()


def edit(
    document: Document[Any],
    *,
    remove: Collection[str] = (),
    replace: Mapping[str, bytes] | None = None,
    append: Collection[bytes] = (),
) -> bytes:
    """Return the document's bytes with members cut, values replaced and whole members added; the rest as it was."""
    members = list(document.members.values())
    edits, kept = _edits(document, remove, replace or {})
    if kept is None and not append:
        return _shell(document)
    if not members:
        return _applied(document.raw, [_Edit(document.inside, document.close, b"\n  " + _GAP.join(append) + b"\n")])
    gap = document.raw[members[0].end : members[1].start] if len(members) > 1 else _GAP
    added = gap.join(append)
    if kept is None:
        edits.append(_Edit(members[0].start, members[-1].end, added))
    else:
        edits.append(_Edit(kept.end, members[-1].end, gap + added if append else b""))
    return _applied(document.raw, edits)


def with_members(value: str, members: Mapping[str, Any]) -> str:
    """Return an entry as JSON with these members set, the others as they stand there; raise CorruptStore for no object.

    What Python makes of a value is not always what stands there: 1e400 is no number to it, and an integer may be too
    long.
    """
    found = scan(value.encode("utf-8"), lambda key, _: key, ())
    texts = {name: json.dumps(one).encode() for name, one in members.items()}
    new = [json.dumps(name).encode() + b": " + text for name, text in texts.items() if name not in found.members]
    return edit(found, replace=texts, append=new).decode("utf-8")


class _Edit(NamedTuple):
    """What stands instead of the bytes from `start` to `end`."""

    start: int
    end: int
    instead: bytes


def _edits(
    document: Document[Row], remove: Collection[str], replaced: Mapping[str, bytes]
) -> tuple[list[_Edit], Member[Row] | None]:
    """Return the edits up to the last member that stays, and that member: what is behind it is not cut yet."""
    edits = []
    kept = None
    cut: int | None = None
    for key, member in document.members.items():
        if key in remove:
            cut = member.start if cut is None else cut
            continue
        if cut is not None:
            edits.append(_Edit(cut, member.start, b""))
            cut = None
        if key in replaced:
            edits.append(_Edit(member.value, member.end, replaced[key]))
        kept = member
    return edits, kept


def _applied(raw: bytes, edits: Iterable[_Edit]) -> bytes:
    """Return the bytes with these edits made, which are in order."""
    view, at = memoryview(raw), 0
    pieces: list[bytes | memoryview] = []
    for edit in edits:
        pieces += (view[at : edit.start], edit.instead)
        at = edit.end
    return b"".join([*pieces, view[at:]])


def without(document: Document[Row], remove: Collection[str]) -> Document[Row]:
    """Return the document without these members, its bytes walked again: the others one by one, as they were.

    Nothing is decoded a second time, since the bytes of each value have been.
    """
    raw, before = edit(document, remove=remove), memoryview(document.raw)
    kept = [(key, member) for key, member in document.members.items() if key not in remove]
    members: dict[str, Member[Row]] = {}
    at = document.inside
    ahead = _BLANK
    for key, member in kept:
        gap = ahead.match(raw, at)
        ahead = _COMMA
        if gap is None or not raw.startswith(before[member.start : member.end], gap.end()):
            break
        shift = gap.end() - member.start
        at = member.end + shift
        members[key] = Member(gap.end(), member.value + shift, at, member.row)
    close = _end(_BLANK.match(raw, at))
    if len(members) != len(kept) or raw[: document.inside] + raw[close:] != _shell(document):
        raise AssertionError("what is left of the store is not what stays of it")
    return Document(raw, document.inside, close, members)


def _shell(document: Document[Any]) -> bytes:
    """Return what stands around the members: up to the opening brace and from the closing one on."""
    return document.raw[: document.inside] + document.raw[document.close :]


def same_value(one: bytes | None, other: bytes | None) -> bool:
    """Tell whether two values are equal: as bytes, or as JSON (a gateway writes its own layout)."""
    if one == other:
        return True
    if one is None or other is None:
        return False
    try:
        # By text, since Python takes 1, 1.0 and true for equal.
        return json.dumps(_parsed(one), sort_keys=True) == json.dumps(_parsed(other), sort_keys=True)
    except RecursionError:
        # What cannot be read in whole may have been changed.
        return False


def _parsed(value: bytes) -> Any:
    return decoded(value.decode("utf-8"), 0)[0]


class Merged(NamedTuple):
    """The bytes of a three-way merge and the keys that both sides changed, where theirs was taken."""

    raw: bytes
    contested: tuple[str, ...]


def merge(base: Document[Any], ours: Document[Any], theirs: Document[Any], *, deletions: bool = True) -> Merged:
    """Return theirs with what we changed since base; where both changed the same key, theirs stays.

    Without `deletions` nothing is taken out of theirs.
    """
    remove: set[str] = set()
    replace: dict[str, bytes] = {}
    append: list[bytes] = []
    contested: list[str] = []
    for key in dict.fromkeys([*base.members, *ours.members]):
        was, our, their = base.value_bytes(key), ours.value_bytes(key), theirs.value_bytes(key)
        if same_value(our, was):
            continue
        if not same_value(their, was):
            if not same_value(their, our):
                contested.append(key)
            continue
        if our is None:
            remove.update({key} if deletions else ())
        elif their is None:
            append.append(ours.member_bytes(key))
        else:
            replace[key] = our
    return Merged(edit(theirs, remove=remove, replace=replace, append=append), tuple(contested))
