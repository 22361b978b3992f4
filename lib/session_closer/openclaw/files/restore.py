"""One file store's share of a restore: files to their live names, then entries into the index."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...artifacts import engine
from ...artifacts.engine import Became
from ...core import names
from ...core.claims import user_of
from ...core.durable import SESSIONS
from ...core.errors import CloserError
from ...core.model import Life, Status
from ...journal.record import Kept, StoreRecord
from ...ports.store import Ledger, Readable, Share
from ...system import files
from .. import from_backup, restorable
from ..installation import Installation
from ..restorable import Chosen, Item
from ..sqlite import importer
from . import commit, document
from .lock import store_lock
from .members import Document
from .share import FileShare, install
from .store import FileStore, check, parse, read_index

_SETTLE_SECONDS = 1.0
_ATTEMPTS = 20


def restore_store(
    here: Installation,
    ledger: Ledger,
    agent: str,
    some: Sequence[Chosen],
    done: dict[tuple[str, str], Item],
) -> None:
    """Bring an agent's sessions back into its `sessions.json`: their files first (I6), then their entries."""
    if is_lost(here.stores[agent], some):
        _begin_anew(here, here.stores[agent])
    store, items = restorable.look(here.home, agent, some)
    assert isinstance(store, FileStore)
    assert store.document is not None
    done.update({(agent, item.key): item for item in items})
    stamp = names.free_stamp(here.context.clock.now(), os.listdir(store.place))
    name = names.backup_name(os.path.basename(store.index), stamp)
    commit.clean(here.disk, commit.Place(store.index, name, commit.unnoted, commit.unnoted, here.warn))
    todo = [item for item in items if item.status is Status.WOULD_RESTORE]
    if not todo:
        return
    if any("/" not in move.source for item in todo for move in item.moves):
        importer.make_folder(here.disk, store.folder)
    orphans = [item for item in todo if item.how == "orphan"]
    todo = [item for item in todo if item.how != "orphan"]
    record = _prepare(here, store, todo, orphans, name).but(kept=_kept(some))
    ledger.note_first(record)
    share = FileShare(
        store=store, rows=[], record=record, note=ledger.note, hashes=ledger.hashes, planned=store.document
    )
    ledger.shares.append(share)
    with _root(here, store) as root:
        for item in orphans:
            if _files_back(root, item, done):
                done[agent, item.key] = item._replace(status=Status.RESTORED)
        back = [item for item in todo if _files_back(root, item, done)]
    if back:
        _entries_back(here, share, back, done, {restorable.name_of(one.session): one for one in some})


def _prepare(
    here: Installation, store: FileStore, items: Sequence[Item], orphans: Sequence[Item], backup: str
) -> StoreRecord:
    """Back up a store that is to get entries, and return the record of what is going to happen to it."""
    assert store.document is not None
    record = StoreRecord(
        store.agent,
        store.era,
        store.index,
        {SESSIONS: store.folder},
        sessions=tuple(map(importer.recorded, items)),
        restores=True,
        orphans=tuple(move for item in orphans for move in item.moves),
    )
    if not items:
        return record
    raw = store.document.raw
    made = commit.publish_backup(here.disk, store.index, raw, backup)
    return record.but(backup=made, size=len(raw), sha256=hashlib.sha256(raw).hexdigest())


def _kept(some: Sequence[Chosen]) -> tuple[Kept, ...]:
    """Return what the closes have kept, so that an interrupted restore can be finished with it."""
    return tuple(dict.fromkeys(kept for one in some for kept in one.store.kept))


def is_lost(store: Readable, some: Sequence[Chosen]) -> bool:
    """Tell whether an index that holds no sessions any more is to be begun anew."""
    is_told = some[0].run.operation in from_backup.ANEW
    return is_told and isinstance(store, FileStore) and from_backup.lost(store.index) is not None


def _begin_anew(here: Installation, store: Readable) -> None:
    """Put an empty index where there is none that can be read; what is there gets another name, and stays."""
    disk, index = here.disk, store.index
    with store_lock(disk, index, clock=here.context.clock):
        why = from_backup.lost(index)
        if why is None:
            return
        there, fresh = files.exists(index), index + names.FRESH
        files.remove(disk, [fresh])
        files.put(disk, fresh, b"{}\n", like=index if there else None)
        said = f"{index} {why}: a new one was begun"
        try:
            if there:
                stamp = names.free_stamp(here.context.clock.now(), os.listdir(store.place))
                aside = os.path.join(store.place, names.aside_name(os.path.basename(index), stamp))
                disk.rename_new(index, aside)
                said += f", what was there is kept as {aside}"
            disk.rename_new(fresh, index)
        except FileExistsError:
            # Somebody has written one in this moment.
            files.remove(disk, [fresh])
        disk.sync_folder(store.place)
    here.warn(said)


