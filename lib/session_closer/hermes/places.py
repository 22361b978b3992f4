"""Whether two folders are one, or one of them lies in the other, however each was written."""

from __future__ import annotations

import os


def forms(place: str) -> frozenset[str]:
    """Return a folder as it was written and without the links on the way to it, each with a slash at its end."""
    return frozenset(os.path.join(each, "") for each in (os.path.normpath(place), os.path.realpath(place)))


def meet(one: str, other: str) -> bool:
    """Tell whether two forms are one folder's, or that of a folder in the other."""
    return one.startswith(other) or other.startswith(one)
