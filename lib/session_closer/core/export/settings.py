"""Which values a text of settings gives to names: lines of an environment, or YAML as people write it (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from ...core import late

_KEY = late.pattern(r"""([ \t]*)((?:-[ \t]+)*)(?:export[ \t]+)?(["']?)([\w.-]+)\3[ \t]*[:=](.*)""")
# A name for it elsewhere, and what kind of value it is.
_AHEAD = late.pattern(r"(?:[&!]\S*[ \t]+)+")
_BLOCK = late.pattern(r"[|>][0-9+-]*(?:[ \t]+#.*)?")
_QUOTED = late.pattern(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\']|\'\')*)\'')
_COMMENT = late.pattern(r"[ \t]#.*")
_INSIDE = late.pattern(
    r"""[{,][ \t]*(["']?)([\w.-]+)\1[ \t]*:[ \t]*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|\[[^\]]*\]|[^,{}\[\]]+)"""
)
_ITEM = late.pattern(r"""[ \t]*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]]+)""")
_BYTE = late.pattern(r"\\x([0-9A-Fa-f]{2})")


def named(text: str) -> Iterator[tuple[str, str]]:
    """Give each name with what may be its value; of a value of several lines each of these."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        for inside in _INSIDE.finditer(line) if "{" in line else ():
            yield from ((inside[2], each) for each in _each(inside[3]))
        found = _KEY.fullmatch(line)
        if found is None:
            continue
        indent, name, rest = len(found[1] + found[2]), found[4], found[5].strip()
        rest = _AHEAD.sub("", f"{rest} ", count=1).strip()
        if rest == "" or rest.startswith("#") or _BLOCK.fullmatch(rest):
            yield from ((name, each) for each in _below(lines[at + 1 :], indent, is_block=rest[:1] in ("|", ">")))
        elif not rest.startswith("{"):
            yield from ((name, each) for each in _each(rest))


def _below(lines: Sequence[str], indent: int, *, is_block: bool) -> Iterator[str]:
    """Give the lines of a value that stands below its name, up to the first that stands no deeper."""
    for line in lines:
        own = line.strip()
        is_item = own.startswith("- ") or own == "-"
        depth = len(line) - len(line.lstrip())
        if own and depth <= indent and not (is_item and depth == indent):
            return
        if not own:
            continue
        if is_block:
            yield own
            continue
        item = own.removeprefix("-").strip() if is_item else own
        # What has names of its own is told by these.
        if _KEY.fullmatch(item) is None or is_item:
            yield from _each(_AHEAD.sub("", item, count=1))


def _each(text: str) -> Iterator[str]:
    """Give what a text of one line may stand for: without quotes, a comment, or what ends it in a list."""
    text = text.strip()
    if text.startswith("["):
        for item in _ITEM.finditer(text[1:].rpartition("]")[0]):
            yield from _each(item[1])
        return
    quoted = _QUOTED.match(text)
    if quoted is None:
        plain = _COMMENT.sub("", text).strip()
        yield from filter(None, dict.fromkeys((plain, plain.rstrip(","))))
    elif quoted[2] is not None:
        yield quoted[2].replace("''", "'")
    else:
        yield quoted[1]
        try:
            decoded = json.loads(f'"{_BYTE.sub(_character, quoted[1])}"')
        except ValueError:
            return
        if decoded != quoted[1]:
            yield decoded


def _character(found: re.Match[str]) -> str:
    return f"\\u00{found[1]}"
