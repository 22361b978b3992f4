"""Whose files these are: what belongs to another user is not worked in."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..core.errors import Refused


def check(paths: Iterable[str]) -> None:
    """Refuse to work as anybody but the owner: files left by root cannot be opened by whom they are for."""
    me = os.geteuid()
    for path in paths:
        try:
            owner = os.stat(path).st_uid
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as problem:
            raise Refused(f"{path} cannot be looked at: {problem.strerror}", "run as its owner", name="owner") from None
        if owner != me:
            raise Refused(f"{path} belongs to uid {owner}, this runs as uid {me}", "run as that user", name="owner")
