"""One SQLite store's share of a run: its rows recorded, archived, deleted by the gateway, and looked at again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ...core.errors import GatewayNeeded
from ...core.model import Plan, PlannedRow, Route, Status
from ...core.planning import effects_of
from ...journal.record import Kept, SessionRecord, StoreRecord, raw_entry
from ...operations.decide import decide_again
from ...operations.hold import locked
from ...operations.run import Run
from ...operations.work import Work, note
from ..attached import attachments, jobs, kept
from ..gateway import client as sessions
from ..gateway.link import LinkLost, LinkRefused
from . import close
from .store import Row, SqliteStore, all_archives

if TYPE_CHECKING:
    from ..attached.worktrees import Tree


def change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    assert isinstance(store, SqliteStore)
    with locked(run, agent):
        # A run may have begun since the first look, and archiving would end it.
        run.view = sessions.view(run.gateway, run.wish.agents(), by_command=True)
        plan = decide_again(run, agent, store.read(), "", first)
        run.warn(*plan.warnings)
        rows = list(plan.closing)
        found = store.rows([row.key for row in rows])
        gone = [row for row in rows if row.key not in found]
        rows = [row for row in rows if row.key in found]
        if rows:
            _close(run, store, rows, found)
        changed = [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in first.rows]
        return [*changed, *(row._replace(status=Status.ALREADY_CLOSED) for row in gone)]


def _close(run: Run, store: SqliteStore, rows: list[PlannedRow], found: dict[str, Row]) -> None:
    record = StoreRecord(
        agent=store.agent,
        era=store.era,
        path=store.index,
        transcripts=store.folder,
        sessions=tuple(_recorded(row, found[row.key], run.trees.get((row.agent, row.key))) for row in rows),
    )
    note(run, record)
    work = Work(store=store, rows=rows, record=record, note=partial(note, run))
    run.works.append(work)
    word = "closing" if all(row.frees for row in rows) else "archiving"
    run.tell(f"{word} {len(rows)} of agent {store.agent} through the gateway; receipt {run.receipt}")
    ids = [session.session_id for session in record.sessions if session.session_id]
    before = frozenset(name for found in all_archives(store, ids).values() for name in found)
    lost: Exception | None = None
    pending = True
    try:
        archived = close.archive(work, store, run.gateway)
        jobs.switch_off(run, work, {row.key for row in archived})
        switched = {row.key: row for row in work.rows}
        archived = [switched[row.key] for row in archived]
        freed = [row for row in archived if row.frees]
        keep = partial(_kept, run, store.agent)
        close.delete(work, run.gateway, freed, run.progress, keep=keep, until=run.free_by)
        pending = False
    except (LinkLost, LinkRefused) as problem:
        lost = problem
    finally:
        # Also where a signal ends the run: the record says which keys are done.
        close.judge(work, store, before, pending=pending)
        jobs.give_back(run, work)
        work.finished = True
        note(run, close.settled(work))
    if lost is None:
        try:
            close.check_lists(work, run.gateway)
        except (LinkLost, LinkRefused) as problem:
            lost = problem
    if lost is not None:
        raise GatewayNeeded(f"the gateway stopped answering: {lost}", close.again(run.gateway))


def _kept(run: Run, agent: str, sessions: Sequence[tuple[str, str | None]]) -> Kept | None:
    """Keep what goes with sessions beside the receipt of the run."""
    assert run.record is not None
    return kept.keep(run.disk, run.home, run.record.id, agent, attachments.words(sessions))


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
        effects=effects_of(planned, "sqlite"),
        modes=tree.modes if tree is not None else (),
    )
