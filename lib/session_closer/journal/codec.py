"""A record as JSON, to and from: the one text for journal and receipt, checked like hostile input both ways (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from ..core import keys
from . import format_1
from .checks import check_head, check_store
from .record import END, FORMAT, STORES, Damaged, Head, RunRecord, SessionRecord, StoreRecord

_SHOWN = 200
_LARGE = 1 << 18
# So many sessions are encoded at once.
_MANY = 250
_NO_SESSIONS = b'"sessions":[]'
_STORE, _SESSIONS = msgspec.json.Decoder(StoreRecord), msgspec.json.Decoder(tuple[SessionRecord, ...])
Part = TypeVar("Part")
_NOT_ONE = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


class _Written(Head, frozen=True, kw_only=True):
    """A record as it is read: what it says of each store is decoded when that store's turn comes."""

    format: Literal["session-closer/2"]
    stores: tuple[msgspec.Raw, ...]


def encode(record: RunRecord) -> bytes:
    """Return the record as JSON, one line."""
    return b"".join(pieces(record))


def pieces(record: RunRecord, stores: Iterable[StoreRecord] | None = None) -> Iterator[bytes]:
    """Give the text of a record, a large one piece by piece: all of it at once would be a tenth of all memory.

    `stores`: what stands in it in place of the record's own stores, made when their turn comes.
    """
    held = _text(record.but(stores=())).removesuffix(STORES + END.rstrip()) + STORES
    for number, store in enumerate(record.stores if stores is None else stores):
        held += b"," if number else b""
        for text in store_pieces(store):
            if len(held) + len(text) < _LARGE:
                held += text
            else:
                yield held
                held = text
    yield held + END


def store_pieces(store: StoreRecord) -> Iterator[bytes]:
    """Give the text of the part of a record that one store is, likewise."""
    if len(store.sessions) <= _MANY:
        yield _text(store)
        return
    # A quote within a string is written escaped, so these bytes are the member itself.
    ahead, _, behind = _text(store.but(sessions=())).partition(_NO_SESSIONS)
    yield ahead + _NO_SESSIONS[:-1]
    for at in range(0, len(store.sessions), _MANY):
        yield (b"," if at else b"") + _text(store.sessions[at : at + _MANY])[1:-1]
    yield b"]" + behind


def _text(part: Head | StoreRecord | SessionRecord | tuple[SessionRecord, ...]) -> bytes:
    try:
        return msgspec.json.encode(part)
    except UnicodeEncodeError:
        # Half a surrogate pair, in a key or in a name, which JSON can only hold escaped.
        return json.dumps(msgspec.to_builtins(part), separators=(",", ":")).encode()


def decode(raw: bytes) -> RunRecord:
    """Return a record read from disk, checked like hostile input; raise Damaged."""
    head, parts = _opened(raw)
    return head.but(stores=tuple(map(decode_store, parts)))


def scan(raw: bytes) -> tuple[RunRecord, Iterator[StoreRecord]]:
    """Return a record without its stores, and these one at a time: all of them together may be large; raise Damaged.

    Whatever is wrong with one of them is found before the first is given.
    """
    head, parts = _opened(raw)
    for part in parts:
        decode_store(part)
    return head, map(_store, parts)


def decode_store(raw: bytes | msgspec.Raw) -> StoreRecord:
    """Return the part of a record that one store is, checked like hostile input; raise Damaged."""
    try:
        store = _store(raw)
        check_store(store)
    except Damaged:
        raise
    except _NOT_ONE as problem:
        raise _damaged(problem) from None
    return store


def read_back(raw: bytes) -> StoreRecord:
    """Return the part of a record that this run has written itself, and held since; raise Damaged."""
    try:
        return _store(raw)
    except _NOT_ONE as problem:
        raise _damaged(problem) from None


def check(record: RunRecord) -> int:
    """Raise Damaged for a record that could not be read again, or never have been made; return its stores' bytes."""
    try:
        decode(encode(record.but(stores=())))
        return sum(map(_checked, record.stores))
    except Damaged:
        raise
    except _NOT_ONE as problem:
        raise _damaged(problem) from None


def _checked(store: StoreRecord) -> int:
    """Return the bytes of a store's text, some of its sessions at a time: they are the larger part; raise Damaged."""
    bare = _text(store.but(sessions=()))
    size = len(bare)

    def read() -> Iterator[tuple[SessionRecord, ...]]:
        nonlocal size
        for at in range(0, len(store.sessions), _MANY):
            text = _text(store.sessions[at : at + _MANY])
            size += len(text)
            yield _read_as(text, _SESSIONS)

    check_store(_read_as(bare, _STORE).but(sessions=store.sessions), read())
    return size


def _opened(raw: bytes) -> tuple[RunRecord, tuple[msgspec.Raw, ...]]:
    try:
        written = _read(raw)
        head = RunRecord(**{name: getattr(written, name) for name in Head.__struct_fields__})
        check_head(head)
    except Damaged:
        raise
    except _NOT_ONE as problem:
        raise _damaged(problem) from None
    return head, written.stores


def _read(raw: bytes) -> _Written:
    try:
        return msgspec.json.decode(raw, type=_Written)
    except ValueError:
        # Of the old form, or with half a surrogate pair: what is neither is found out here.
        data = json.loads(raw)
    kind = data.pop("format", None) if isinstance(data, dict) else None
    if kind == format_1.FORMAT:
        data = format_1.raised(data)
    elif kind != FORMAT:
        raise Damaged("is not a record of this version")
    parts = [msgspec.Raw(json.dumps(store).encode()) for store in format_1.listed(data["stores"])]
    return msgspec.convert({**data, "format": FORMAT, "stores": parts}, _Written)


def _store(raw: bytes | msgspec.Raw) -> StoreRecord:
    return _read_as(raw, _STORE)


def _read_as(raw: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[Part]) -> Part:
    try:
        return decoder.decode(raw)
    except ValueError:
        return msgspec.convert(json.loads(bytes(raw)), decoder.type)


def _damaged(problem: Exception) -> Damaged:
    return Damaged(" ".join(str(problem).split())[:_SHOWN] or "is not readable")


def agents_named(raw: bytes) -> frozenset[str] | None:
    """Return the agents whose stores the text of a record speaks of, None where that cannot be told."""
    try:
        named = [store["agent"] for store in json.loads(raw)["stores"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    known = named and all(isinstance(agent, str) and keys.is_agent_id(agent) for agent in named)
    return frozenset(named) if known else None


def spellings(text: str) -> set[bytes]:
    """Return how a text may be written in a record, of whatever version."""
    escaped = json.dumps(text).encode()
    try:
        return {escaped, msgspec.json.encode(text)}
    except UnicodeEncodeError:
        return {escaped}
