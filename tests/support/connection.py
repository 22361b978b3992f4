"""A connection to a database that says so where nobody has closed it, as each does from Python 3.13 on."""

from __future__ import annotations

import functools
import sqlite3
import sys
import warnings
from typing import Any


class Watched(sqlite3.Connection):
    """One that warns when it is let go of while it is open."""

    _is_open = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_open = True

    def close(self) -> None:
        """Close it."""
        super().close()
        self._is_open = False

    def __del__(self) -> None:
        if self._is_open:
            warnings.warn(f"unclosed database in {self!r}", ResourceWarning, stacklevel=2, source=self)


def watch() -> None:
    """Let every connection of this process be such a one."""
    if sys.version_info < (3, 13):
        sqlite3.connect = functools.partial(sqlite3.connect, factory=Watched)  # type: ignore[assignment]
