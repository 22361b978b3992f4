"""Patterns that are compiled when they are first asked for: a short run needs few of them."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


class _Late:
    """What stands for a compiled pattern, and has its members once one of them is asked for."""

    def __init__(self, text: str | bytes, flags: int) -> None:
        self._text, self._flags = text, flags

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # as of one that is copied, and has nothing yet
        found = getattr(re.compile(self._text, self._flags), name)
        # Found here the next time, without a call of Python.
        self.__dict__[name] = found
        return found


def pattern(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """Return a pattern; an error in its text shows when it is first used."""
    return cast("re.Pattern[AnyStr]", _Late(text, flags))
