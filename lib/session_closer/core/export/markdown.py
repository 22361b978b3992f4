"""Text of strangers in Markdown: nothing in it ends what it stands in, or passes for the page (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from ...core import late

# So many characters of what a tool was given, or gave, are on a page.
MOST = 2048
# Control characters, what turns the direction of a line or ends one, and halves of surrogate pairs.
_UNSEEN = late.pattern("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSEEN_ASCII = bytes(at for at in range(0x80) if _UNSEEN.match(chr(at)))
_CUT = f"*cut: {MOST:,} of {{:,}} characters; the transcript has all of it*\n\n"
_TICKS = late.pattern("`+")
_PLAIN = late.pattern(r"[A-Za-z0-9](?:[A-Za-z0-9 .:/@+-]|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*")


def visible(text: str) -> str:
    """Return text whose control characters are escapes, but for tab and newline; each newline is one of UNIX."""
    if text.isascii():
        raw = text.encode()
        if len(raw.translate(None, _UNSEEN_ASCII)) == len(raw):
            return text
    elif text.isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    at = ord(found[0])
    return f"\\x{at:02x}" if at < 0x100 else f"\\u{at:04x}"


def code(text: str) -> str:
    """Return text as a span of code on one line."""
    shown = visible(text).replace("\n", "\\n").replace("\t", "\\t")
    ticks = "`" * (_longest(shown) + 1)
    # A space at each end is taken away again, so that a tick may stand there.
    return f"{ticks} {shown} {ticks}" if shown[:1] == "`" or shown[-1:] == "`" else f"{ticks}{shown or ' '}{ticks}"


@lru_cache(maxsize=256)
def word(text: str) -> str:
    """Return text as it is where Markdown and HTML have nothing to say of it, else as a span of code."""
    return text if _PLAIN.fullmatch(text) else code(text)


def quoted(text: str, seen: Callable[[str], str] = visible) -> str:
    """Return the lines of a quotation, all of the text: whatever is left open in it ends with the quotation.

    `seen` makes text visible.
    """
    shown = seen(text)
    if "\n" not in shown:
        return f"> {shown}\n\n" if shown else ">\n\n"
    return "".join([*(f"> {line}\n" if line else ">\n" for line in shown.split("\n")), "\n"])


def fenced(text: str, language: str = "", seen: Callable[[str], str] = visible) -> str:
    """Return a block of code that nothing in the text can end, and where the text is long, its beginning and a note."""
    shown = seen(text[:MOST])
    fence = "`" * max(3, _longest(shown) + 1) if "`" in shown else "```"
    end = "" if shown.endswith("\n") else "\n"
    note = "" if len(text) <= MOST else _CUT.format(len(text))
    return f"{fence}{language}\n{shown}{end}{fence}\n\n{note}"


@lru_cache(maxsize=256)
def fold(title: str) -> str:
    """Return what begins a part that is folded; `END` ends it."""
    line = visible(title).replace("\n", " ")
    return f"<details>\n<summary>{line.replace('&', '&amp;').replace('<', '&lt;').replace('>', '&gt;')}</summary>\n\n"


END = "</details>\n\n"


def _longest(text: str) -> int:
    return max(map(len, _TICKS.findall(text)), default=0) if "`" in text else 0
