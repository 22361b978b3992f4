"""What an archive holds of a project's checkpoints: its history as a bundle, its index, and what it says of itself."""

from __future__ import annotations

import os
import stat

from ..core.tuples import NamedTuple
from ..system import files
from . import bundles
from .projects import said

# The last one is there once all of it is.
BUNDLE, INDEX, META = "history.bundle", "index", "project.json"
META_BYTES = 1 << 20


class Saved(NamedTuple):
    """An archive with its files: the commit that its ref was at, None: it had none, and the text of its metadata."""

    tip: str | None
    meta: bytes


def archive(project_id: str, folder: str) -> Saved | None:
    """Return what an archive holds, None where a file is missing, or is another project's."""
    meta = text_of(os.path.join(folder, META), META_BYTES)
    bundle = os.path.join(folder, BUNDLE)
    if meta is None or said(project_id, meta) is None or size_of(bundle) is None:
        return None
    if not size_of(bundle):
        return Saved(None, meta)
    head = bundles.head(bundle)
    return Saved(head.tip, meta) if head is not None and head.project_id == project_id else None


def is_whole(saved: Saved, folder: str) -> bool:
    """Tell whether its bundle has the bytes that git has written, if it has any."""
    return saved.tip is None or bundles.is_whole(os.path.join(folder, BUNDLE))


def text_of(path: str, most: int) -> bytes | None:
    """Return what is in a file, None where there is none."""
    try:
        return files.read(path, most)[0]
    except OSError as problem:
        if not files.is_no_file(problem):
            raise
        return None


def size_of(path: str) -> int | None:
    """Return the bytes of a file, None where there is none, or anything else."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
