"""A home of files in which each thing is as old as a test wants it."""

from __future__ import annotations

import os
from pathlib import Path

DAY = 86400.0


class Aged:
    """A home at `path`; ages in seconds count from `now`, a moment in seconds since 1970."""

    path: Path
    now: float

    def lay(self, path: str, text: str = "x\n", *, age: float = 60 * DAY) -> Path:
        """Write a file of such an age."""
        made = self.path / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(text)
        self.age(path, age)
        return made

    def age(self, path: str, age: float) -> None:
        """Make what is there as old as that, with all that is in it."""
        at = self.now - age
        made = self.path / path
        for each in (*made.rglob("*"), made):
            os.utime(each, (at, at), follow_symlinks=False)

    def has(self, path: str) -> bool:
        """Tell whether something is there."""
        return os.path.lexists(self.path / path)
