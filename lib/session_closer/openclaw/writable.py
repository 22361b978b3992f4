"""Whether what a run is going to write could be written, asked of the file system without writing."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from ..core.errors import Refused
from ..journal import history
from ..system import files
from .home import Home

_MODE = os.W_OK | os.X_OK


def refusal(home: Home, folders: Iterable[str]) -> Refused | None:
    """Return why a run could not keep its record or change these folders, None where it could.

    A folder that is not there yet counts as the one that it would be made in.
    """
    _, opened, receipts = history.folders(home.state)
    for folder in dict.fromkeys(map(_there, (opened, receipts, *folders))):
        if _is_read_only(folder):
            return _refused(folder, errno.EROFS, "mount it for writing")
        if not os.access(folder, _MODE, effective_ids=os.access in os.supports_effective_ids):
            return _refused(folder, errno.EACCES, "give its owner the right to write there")
    return None


def _there(path: str) -> str:
    while not files.exists(path, follow=True) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _is_read_only(folder: str) -> bool:
    try:
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError:
        # Where a file system cannot say it, what it permits has the last word.
        return False


def _refused(folder: str, number: int, remedy: str) -> Refused:
    what = f"nothing was changed: {folder} cannot be written: {os.strerror(number)}"
    return Refused(what, f"{remedy}, then run the same command again", name="unwritable")
