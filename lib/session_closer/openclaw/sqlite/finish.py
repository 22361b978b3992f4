"""What an interrupted run began in one database, session by session: asked of the gateway to the end, told by rows."""

from __future__ import annotations

from datetime import datetime

from ...artifacts import measuring
from ...core import escape, names
from ...core.budget import HashBudget
from ...core.errors import GatewayNeeded
from ...core.status import Status
from ...journal.record import SessionRecord, StoreRecord
from ...system.clock import REAL, Clock
from ..gateway import client as sessions
from ..gateway import connection
from ..gateway.connection import Gateway
from ..gateway.link import CallRefused, LinkLost, LinkRefused
from . import close
from .store import Row, SqliteStore, archives_of

# The most that a gateway needed for the call during which its caller was killed: 100 sessions in 0.3 s.
_UNDER_WAY_SECONDS = 2.0


def finish(
    store: SqliteStore,
    record: StoreRecord,
    gateway: Gateway,
    keep: close.Keep,
    *,
    clock: Clock = REAL,
    began: datetime | None,
    young: bool,
    frees: bool,
) -> StoreRecord:
    """Finish what an interrupted run began in one store: delete what it archived; what was used since stays.

    `began`: when that run did. `young`: its last call may be under way still. Not `frees`: what it archived stays so.
    Raises GatewayNeeded where something is to be asked of a gateway that does not answer, or does not do it.
    """
    if young and any(session.archived_at is None for session in record.sessions):
        clock.sleep(_UNDER_WAY_SECONDS)
    now = store.rows([session.key for session in record.sessions])
    if frees:
        kept = keep([(one.key, one.session_id) for one in record.sessions if not one.hidden and one.key in now])
        record = record.but(kept=(*record.kept, *([kept] if kept is not None else ())))
    ended = (_finish(store, session, now.get(session.key), gateway, frees=frees) for session in record.sessions)
    with measuring.Folder(store.folder, HashBudget()) as folder:
        return record.but(sessions=tuple(_with_archive(store, folder, session, began) for session in ended))


def _finish(
    store: SqliteStore, session: SessionRecord, now: Row | None, gateway: Gateway, *, frees: bool
) -> SessionRecord:
    if now is None:
        return session.but(status="closed")
    if now.session_id != session.session_id:
        return session.but(status="came_back")
    used = session.status == "came_back" or now.events != session.events
    left = session.but(status="came_back" if used else "dropped")
    ours = session.archived_at in (None, now.archived_at)
    if now.archived_at is None or session.archived_before or not ours:
        return left
    if (session.hidden or not frees) and not used:
        return session.but(status="archived", archived_at=now.archived_at)
    # Whether it was used between the plan and the archive was not looked at any more, if its time was not noted.
    hidden = used or session.archived_at is None
    then, why = _asked_again(store, session, gateway, delete=not hidden)
    if then is None:
        return session.but(status="closed")
    if then.session_id != session.session_id:
        return session.but(status="came_back")
    if hidden and then.archived_at is not None:
        what = f"an interrupted run archived {escape.plain(session.key)}, and the gateway does not take it back: {why}"
        raise GatewayNeeded(what, "openclaw gateway restart, then the same command again")
    return left


def _with_archive(
    store: SqliteStore, folder: measuring.Folder, session: SessionRecord, began: datetime | None
) -> SessionRecord:
    if session.status != Status.CLOSED:
        return session
    session_id = session.session_id or ""
    archives = archives_of(store, [session_id], lambda name: names.is_made_since(name, began))[session_id]
    return session.but(moves=close.moves(folder, archives, ()))


def _asked_again(
    store: SqliteStore, session: SessionRecord, gateway: Gateway, *, delete: bool
) -> tuple[Row | None, object]:
    """Delete one archived session, or take it out of the archive; return its row then, and why it was refused."""
    session_id = session.session_id or ""
    why: object = ""
    try:
        if delete:
            close.deleted(gateway, session.key, session_id)
        else:
            pinned = any(one.kind == "pin" for one in session.effects)
            why = sessions.show(gateway, [(session.key, session_id)], pinned=pinned).get(session.key, "")
    except CallRefused as problem:
        why = problem
    except (LinkLost, LinkRefused) as problem:
        what = f"an interrupted run archived {escape.plain(session.key)}, which is not finished: {problem}"
        raise GatewayNeeded(what, connection.again(gateway)) from None
    return store.rows([session.key]).get(session.key), why
