"""Words that are safe to show on a terminal and to paste into a shell (pure)."""

from __future__ import annotations

import re
import shlex

_LONGEST = 1000


def quoted(text: str) -> str:
    """Return text for a message: in quotes that a shell undoes, at most 200 characters, no control character."""
    shown = text if len(text) <= 200 else text[:197] + "..."
    # In double quotes a shell reads these as something else.
    return f'"{shown}"' if shown.isprintable() and not set('"\\!$`') & set(shown) else shell_word(shown)


def shown(line: str) -> str:
    """Return a line for a terminal: whatever could move its cursor is escaped."""
    return line if line.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in line)


def _escaped(c: str) -> str:
    return c.encode("unicode_escape").decode("ascii")


def shell_word(word: str) -> str:
    """Return a word for the shell's command line, printable whatever is in it."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(c if c.isprintable() and c not in "'\\" else _bytes(c) for c in word)
    return f"$'{escaped}'"


def _bytes(c: str) -> str:
    try:
        raw = c.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _escaped(c)  # half a pair, which no command line can hold
    return "".join(f"\\x{byte:02x}" for byte in raw)


def plain(text: str) -> str:
    """Return text as it is where it is harmless in a terminal and a shell, else quoted; cut off if it is very long."""
    word = text if re.fullmatch(r"[\w:.@+/=-]+", text) else shell_word(text)
    return word if len(word) <= _LONGEST else quoted(text)
