"""Who takes the entry of a session out: the gateway, or this process by the file (pure)."""

from __future__ import annotations

from collections.abc import Collection

from . import keys
from .model import GatewayView, Session, Snapshot
from .status import Route


def route(session: Session, snapshot: Snapshot, view: GatewayView, via: str, alike: Collection[str] = ()) -> Route:
    """Return who takes the entry out; the table stands in docs/design.md. `alike`: as for `deletable`."""
    if Route.FILES not in snapshot.traits.writers:
        return Route.GATEWAY
    if via == "files" or not view.usable:
        return Route.FILES
    return Route.GATEWAY if deletable(session, snapshot, alike) else Route.FILES


def deletable(session: Session, snapshot: Snapshot, alike: Collection[str] = ()) -> bool:
    """Tell whether `sessions.delete` would find exactly this entry and no other.

    `alike`: the keys of the store, this one among them, that differ by no more than case or normalisation.
    """
    own = keys.agent_of(session.key) == snapshot.agent and snapshot.own_index
    if not own or not session.key.isprintable() or session.key != session.key.strip():
        return False
    if snapshot.traits.any_case:
        # A key may have upper case there (a Matrix room), and the session id that goes along tells rows apart.
        return sum(snapshot.sessions[key].session_id == session.session_id for key in alike) <= 1
    # In a file it also takes out, unseen, every key that is the same in lower case (2026.5.7).
    return session.key == session.key.lower() and len(alike) <= 1
