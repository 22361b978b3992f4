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
# What HTML may begin with: it could end a quotation, or hide all that comes behind it.
_TAG = late.pattern("<(?=[A-Za-z/!?])")
# What a code host takes for a link ahead of a tick; where a link is, or may go on behind its line.
_LINK = late.pattern(r"(?:[:@]|www\.)[^\s]*\Z", re.IGNORECASE)
_PERHAPS_LINK = late.pattern(r"\][(:]")
_FENCE = late.pattern(r"(`{3,}) *[A-Za-z0-9_+#.:-]* *")
# What may begin a block of code in a list, or in a quotation of its own.
_PERHAPS_FENCE = late.pattern(r"[\s>*+\-0-9.):]*(?:```|~~~)")
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

    What could be HTML is none, so that nothing in it is a part of the page. `seen` makes text visible.
    """
    shown = seen(text)
    if "<" in shown and _TAG.search(shown):
        shown = _without_html(shown)
    if "\n" not in shown:
        return f"> {shown}\n\n" if shown else ">\n\n"
    return "".join([*(f"> {line}\n" if line else ">\n" for line in shown.split("\n")), "\n"])


def _without_html(text: str) -> str:
    """Return Markdown in which nothing begins HTML; code, in which nothing does, is as it was.

    Only what is code by every rule counts as such: a block that begins with its line, a span within one line.
    """
    out: list[str] = []
    fence, is_sure, is_even = 0, True, True
    for line in text.split("\n"):
        if fence:
            out.append(line)
            ticks = line.strip(" \t")
            if len(ticks) >= fence and not ticks.strip("`"):
                is_sure = is_sure and line[:4].strip(" ") != "" and "\t" not in line
                fence, is_even = 0, True
            continue
        begun = _FENCE.fullmatch(line) if is_sure else None
        if begun is not None:
            fence = len(begun[1])
            out.append(line)
            continue
        is_sure = is_sure and _PERHAPS_FENCE.match(line) is None
        spans = _spans(line) if is_even or not line.strip() else None
        is_even = spans is not None
        out.append("".join(spans) if spans is not None else _TAG.sub("&lt;", line))
    return "\n".join(out)


def _spans(line: str) -> list[str] | None:
    """Return the pieces of a line, its code as it is, the rest without HTML; None where code may go on, or be none."""
    if _PERHAPS_LINK.search(line) and ("`" in line or line.count("(") != line.count(")") or "]:" in line):
        return None
    if "`" not in line:
        return [_TAG.sub("&lt;", line)]
    pieces, made = re.split("(`+)", line), list[str]()
    while len(pieces) > 1:
        before, ticks, *pieces = pieces
        end = next((at for at in range(1, len(pieces), 2) if pieces[at] == ticks), None)
        inside = "".join(pieces[:end])
        # A cell of a table ends at a bar, and a link may have a tick in it.
        if end is None or "|" in inside or before.endswith("\\") or _LINK.search(before):
            return None
        made += [_TAG.sub("&lt;", before), ticks, inside, ticks]
        pieces = pieces[end + 1 :]
    return [*made, _TAG.sub("&lt;", pieces[0])]


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
