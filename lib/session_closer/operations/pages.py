"""Write a page that a person has asked for: private, whole from its first instant, over nothing that is there."""

from __future__ import annotations

import os

from ..core.errors import StorageFailed, UsageProblem
from ..core.escape import quoted
from ..system import files
from ..system.disk import Disk
from . import outputs

_MORE = "--report FILE.html, one that is not there yet"
_OWN = "--report FILE.html, in a folder of your own"


def check(path: str) -> None:
    """Refuse a path at which no page can be written, or a stranger may reach for it, ahead of all work."""
    if not path.endswith(".html"):
        raise UsageProblem(f"{quoted(path)} does not end with .html", _MORE)
    if os.path.lexists(path):
        raise UsageProblem(f"{quoted(path)} is there already", _MORE)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise UsageProblem(f"there is no folder {quoted(folder)}", _MORE)
    # Others may make files in a shared folder, but none of ours theirs.
    outputs.own_folder(path, _OWN)


def write(path: str, text: str, disk: Disk | None = None) -> str:
    """Write a page; return its whole path. UsageProblem where something is there by now, StorageFailed."""
    disk = disk or Disk()
    whole = os.path.abspath(path)
    fresh = f"{os.path.dirname(whole)}/.{os.path.basename(whole)}.{os.urandom(4).hex()}.tmp"
    try:
        # Half a pair of surrogates, which no text can hold, may be in a key.
        files.put(disk, fresh, text.encode("utf-8", "backslashreplace"))
        try:
            disk.rename_new(fresh, whole)
        except BaseException:
            disk.unlink(fresh)
            raise
        disk.sync_folder(os.path.dirname(whole))
    except FileExistsError:
        raise UsageProblem(f"{quoted(path)} is there already", _MORE) from None
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise StorageFailed(f"the report {quoted(whole)} cannot be written: {why}", "name another folder") from None
    return whole
