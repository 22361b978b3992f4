"""One file store's share of a run: under its lock, planned anew, backed up, its sessions closed."""

from __future__ import annotations

import os
from functools import partial

from . import closing, commit, history, names
from .claiming import locked
from .deciding import decide_again
from .model import Plan, PlannedRow, Route, Status
from .run import Run
from .stores.files import FileStore
from .work import FileWork, note, prepare


def change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    assert isinstance(store, FileStore)
    with locked(run, agent):
        stamp = names.free_stamp(history.now(), [*_listed(store.place), *_listed(store.folder)])
        place = commit.Place(
            store.index,
            names.backup_name(os.path.basename(store.index), stamp),
            commit.unnoted,
            commit.unnoted,
            run.warn,
        )
        commit.clean(run.disk, place)
        plan = decide_again(run, agent, store.read(), stamp, first)
        run.warn(*plan.warnings)
        if plan.closing:
            _close(run, store, list(plan.closing), stamp)
        known = {row for row in first.rows if row.status is not Status.WOULD_CLOSE}
        return [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in known]


def _close(run: Run, store: FileStore, rows: list[PlannedRow], stamp: str) -> None:
    assert store.document is not None
    record = prepare(run.disk, store, rows, stamp)
    note(run, record)
    work = FileWork(store=store, rows=rows, record=record, note=partial(note, run), planned=store.document)
    run.works.append(work)
    if any(row.route is Route.GATEWAY for row in rows):
        run.tell(f"closing {len(rows)} of agent {store.agent} through the gateway; receipt {run.receipt}")
        closing.through_gateway(run.disk, work, run.gateway, run.progress, fall_back=run.options.via == "auto")
    closing.through_files(run.disk, work, run.gateway.found.life)
    work.finished = True


def _listed(folder: str) -> list[str]:
    return os.listdir(folder) if os.path.isdir(folder) else []
