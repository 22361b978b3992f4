"""JSON values as they stand in the bytes of a sessions.json, and where each ends (pure)."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ...core import late
from ...core.errors import CorruptStore

# Text of the whole file at once would cost more time for its memory than the scan itself.
_WINDOW = 4 << 20
COLON = late.pattern(rb"[ \t\n\r]*:[ \t\n\r]*")
_COLON_IN_TEXT = late.pattern(COLON.pattern.decode())
NUL = "holds NUL bytes"
_LITERALS = ("true", "false", "null")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"holds {text}, which is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_WIDE_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_int=float)


class Values:
    """The values in a store's bytes, decoded through a window of text that moves and, where it must, grows."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._view = memoryview(raw)
        self._base = 0
        self._text = ""

    def at(self, start: int) -> tuple[Any, int]:
        """Return the value at a byte offset, and where it ends."""
        while True:
            base, text = self._base, self._text
            behind = base + len(text)
            if behind == len(self._raw):
                value, end = decoded(text, start - base, base)
                return value, base + end
            if start < behind:
                try:
                    value, end = decoded(text, start - base)
                except CorruptStore:
                    end = len(text)
                # A number may go on behind the window: 1e+ is read as 1 and two characters more.
                if end + 2 < len(text):
                    return value, base + end
            size = max(_WINDOW, 2 * (behind - start))
            # latin-1: one character a byte, so offsets in the text are offsets in the file.
            self._base, self._text = start, str(self._view[start : start + size], "latin-1")


def decoded(text: str, at: int, base: int = 0) -> tuple[Any, int]:
    """Return the value in a text and where it ends; `base` is the text's place in its file."""
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as problem:
        left = text[problem.pos :].rstrip(" \t\r\n")
        if any(word.startswith(left) for word in _LITERALS) or problem.msg.startswith("Unterminated string"):
            raise CorruptStore("is cut off") from None
        if left.startswith("\0"):
            raise CorruptStore(NUL) from None
        raise CorruptStore(f"is not valid JSON at byte {base + problem.pos}: {problem.msg}") from None
    except ValueError as problem:
        # An integer of more digits than Python converts is legal JSON.
        if "integer string conversion" not in str(problem):
            raise CorruptStore(str(problem)) from None
    try:
        return _WIDE_DECODER.raw_decode(text, at)
    except ValueError as problem:
        raise CorruptStore(f"is not valid JSON: {problem}") from None


def member(text: str) -> tuple[str, str]:
    """Return key and value of one member, `"key": value`, the value as text; raise CorruptStore."""
    key, end = decoded(text, 0)
    colon = _COLON_IN_TEXT.match(text, end)
    if colon is None or not isinstance(key, str):
        raise CorruptStore("is not a member of a store")
    return key, text[colon.end() :]


def is_member(text: str, key: str) -> bool:
    """Tell whether a text is the member of this key; raise CorruptStore for what is none."""
    spelled = f'"{key}"'
    # Hardly a key has an escape, and a value may be large.
    if text.startswith(spelled) and _is_plain(key):
        return _COLON_IN_TEXT.match(text, len(spelled)) is not None
    return member(text)[0] == key


def value_in(raw: memoryview, key: str) -> memoryview | None:
    """Return the value in the bytes of a member of this key, None where they are another's or it is spelled otherwise.

    Nothing is copied: a value may be large.
    """
    spelled = f'"{key}"'.encode("utf-8", "surrogatepass")
    if raw[: len(spelled)] != spelled or not _is_plain(key):
        return None
    colon = COLON.match(raw, len(spelled))
    return None if colon is None else raw[colon.end() :]


def _is_plain(key: str) -> bool:
    return "\\" not in key and '"' not in key and key.isprintable()
