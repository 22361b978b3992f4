"""What OpenClaw's importer leaves in the state directory when it has brought sessions back. Read only."""

from __future__ import annotations

import os

from . import files
from .home import Home

_COPIES, _REPORTS = "session-sqlite-import-archive", "session-sqlite-migration-runs"


def look(home: Home, sessions_folder: str) -> frozenset[str]:
    """Return the paths of all copies and reports that importers have left of an agent."""
    folders = (os.path.join(os.path.dirname(sessions_folder), _COPIES), os.path.join(home.state, _REPORTS))
    return frozenset(os.path.join(folder, name) for folder in folders for name in files.listed(folder))


def said(before: frozenset[str], now: frozenset[str]) -> str:
    """Return what an import has left, in words, "" where it has left nothing."""
    fresh = sorted(now - before)
    if not fresh:
        return ""
    return f"OpenClaw's importer leaves plain copies of what it has read, and a report: {', '.join(fresh)}"
