"""What the metadata of a project say of it: which folder it is, and when Hermes last worked there."""

from __future__ import annotations

import hashlib
import json
import os

from ..core.durations import finite
from ..core.tuples import NamedTuple
from ..system import files


class Project(NamedTuple):
    """One folder of which Hermes keeps checkpoints, the last of them being the commit `tip`, None: there is none.

    `last_touch` is when it was last worked in, in seconds since 1970; `size` the bytes that it does not share.
    """

    id: str
    workdir: str
    last_touch: float
    size: int
    tip: str | None


def said(project_id: str, text: bytes) -> tuple[str, float] | None:
    """Return folder and time that the metadata of a project say, None where they are not those of this one."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    workdir, touched = (found.get("workdir"), found.get("last_touch")) if isinstance(found, dict) else (None, None)
    if not isinstance(workdir, str) or not files.is_path(workdir):
        return None
    if hashlib.sha256(os.fsencode(workdir)).hexdigest()[:16] != project_id:
        return None
    at = finite(touched)
    return None if at is None or at <= 0 else (workdir, at)
