"""Which sessions no policy may take, and why (pure)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .words import DURABLE, Kind

if TYPE_CHECKING:
    from .model import Session

PINNED, BOUND, RUNNING = "pinned", "bound", "running"


def protection(kind: Kind, session: Session, *, running: bool) -> str | None:
    """Return why no policy may remove a session: its kind, `pinned`, `bound` or `running`; None where one may."""
    if kind in DURABLE:
        return str(kind)
    if session.pinned:
        return PINNED
    if session.bound:
        return BOUND
    return RUNNING if running else None
