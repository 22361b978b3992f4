"""One file store's share of a run: under its lock, planned anew, backed up, its sessions closed."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

from ...core import names
from ...core.errors import GatewayNeeded, Refused
from ...core.model import Life, Plan, PlannedRow, Route, Snapshot, Status
from ...journal import history
from ...operations.decide import decide_again
from ...operations.hold import locked
from ...operations.run import Run
from ...operations.work import FileWork, note, note_first, prepare
from ...system.files import listed
from ..attached import attachments, kept, rebinding
from ..gateway.find import find
from ..sqlite.close import again
from . import close, commit, neighbours
from .store import FileStore


def change_store(run: Run, agent: str, first: Plan) -> list[PlannedRow]:
    """Close one agent's sessions; return the rows that were decided otherwise under the lock."""
    store = run.stores[agent]
    assert isinstance(store, FileStore)
    with locked(run, agent):
        stamp = names.free_stamp(history.now(), [*listed(store.place), *listed(store.folder)])
        place = commit.Place(
            store.index,
            names.backup_name(os.path.basename(store.index), stamp),
            commit.unnoted,
            commit.unnoted,
            run.warn,
        )
        commit.clean(run.disk, place)
        plan, stamp = _decided(run, agent, store.read(), stamp, first)
        run.warn(*plan.warnings)
        if plan.closing:
            _close(run, store, list(plan.closing), stamp)
        known = {row for row in first.rows if row.status is not Status.WOULD_CLOSE}
        return [row for row in plan.rows if row.status is not Status.WOULD_CLOSE and row not in known]


def _decided(run: Run, agent: str, snapshot: Snapshot, stamp: str, first: Plan) -> tuple[Plan, str]:
    """Return the plan that is carried out, and its stamp: the first one where all it was made of is still the same."""
    # A database in the same run has the gateway asked anew; what a receipt says of an absent name may be news.
    settled = all(store.era == "files" for store in run.stores.values()) and not any(
        row.status in (Status.NOT_FOUND, Status.ALREADY_CLOSED) for row in first.rows
    )
    if settled and snapshot == run.snapshots[agent] and neighbours.as_before(run, agent):
        return replace(first, rows=tuple(row for row in first.closing if row.agent == agent)), run.stamp
    return decide_again(run, agent, snapshot, stamp, first), stamp


def _close(run: Run, store: FileStore, rows: list[PlannedRow], stamp: str) -> None:
    assert store.document is not None
    record = prepare(run, store, rows, stamp)
    note_first(run, record)
    lent = partial(neighbours.claims, run, store.agent)
    work = FileWork(store=store, rows=rows, record=record, note=partial(note, run), planned=store.document, lent=lent)
    run.works.append(work)
    if any(row.route is Route.GATEWAY for row in rows):
        _keep_bindings(run, work)
        run.tell(f"closing {len(rows)} of agent {store.agent} through the gateway; receipt {run.receipt}")
        fall_back = run.options.via == "auto" and run.gateway.can_restart
        lost = close.through_gateway(run.disk, work, run.gateway, run.progress, fall_back=fall_back)
        if lost:
            # What a URL names leaves no traces here that could be gone.
            if run.home.url is None:
                run.gateway.found = find(run.home)
            if run.options.via != "auto" or run.gateway.found.life is not Life.DOWN:
                raise GatewayNeeded(f"the gateway stopped answering: {lost}", again(run.gateway))
            close.to_files(work)
    close.through_files(run.disk, work, run.gateway.found.life)
    work.finished = True


def _keep_bindings(run: Run, work: FileWork) -> None:
    """Keep the chat bindings that the gateway removes along with its sessions; a warning where they cannot be read."""
    rows = [row for row in work.rows if row.route is Route.GATEWAY and row.session is not None]
    bound = [row for row in rows if any(one.kind == rebinding.KIND for one in row.attached)]
    if not bound:
        return
    assert run.record is not None
    owners = attachments.words((row.key, None) for row in bound)
    try:
        found = kept.keep(run.disk, run.home, run.record.id, work.store.agent, owners)
    except Refused as problem:
        run.warn(f"the chat bindings that go along are not kept: {problem.message}")
        return
    if found is not None:
        work.record = replace(work.record, kept=(*work.record.kept, found))
        work.note(work.record)
