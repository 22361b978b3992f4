"""Write private files, and take a picture of a folder."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a private file in place."""
    raw = content.encode() if isinstance(content, str) else content
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(raw)
    os.chmod(path, mode)


def tree(path: Path) -> dict[str, tuple[Any, ...]]:
    """Return every name below a folder, itself included, with kind, mode, time and content."""
    found = {}
    for each in [path, *sorted(path.rglob("*"))]:
        status = each.lstat()
        content: Any = None
        if stat.S_ISREG(status.st_mode):
            content = (status.st_size, hashlib.sha256(each.read_bytes()).hexdigest() if status.st_size < 1 << 24 else 0)
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(each)
        found[str(each.relative_to(path))] = (status.st_mode, status.st_mtime_ns, content)
    return found
