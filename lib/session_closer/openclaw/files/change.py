"""One file store's share of a run: under its lock, planned anew, backed up, its sessions closed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...core.errors import GatewayNeeded, Refused
from ...core.model import PlannedRow
from ...core.status import Life, Route
from ..gateway import connection
from ..gateway.find import find
from . import close as closing
from .share import FileShare, prepare

if TYPE_CHECKING:
    from ...artifacts.measuring import Hash
    from ...ports.store import Ledger
    from ..installation import Installation
    from .store import FileStore


def take_out(
    here: Installation, ledger: Ledger, store: FileStore, rows: list[PlannedRow], *, stamp: str, made: Hash | None
) -> None:
    """Take a store's sessions out and put their files away; `made`: the hash of what was read."""
    assert store.document is not None
    record = prepare(here.disk, store, rows, stamp, made=made, hashes=ledger.hashes)
    ledger.note_first(record)
    lent = partial(here.neighbours.claims, store.agent)
    share = FileShare(
        store=store,
        rows=rows,
        record=record,
        note=ledger.note,
        hashes=ledger.hashes,
        whole=ledger.whole,
        clock=here.context.clock,
        planned=store.document,
        lent=lent,
        watch=here.context.console.watch,
    )
    ledger.shares.append(share)
    if any(row.route is Route.GATEWAY for row in rows):
        _keep_bindings(here, ledger, share)
        here.tell(f"closing {len(rows)} of agent {store.agent} through the gateway; receipt {ledger.receipt}")
        fall_back = here.options.via == "auto" and here.gateway.can_restart
        lost = closing.through_gateway(
            here.disk, share, here.gateway, here.context.console.progress, fall_back=fall_back
        )
        if lost:
            # What a URL names leaves no traces here that could be gone.
            if here.home.url is None:
                here.gateway.found = find(here.home)
            if here.options.via != "auto" or here.gateway.found.life is not Life.DOWN:
                raise GatewayNeeded(f"the gateway stopped answering: {lost}", connection.again(here.gateway))
            closing.to_files(share)
    closing.through_files(here.disk, share, here.gateway.found.life)
    share.finished = True
    share.forget()
    # What is attached to a session may have to be noted later.
    if not any(row.attached for row in share.rows):
        ledger.rest(share)


def _keep_bindings(here: Installation, ledger: Ledger, share: FileShare) -> None:
    """Keep the chat bindings that the gateway removes along with its sessions; a warning where they cannot be read."""
    from ..attached import bindings, kept  # only a gateway removes them

    rows = [row for row in share.rows if row.route is Route.GATEWAY and row.session is not None]
    bound = [row for row in rows if any(one.kind == bindings.KIND for one in row.attached)]
    if not bound:
        return
    try:
        found = kept.keep(here, ledger.id, share.store.agent, ((row.key, None) for row in bound))
    except Refused as problem:
        here.warn(f"the chat bindings that go along are not kept: {problem.message}")
        return
    if found is not None:
        share.record = share.record.but(kept=(*share.record.kept, found))
        share.note(share.record)
