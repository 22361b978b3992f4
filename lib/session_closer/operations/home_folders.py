"""Our own folders in a home of files: what a run puts away, and what is only kept to be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..journal import history
from ..ports.artifacts import Exporting, Home

if TYPE_CHECKING:
    from ..journal.record import ArtifactRecord


def archive_of(run: str) -> str:
    """Return the folder of what a run has put away of a home, by its path below it."""
    return f"{history.ARCHIVES}/{run}"


def folder_of(home: Home, run: str, kind: str, path: str) -> str:
    """Return the folder in which a home itself may lay what a run takes, by its path below the home."""
    return f"{archive_of(run) if returns(home, kind) else f'{history.EXPORTS}/{run}'}/{path}"


def returns(home: Home, kind: str) -> bool:
    """Tell whether artifacts of a kind can be brought back."""
    return next((rule.returns for rule in home.rules if rule.name == kind), True)


def note(home: Home, kind: str) -> str:
    """Return what is to be known of artifacts of a kind once they are back, "": nothing."""
    return next((rule.note for rule in home.rules if rule.name == kind), "")


def left_over(why: str) -> str:
    """Return what is said of something that a deletion has left: `why` names it, and why it stays."""
    return f"what was to be deleted is out of the home, and some of it could not be removed: {why}"


def sessions_of(exporting: Exporting, root: str, run: str, one: ArtifactRecord) -> Sequence[str]:
    """Return the sessions that something is of which a run has put away of a home, wherever it is by now."""
    if one.session_id is not None:
        return [one.session_id]
    places = [place for place in (f"{root}/{archive_of(run)}", root) if os.path.isdir(place)]
    return next((found for place in places if (found := exporting.named(place, one.path))), ())
