"""What the settings of a home call secret, to be taken out of what is exported; nothing of it is told anybody."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..core.errors import Refused
from ..core.export.redaction import secrets_of
from ..system import files

_MOST_BYTES = 4 << 20


def secrets(root: str, names: Iterable[str]) -> frozenset[str]:
    """Return the secret values in those of these files that are there; Refused where one cannot be read."""
    found: set[str] = set()
    for path in (os.path.join(root, name) for name in names):
        if not os.path.lexists(path):
            continue
        try:
            raw, _ = files.read(os.path.realpath(path), _MOST_BYTES)
        except OSError as problem:
            what = f"{path} cannot be read, and may hold secrets: {problem.strerror}"
            raise Refused(what, "make it readable, or export without --redact", name="unreadable") from None
        found |= secrets_of(raw.decode("utf-8", "replace"))
    return frozenset(found)
