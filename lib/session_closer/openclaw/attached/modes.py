"""The modes of files in a worktree that OpenClaw's snapshot does not keep: put right when it has made them anew."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence

from ...core.effects import Lost
from ...core.errors import CloserError
from ...core.escape import plain
from ...journal.record import Mode, StoreRecord
from ...ports.undo import Item
from ...system import files, trust
from ...system.disk import Disk
from ..installation import Installation
from ..sqlite.store import SqliteStore
from . import worktrees

_SHOWN = 3


def put_right(here: Installation, item: Item) -> list[Lost]:
    """Set the modes that a close has recorded in a worktree whose session is back; return which are not as then."""
    left = _put_right(here, item.agent, item.key, item.modes)
    return [left] if left is not None else []


def finish(here: Installation, store: StoreRecord) -> None:
    """Set what an interrupted undo has left; what is not set is a warning."""
    for session in store.sessions if store.restores else ():
        if session.modes and session.status == "restored":
            left = _put_right(here, store.agent, session.key, session.modes)
            if left is not None:
                here.warn(f"{plain(session.key)}: {left.why}")


def _put_right(here: Installation, agent: str, key: str, modes: Sequence[Mode]) -> Lost | None:
    try:
        row = SqliteStore(here.home, agent).rows([key]).get(key)
        root = worktrees.path_of(here.home, _worktree(row.entry)) if row is not None else None
    except CloserError as problem:
        return Lost("file-mode", len(modes), problem.message)
    if root is None:
        return Lost("file-mode", len(modes), "its worktree is not there")
    # The deepest first: a folder that was closed to us is closed again behind what is in it.
    left = [mode.path for mode in sorted(modes, key=_by_path, reverse=True) if not _set(here.disk, root, mode)]
    if not left:
        return None
    shown = ", ".join(map(plain, sorted(left)[:_SHOWN])) + (", …" if len(left) > _SHOWN else "")
    return Lost("file-mode", len(left), f"in {root}, not to be set: {shown}")


def _by_path(mode: Mode) -> tuple[str, int]:
    return mode.path, mode.mode


def _worktree(entry: str) -> str:
    try:
        found = json.loads(entry).get("worktree")
    except (ValueError, AttributeError, RecursionError):
        return ""
    name = found.get("id") if isinstance(found, dict) else None
    return name if isinstance(name, str) else ""


def _set(disk: Disk, root: str, mode: Mode) -> bool:
    """Set one mode, of a file or folder of ours that has one name; tell whether it has it now."""
    try:
        descriptor = files.open_within(root, mode.path)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        is_file = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        if not (is_file or stat.S_ISDIR(found.st_mode)) or not trust.is_trusted(found.st_uid):
            return False
        if stat.S_IMODE(found.st_mode) != mode.mode:
            disk.set_mode(descriptor, mode.mode)
    except OSError:
        return False
    finally:
        disk.close(descriptor)
    return True
