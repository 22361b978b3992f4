"""Whether a version of OpenClaw keeps its sessions in files or in SQLite (pure)."""

from __future__ import annotations

import re

PATTERN = r"(\d{4})\.(\d{1,6})\.(\d{1,6})(?:-(beta)\.\d+|-\d+)?"
# Sessions are in SQLite from 2026.8.1 on, and in the betas of 2026.7.2; 2026.7.33 to 2026.7.35 are older branches.
_FIRST, _FIRST_BETA = (2026, 8, 1), (2026, 7, 2)


def is_sqlite_era(version: str) -> bool:
    """Tell whether a version of OpenClaw keeps sessions in SQLite; one that cannot be read does not."""
    found = re.fullmatch(PATTERN, version)
    if found is None:
        return False
    number = (int(found[1]), int(found[2]), int(found[3]))
    return number >= _FIRST or (number == _FIRST_BETA and found[4] is not None)
