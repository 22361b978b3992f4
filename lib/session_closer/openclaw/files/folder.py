"""What lies in a folder of transcripts: its regular files by name, and every other name with what it is."""

from __future__ import annotations

import os
import stat

from ...core import names


def add_beside(live: list[str], odd: dict[str, str], folder: str, index: str) -> None:
    """Add what is of sessions beside an index elsewhere: there anything else may lie, too."""
    own, other = listing(folder)
    live += [os.path.join(folder, name) for name in own if _is_of_session(name) or names.is_temporary(name, index)]
    odd |= {os.path.join(folder, name): what for name, what in other.items() if _is_of_session(name)}


def _is_of_session(name: str) -> bool:
    return ".jsonl" in name or names.is_companion(names.archived_from(name) or name)


def listing(folder: str) -> tuple[list[str], dict[str, str]]:
    """Return the regular files of a folder, and every other name with what it is."""
    live: list[str] = []
    odd: dict[str, str] = {}
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return live, odd
    with entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                live.append(entry.name)
            else:
                odd[entry.name] = _kind(entry)
    return live, odd


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
    except OSError:
        return "file that is gone"
    for test, word in ((stat.S_ISLNK, "link"), (stat.S_ISDIR, "directory"), (stat.S_ISFIFO, "pipe")):
        if test(mode):
            return word
    return "special file"
