"""One SQLite store's share of a run: its rows recorded, archived, deleted by the gateway, and looked at again."""

from __future__ import annotations

import hashlib
import math
from functools import partial
from typing import TYPE_CHECKING

from ...core.durable import SESSIONS
from ...core.durations import about
from ...core.errors import GatewayNeeded
from ...core.model import PlannedRow
from ...core.status import Route
from ...journal.checks import raw_entry
from ...journal.record import SessionRecord, StoreRecord
from ...ports.share import Share
from ...ports.store import Ledger
from ..attached import jobs, kept
from ..gateway import connection
from ..gateway.link import LinkLost, LinkRefused
from ..installation import Installation
from . import close
from .store import TRAITS, Row, SqliteStore, all_archives

if TYPE_CHECKING:
    from ..attached.worktrees import Tree

# What a deletion takes OpenClaw 2026.9, whoever asks for it: docs/performance.md.
_DELETION_SECONDS = 0.75
# After so long agents put a command into the background.
_PATIENCE_SECONDS = 10.0


def take_out(
    here: Installation,
    ledger: Ledger,
    store: SqliteStore,
    rows: list[PlannedRow],
    found: dict[str, Row],
    *,
    free_by: float = math.inf,
) -> None:
    """Archive a store's sessions, and delete those whose keys are freed; `free_by`: on the monotonic clock."""
    record = StoreRecord(
        agent=store.agent,
        era=store.era,
        path=store.index,
        roots={SESSIONS: store.folder},
        sessions=tuple(_recorded(row, found[row.key], here.trees.get((row.agent, row.key))) for row in rows),
    )
    ledger.note(record)
    share = Share(
        store=store, rows=rows, record=record, note=ledger.note, hashes=ledger.hashes, clock=here.context.clock
    )
    ledger.shares.append(share)
    word = "closing" if all(row.frees for row in rows) else "archiving"
    wait = _expected(sum(row.frees for row in rows), free_by - here.context.clock.monotonic())
    here.tell(f"{word} {len(rows)} of agent {store.agent} through the gateway; receipt {ledger.receipt}{wait}")
    ids = [session.session_id for session in record.sessions if session.session_id]
    before = frozenset(name for found in all_archives(store, ids).values() for name in found)
    lost: Exception | None = None
    pending = True
    try:
        archived = close.archive(share, store, here.gateway, here.context.console.watch)
        jobs.switch_off(here, share, {row.key for row in archived})
        switched = {row.key: row for row in share.rows}
        archived = [switched[row.key] for row in archived]
        freed = [row for row in archived if row.frees]
        keep = partial(kept.keep, here, ledger.id, store.agent)
        close.delete(share, here.gateway, freed, here.context.console.progress, keep=keep, until=free_by)
        pending = False
    except (LinkLost, LinkRefused) as problem:
        lost = problem
    finally:
        # Also where a signal ends the run: the record says which keys are done.
        close.judge(share, store, before, pending=pending)
        jobs.give_back(here, share)
        share.finished = True
        share.record = close.settled(share)
        ledger.note(share.record)
    if lost is None:
        try:
            close.check_lists(share, here.gateway)
        except (LinkLost, LinkRefused) as problem:
            lost = problem
    if lost is not None:
        raise GatewayNeeded(f"the gateway stopped answering: {lost}", connection.again(here.gateway))


def _expected(deletions: int, most: float) -> str:
    """Return, where a caller may not wait for so long, how long the gateway deletes; `most`: seconds that it may."""
    seconds = min(deletions * _DELETION_SECONDS, most)
    return f"; OpenClaw deletes one after the other: about {about(seconds)}" if seconds >= _PATIENCE_SECONDS else ""


def _recorded(planned: PlannedRow, row: Row, tree: Tree | None = None) -> SessionRecord:
    raw = raw_entry(row.entry)
    return SessionRecord(
        key=row.key,
        session_id=row.session_id,
        offset=0,
        length=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        route=str(Route.GATEWAY),
        entry=row.entry,
        events=row.events,
        archived_before=row.archived_at is not None,
        hidden=not planned.frees,
        effects=planned.effects(TRAITS),
        modes=tree.modes if tree is not None else (),
    )
