"""Where kinds of artifacts lie below a home, as patterns of paths (pure)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .tuples import NamedTuple

EVERY = "*"


class Pattern(NamedTuple):
    """A kind of artifact by where it lies: `folder` is a path below the home, in which * is any folder.

    `name` has to match the whole name; its group `id`, if it has one, is what tells the owner. Of a folder the time is
    that of the newest file in it, its own where `own_time` is set.
    """

    kind: str
    folder: str
    name: re.Pattern[str]
    is_folder: bool = False
    own_time: bool = False


def is_of(path: str, patterns: Sequence[Pattern], kind: str) -> bool:
    """Tell whether a path below a home could be one of a kind."""
    folder, _, name = path.rpartition("/")
    return any(
        pattern.kind == kind and _fits(folder, pattern.folder) and pattern.name.fullmatch(name) for pattern in patterns
    )


def owner_of(path: str, patterns: Sequence[Pattern]) -> str | None:
    """Return the owner that the name of a path below a home says, None where it is of none of these, or says none."""
    meant = next((pattern for pattern in patterns if is_of(path, [pattern], pattern.kind)), None)
    if meant is None or not meant.name.groups:
        return None
    found = meant.name.fullmatch(path.rpartition("/")[2])
    return found["id"] if found is not None else None


def _fits(folder: str, wanted: str) -> bool:
    parts, expected = folder.split("/"), wanted.split("/")
    if len(parts) != len(expected):
        return False
    return all(want in (EVERY, part) for part, want in zip(parts, expected, strict=True))