def _root(here: Installation, store: FileStore) -> engine.Root:
    """Return a store's folder; a file that a session uses by the moment it would be put away again stays."""

    def is_used(name: str) -> bool:
        return user_of(name, here.neighbours.users(store.agent)) is not None

    return engine.Root(here.disk, store.folder, is_used=is_used)


def _files_back(root: engine.Root, item: Item, done: dict[tuple[str, str], Item]) -> bool:
    """Rename one session's archives to their live names; where one cannot be, none is."""
    conflict = root.bring_back(item.moves)
    if conflict is None:
        return True
    became, move = conflict
    problem = f"{move.source} is there again" if became is Became.TAKEN else f"{move.target} is gone"
    done[item.agent, item.key] = item._replace(status=Status.CONFLICT, error=problem)
    return False


def _entries_back(
    here: Installation,
    share: FileShare,
    items: Sequence[Item],
    done: dict[tuple[str, str], Item],
    closed_in: Mapping[str, Chosen],
) -> None:
    store = share.store
    settle = _SETTLE_SECONDS if here.gateway.found.life is not Life.DOWN else 0.0
    with store_lock(here.disk, store.index, clock=here.context.clock) as lock:
        for _ in range(_ATTEMPTS):
            live = parse(read_index(store.index)[0], store.index, store.agent)
            absent = [item for item in items if item.key not in live.members]
            if not absent:
                break
            new = _with_entries(live, absent, closed_in, share.warnings.append)
            share.record = share.record.but(installs=hashlib.sha256(new.raw).hexdigest())
            share.note(share.record)
            install(here.disk, share, live, new, lock)
            share.edited = True
            if settle:
                here.context.clock.sleep(settle)
        live = parse(read_index(store.index)[0], store.index, store.agent)
        with _root(here, store) as root:
            for item in items:
                member = live.members.get(item.key)
                if member is not None and member.row.session_id == item.session_id:
                    done[item.agent, item.key] = item._replace(status=Status.RESTORED)
                    continue
                # Another session of this run that shares a file may have put it away already.
                for move in item.moves:
                    root.put_away(move)
                why = "it was written away again" if member is None else "the key was taken into use in this moment"
                done[item.agent, item.key] = item._replace(status=Status.CONFLICT, error=why)


def _with_entries(
    live: Document[Any], items: Sequence[Item], closed_in: Mapping[str, Chosen], warn: Callable[[str], None]
) -> Document[Any]:
    """Return the store with the entries: where they were if nothing else has changed since, else at the end."""
    recorded = {one.at: one.store for one in closed_in.values()}
    # What was closed last was closed in a store without the rest.
    for at, store in sorted(recorded.items(), reverse=True):
        some = [item for item in items if closed_in[item.key].at == at]
        if some:
            live = check(_where_they_were(live, some, store, warn) or _at_the_end(live, some), store.path)
    return live


def _at_the_end(live: Document[Any], items: Sequence[Item]) -> bytes:
    return document.edit(live, append=[item.entry.encode("utf-8") for item in items])


def _where_they_were(
    live: Document[Any], items: Sequence[Item], closed_in: StoreRecord, warn: Callable[[str], None]
) -> bytes | None:
    """Return the store that they were taken out of, without what is still gone; None if anything else is new in it.

    None, too, where no backup is of that store.
    """
    if closed_in.backup is None:
        return None
    path = os.path.join(os.path.dirname(closed_in.path), closed_in.backup)
    try:
        before = parse(read_index(path)[0], path, closed_in.agent)
    except CloserError as problem:
        warn(f"where the entries were is not known, so they are at the end of {closed_in.path}: {problem.message}")
        return None
    gone = set(before.members) - set(live.members)
    # In an empty one there is nothing else.
    if live.members and document.edit(before, remove=gone) != live.raw:
        return None
    return document.edit(before, remove=gone - {item.key for item in items})


def look_again(shares: Sequence[Share], done: dict[tuple[str, str], Item]) -> None:
    """Look whether a gateway that was restarted has kept what was brought back."""
    for share in shares:
        if not (isinstance(share, FileShare) and share.edited):
            continue
        live = parse(read_index(share.store.index)[0], share.store.index, share.store.agent)
        for (agent, key), item in done.items():
            if item.how == "orphan" or agent != share.store.agent:
                continue
            if item.status is Status.RESTORED and key not in live.members:
                why = "it was brought back, and the gateway has written it away since: bring it back again"
                done[agent, key] = item._replace(status=Status.FAILED, error=why)
