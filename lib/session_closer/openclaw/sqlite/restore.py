"""One database's share of a restore: rows out of the archive by the gateway, deleted ones by OpenClaw's importer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...core.durable import SESSIONS
from ...core.errors import GatewayNeeded
from ...core.model import Life, Status
from ...journal.record import SessionRecord, StoreRecord
from ...ports.store import Ledger, Share
from ...system import files
from .. import restorable
from ..attached import modes
from ..gateway import client
from ..gateway.link import CallRefused, LinkLost, LinkRefused
from ..installation import Installation
from ..restorable import Chosen, Item
from . import importer, leftovers
from .close import again
from .store import SqliteStore

# A gateway that un-archives a thousand in a row has no worker left for its other clients.
_BREATH_SECONDS = 0.5


def restore_store(
    here: Installation, ledger: Ledger, store: SqliteStore, some: Sequence[Chosen], done: dict[tuple[str, str], Item]
) -> None:
    """Bring an agent's sessions back into its database; what became of each is read from the rows."""
    _unarchive(here, ledger, store, some, done)
    left = [one for one in some if done[store.agent, one.session.key].how == "import"]
    if left:
        _import_rows(here, ledger, store, left, done)


def _unarchive(
    here: Installation,
    ledger: Ledger,
    store: SqliteStore,
    some: Sequence[Chosen],
    done: dict[tuple[str, str], Item],
) -> None:
    """Have the gateway take sessions out of the archive: each only if it still has its session id."""
    _, items = restorable.look(here.home, store.agent, some)
    done.update({(item.agent, item.key): item for item in items})
    todo = [item for item in items if item.status is Status.WOULD_RESTORE and item.how == "unarchive"]
    if not todo:
        return
    _begin(ledger, store, _record(store, sessions=tuple(map(importer.recorded, todo))))
    refused: dict[str, CallRefused] = {}
    try:
        for number, (pinned, targets) in enumerate(_rounds(todo)):
            if number:
                here.context.clock.sleep(_BREATH_SECONDS)
            try:
                refused.update(client.show(here.gateway, targets, pinned=pinned))
            except CallRefused as problem:
                refused.update(dict.fromkeys((key for key, _ in targets), problem))
    except (LinkLost, LinkRefused) as problem:
        raise GatewayNeeded(f"the gateway stopped answering: {problem}", again(here.gateway)) from None
    finally:
        found = _judged(store, todo, refused)
        done.update(found)
    done.update({pair: modes.put_right(here, item) for pair, item in found.items() if _has_modes(item)})


def _has_modes(item: Item) -> bool:
    return bool(item.modes) and item.status is Status.RESTORED


def _rounds(items: Sequence[Item]) -> Iterator[tuple[bool, list[tuple[str, str]]]]:
    """Give targets (key, session id) as the gateway takes them, those apart that archiving has unpinned."""
    for pinned in (False, True):
        some = [item for item in items if any(one.kind == "pin" for one in item.effects) is pinned]
        for targets in client.rounds([(item.key, item.session_id or "") for item in some]):
            yield pinned, targets


def _judged(
    store: SqliteStore, todo: Sequence[Item], refused: Mapping[str, CallRefused]
) -> dict[tuple[str, str], Item]:
    """Return by the rows what became of sessions that were to be taken out of the archive."""
    now, found = store.rows([item.key for item in todo]), {}
    for item in todo:
        row = now.get(item.key)
        back = row is not None and row.session_id == item.session_id and row.archived_at is None
        why = f"the gateway refused: {refused[item.key]}" if item.key in refused else "not brought back"
        found[item.agent, item.key] = (
            item._replace(status=Status.RESTORED) if back else item._replace(status=Status.FAILED, error=why)
        )
    return found


def _record(store: SqliteStore, **more: Any) -> StoreRecord:
    return StoreRecord(store.agent, store.era, store.index, {SESSIONS: store.folder}, restores=True, **more)


def _begin(ledger: Ledger, store: SqliteStore, record: StoreRecord) -> None:
    """Note what is going to be brought back."""
    ledger.note(record)
    ledger.shares.append(Share(store=store, rows=[], record=record, note=ledger.note, hashes=ledger.hashes))


def _import_rows(
    here: Installation, ledger: Ledger, store: SqliteStore, chosen: Sequence[Chosen], done: dict[tuple[str, str], Item]
) -> None:
    """Import deleted sessions of one agent; what became of each is read from the rows."""
    _, items = restorable.look(here.home, store.agent, chosen)
    todo = [item for item in items if item.status is Status.WOULD_RESTORE and item.how == "import"]
    done.update({(item.agent, item.key): item for item in items if item.how == "import"})
    if not todo:
        return
    importer.check_transcripts(store, todo)
    index = here.home.index(store.agent)
    text = importer.index_for(store, todo)
    record = _record(
        store,
        size=len(text),
        sha256=hashlib.sha256(text).hexdigest(),
        sessions=(*_taken_back(ledger, store, done), *map(importer.recorded, todo)),
    )
    _begin(ledger, store, record)
    if here.gateway.found.life is not Life.DOWN:
        importer.stop(here, ledger)
    here.tell(f"importing {len(todo)} sessions of agent {store.agent}; receipt {ledger.receipt}")
    importer.make_folder(here.disk, store.folder)
    said = None
    try:
        for item in todo:
            importer.write_transcripts(here.disk, store, item)
        files.put(here.disk, index + importer.FRESH, text)
        here.disk.rename_new(index + importer.FRESH, index)
        here.disk.sync_folder(store.folder)
        said = importer.run_importer(here, store.agent)
    finally:
        importer.clean(here.disk, index, store, record)
        importer.judge(here, store, todo, done, said)
    back = [item.key for item in todo if done[item.agent, item.key].status is Status.RESTORED]
    taken = record.but(sessions=tuple(map(importer.recorded, todo)))
    leftovers.put_away(here, store, taken, back, ledger.started_at)


def _taken_back(ledger: Ledger, store: SqliteStore, done: Mapping[tuple[str, str], Item]) -> tuple[SessionRecord, ...]:
    """Return what the record has of a store already, as it ended: sessions that were taken out of the archive."""
    before = [session for work in ledger.shares if work.store.agent == store.agent for session in work.record.sessions]
    return tuple(session.but(status=str(done[store.agent, session.key].status)) for session in before)
