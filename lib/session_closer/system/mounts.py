"""What is mounted below a folder: what removes or moves all that is in it would reach what lies elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from ..core import late

_TABLE = "/proc/self/mountinfo"
# A blank, a tab, a new line and a backslash in a path are written so.
_ESCAPED = late.pattern(rb"\\([0-7]{3})")


def below(folder: str) -> list[str]:
    """Return the paths of what is mounted in a folder, by its path without links, it included.

    What is mounted from the same file system shows nowhere else. There are none where the system has no such table.
    """
    return [path for path in _all() if is_in(path, folder)]


def of_themselves(paths: Sequence[str]) -> list[str]:
    """Return those of some files that are mounted each by itself: no other file can be put in the place of one."""
    mounted = set(_all())
    # Where the links of a path lead is asked of few: hardly anything is mounted by such a name.
    names = {os.path.basename(path) for path in mounted}
    return [path for path in paths if os.path.basename(path) in names and os.path.realpath(path) in mounted]


def _all() -> list[str]:
    try:
        with open(_TABLE, "rb") as table:
            lines = table.read().splitlines()
    except OSError:
        return []
    return [os.fsdecode(_ESCAPED.sub(_character, line.split(b" ", 5)[4])) for line in lines]


def is_in(path: str, folder: str) -> bool:
    """Tell whether a path is a folder's or that of something in it."""
    return f"{path}/".startswith(f"{folder}/")


def _character(escaped: re.Match[bytes]) -> bytes:
    return bytes([int(escaped[1], 8)])
