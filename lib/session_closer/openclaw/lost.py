"""An index that is gone while a backup of it is there: that is no agent without sessions."""

from __future__ import annotations

import os

from ..core import names
from ..core.escape import shell_word
from ..system import files
from .home import Home

# Braces and blanks.
_EMPTY = 8


def said(home: Home, agent: str, undo: str) -> str | None:
    """Return which command brings back what an agent's last backup has; None where an index, or no backup, is there."""
    index = home.index(agent)
    if files.exists(index) or files.exists(home.database(agent)):
        return None
    place, name = os.path.split(index)
    backups = [one for one in files.listed(place) if one.startswith(names.backup_name(name, ""))]
    if not backups:
        return None
    # A restore begins an index, and has a backup of that which it found empty.
    held = [one for one in backups if os.lstat(os.path.join(place, one)).st_size > _EMPTY]
    last = shell_word(os.path.join(place, max(held or backups)))
    return f"{index} is gone; what its last backup has comes back with: {undo} {last}"
