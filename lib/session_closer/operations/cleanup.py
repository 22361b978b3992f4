"""Archive the transcript files that no row refers to, and free archives that no receipt needs any more."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import starmap

from ..artifacts import engine, measuring
from ..artifacts.engine import Became
from ..core import fileplan, filerows, names
from ..core.claims import user_of
from ..core.durable import SESSIONS, Move
from ..core.findings import Chores
from ..core.status import Status
from ..journal.record import StoreRecord
from ..ports.readable import Readable
from ..ports.share import Share
from . import strays
from .request import Request
from .transaction import Transaction


def tidy(request: Request, transaction: Transaction, store: Readable, left: Mapping[str, Chores]) -> None:
    """Do what was planned for an agent's files, as far as it still holds under the lock.

    `left`: what is still planned, by agent, this one among them.
    """
    planned = left[store.agent]
    snapshot = store.read()
    now = strays.look(request, store, snapshot, {agent: each for agent, each in left.items() if agent < store.agent})
    seen = {*planned.orphans, *planned.expired}
    orphans = [name for name in now.orphans if name in seen]
    expired = [name for name in now.expired if name in seen]
    if not (orphans or expired):
        return
    stamp = names.free_stamp(request.clock.now(), snapshot.taken)
    planned_moves = (Move(name, names.archive_name(name, stamp)) for name in orphans)
    with measuring.Folder(store.folder, transaction.hashes) as folder:
        moves = tuple(map(folder.live, planned_moves))
    share = _share(transaction, store)
    share.record = share.record.but(orphans=moves, removes=tuple(expired))
    share.note(share.record)
    _archive(request, share, now, moves)
    _expire(request, share, now, expired)
    share.finished = True


def _share(transaction: Transaction, store: Readable) -> Share:
    """Return this agent's share of the run, a new one where no session of it was closed."""
    for share in transaction.shares:
        if share.store is store:
            share.finished = False
            share.record = share.whole(share.record)
            return share
    record = StoreRecord(agent=store.agent, era=store.era, path=store.index, roots={SESSIONS: store.folder})
    share = Share(store=store, rows=[], record=record, note=transaction.note, hashes=transaction.hashes)
    transaction.shares.append(share)
    return share


def _archive(request: Request, share: Share, chores: Chores, moves: tuple[Move, ...]) -> None:
    """Rename orphans to their archive names; one that a row refers to by now goes back (I6)."""
    folder = share.store.folder
    with engine.Root(request.runtime.context.disk, folder) as root:
        # Gone, or its archive name taken in this moment: it stays for the next run.
        done = tuple(move for move in moves if root.put_away(move).became is Became.AWAY)
    request.warn(*starmap(fileplan.stuck, root.stuck.items()))
    if not done:
        return
    share.record = share.record.but(orphans=done)
    share.tidied += [
        filerows.row(share.store.agent, chores, move.source, Status.ARCHIVED, os.path.join(folder, move.target))
        for move in done
    ]
    _put_back(request, share, _borrowed(request, share))


def is_lent(request: Request, share: Share) -> bool:
    """Tell whether a session has taken an orphan into use since it was put away (I6, I9)."""
    return bool(share.record.orphans) and bool(_borrowed(request, share))


def look_again(request: Request, share: Share) -> None:
    """Bring such orphans back."""
    _put_back(request, share, _borrowed(request, share))


def _borrowed(request: Request, share: Share) -> dict[str, str]:
    """Return by live name the agents whose sessions use an orphan that was put away."""
    claims = request.runtime.users(share.store.agent)
    users = {move.source: user_of(move.source, claims) for move in share.record.orphans}
    return {source: user for source, user in users.items() if user is not None}


def _put_back(request: Request, share: Share, users: dict[str, str]) -> None:
    back = set[str]()
    with engine.Root(request.runtime.context.disk, share.store.folder) as root:
        for move in share.record.orphans:
            if move.source not in users:
                continue
            if root.bring_back([move]) is None:
                back.add(move.source)
                user = users[move.source]
                request.warn(fileplan.kept_for(move.source, None if user == share.store.agent else user))
            else:
                why = root.stuck.get(move.source)
                request.warn(fileplan.stuck(move.target, why) if why else fileplan.begun_anew(move.source, move.target))
    if back:
        share.record = share.record.but(orphans=tuple(m for m in share.record.orphans if m.source not in back))
        share.tidied = [row for row in share.tidied if row.status is not Status.ARCHIVED or row.given not in back]


def _expire(request: Request, share: Share, chores: Chores, expired: list[str]) -> None:
    store = share.store
    with engine.Root(request.runtime.context.disk, store.folder) as root:
        for name in expired:
            path = os.path.join(store.folder if names.is_archive(name) else strays.backups(store)[0], name)
            root.expire(path)
            if path not in root.stuck:
                share.tidied.append(filerows.row(store.agent, chores, name, Status.EXPIRED))
    request.warn(*starmap(fileplan.stuck, root.stuck.items()))
