"""One database's share of a restore: rows out of the archive by the gateway, deleted ones by OpenClaw's importer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.actions import How
from ...core.durable import SESSIONS
from ...core.errors import GatewayNeeded
from ...core.status import Life, Status
from ...journal.record import SessionRecord, StoreRecord
from ...journal.source import Chosen
from ...ports.share import Share
from ...ports.store import Ledger
from ...ports.undo import Item, Returns
from ...system import files
from .. import from_bundle
from ..attached import modes
from ..gateway import client, connection, service
from ..gateway.connection import Gateway
from ..gateway.link import CallRefused, LinkLost, LinkRefused
from ..installation import Installation
from ..undo import make_folder, recorded
from . import importer, leftovers, returnable
from .store import SqliteStore


def restore_store(
    here: Installation, ledger: Ledger, store: SqliteStore, some: Sequence[Chosen], returns: Returns
) -> None:
    """Bring an agent's sessions back into its database; what became of each is read from the rows."""
    items = returnable.look(here.home, store, some)
    returns.decide(items)
    _unarchive(here, ledger, store, _away(items, How.ARCHIVE), returns)
    deleted = {item.key for item in items if item.put_away is How.DELETE}
    left = [one for one in some if one.name in deleted]
    if left:
        wanted = _away(items, How.DELETE)
        with from_bundle.put_down_meanwhile(here.disk, store.folder, wanted, some[0].source.copies):
            _import_rows(here, ledger, store, left, returns)


def _away(items: Sequence[Item], how: How) -> list[Item]:
    """Return those that are to be brought back and were put away so."""
    return [item for item in items if item.is_wanted and item.put_away is how]


def _unarchive(here: Installation, ledger: Ledger, store: SqliteStore, todo: Sequence[Item], returns: Returns) -> None:
    """Have the gateway take sessions out of the archive: each only if it still has its session id."""
    if not todo:
        return
    _begin(ledger, store, _record(store, sessions=tuple(map(recorded, todo))))
    refused: dict[str, CallRefused] = {}
    try:
        asked = 0
        for pinned, targets in _rounds(here.gateway, todo):
            if asked:
                client.give_way(here.gateway, store.agent)
            here.context.console.watch(asked, len(todo))
            asked += len(targets)
            try:
                refused.update(client.show(here.gateway, targets, pinned=pinned))
            except CallRefused as problem:
                refused.update(dict.fromkeys((key for key, _ in targets), problem))
    except (LinkLost, LinkRefused) as problem:
        raise GatewayNeeded(f"the gateway stopped answering: {problem}", connection.again(here.gateway)) from None
    finally:
        here.context.console.watch(len(todo), len(todo))
        _judge(store, todo, refused, returns)
    for item in returns.of(store.agent):
        if item.modes and item.status is Status.RESTORED:
            returns.amiss(item, modes.put_right(here, item))


def _rounds(gateway: Gateway, items: Sequence[Item]) -> Iterator[tuple[bool, list[tuple[str, str]]]]:
    """Give targets (key, session id) as the gateway takes them, those apart that archiving has unpinned."""
    for pinned in (False, True):
        some = [item for item in items if any(one.kind == "pin" for one in item.effects) is pinned]
        for targets in client.rounds(gateway, [(item.key, item.session_id or "") for item in some]):
            yield pinned, targets


def _judge(store: SqliteStore, todo: Sequence[Item], refused: Mapping[str, CallRefused], returns: Returns) -> None:
    """Decide by the rows what became of sessions that were to be taken out of the archive."""
    now = store.rows([item.key for item in todo])
    for item in todo:
        row = now.get(item.key)
        if row is not None and row.session_id == item.session_id and row.archived_at is None:
            returns.back(item)
        else:
            why = f"the gateway refused: {refused[item.key]}" if item.key in refused else "not brought back"
            returns.failed(item, why)


def _record(store: SqliteStore, **more: Any) -> StoreRecord:
    return StoreRecord(store.agent, store.era, store.index, {SESSIONS: store.folder}, restores=True, **more)


def _begin(ledger: Ledger, store: SqliteStore, record: StoreRecord) -> None:
    """Note what is going to be brought back."""
    ledger.note(record)
    ledger.shares.append(Share(store=store, rows=[], record=record, note=ledger.note, hashes=ledger.hashes))


def _import_rows(
    here: Installation, ledger: Ledger, store: SqliteStore, chosen: Sequence[Chosen], returns: Returns
) -> None:
    """Import deleted sessions of one agent; what became of each is read from the rows."""
    items = [item for item in returnable.look(here.home, store, chosen) if item.put_away is How.DELETE]
    returns.decide(items)
    todo = _away(items, How.DELETE)
    if not todo:
        return
    importer.check_transcripts(store, todo)
    text = importer.index_for(store, todo)
    taken = tuple(map(recorded, todo))
    record = _record(
        store,
        size=len(text),
        sha256=hashlib.sha256(text).hexdigest(),
        sessions=(*_taken_back(ledger, store, returns), *taken),
    )
    _begin(ledger, store, record)
    if here.gateway.found.life is not Life.DOWN:
        service.stop(here, ledger)
    here.tell(f"importing {len(todo)} of agent {store.agent}; receipt {ledger.receipt}")
    make_folder(here.disk, store.folder)
    said = None
    try:
        _write_for_importer(here, store, todo, text)
        said = importer.run_importer(here, store.agent)
    finally:
        importer.await_end(here, store.agent)
        importer.clean(here.disk, here.home.index(store.agent), store, record)
        importer.judge(here, store, todo, returns, said)
    back = {item.key for item in returns.of(store.agent) if item.status is Status.RESTORED}
    leftovers.put_away(here, store, record.but(sessions=taken), back, ledger.started_at)


def _write_for_importer(here: Installation, store: SqliteStore, todo: Sequence[Item], text: bytes) -> None:
    """Put transcripts, and then the index that names them, where the importer looks."""
    index = here.home.index(store.agent)
    for item in todo:
        importer.write_transcripts(here.disk, store, item)
    files.put(here.disk, index + importer.FRESH, text)
    here.disk.rename_new(index + importer.FRESH, index)
    here.disk.sync_folder(store.folder)


def _taken_back(ledger: Ledger, store: SqliteStore, returns: Returns) -> tuple[SessionRecord, ...]:
    """Return what the record has of a store already, as it ended: sessions that were taken out of the archive."""
    ended = {item.key: str(item.status) for item in returns.of(store.agent)}
    before = [session for work in ledger.shares if work.store.agent == store.agent for session in work.record.sessions]
    return tuple(session.but(status=ended[session.key]) for session in before)
