"""One file store's share of a restore: files to their live names, then entries into the index."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ...artifacts import engine, measuring
from ...artifacts.engine import Became
from ...core import names
from ...core.claims import user_of
from ...core.durable import SESSIONS
from ...core.errors import CloserError, CorruptStore
from ...core.model import Session
from ...core.status import Life, Status
from ...core.tuples import NamedTuple
from ...journal.record import Kept, StoreRecord
from ...journal.source import Chosen
from ...ports.store import Ledger
from ...ports.undo import Item, Returns
from ...system import pieces
from .. import from_bundle
from ..installation import Installation
from ..undo import bytes_at, make_folder, recorded
from . import commit, document, returnable
from .index import begin_anew, lost
from .lock import store_lock
from .members import Document
from .share import FileShare, install
from .store import FileStore, check, parse, read_index

_SETTLE_SECONDS = 1.0
_ATTEMPTS = 20
_OUT_AGAIN = "it was brought back, and is out of the store again, as a gateway writes it: bring it back again"


def restore_store(
    here: Installation,
    ledger: Ledger,
    store: FileStore,
    some: Sequence[Chosen],
    returns: Returns,
    *,
    before: returnable.Before | None,
) -> None:
    """Bring an agent's sessions back into its `sessions.json`: their files first (I6), then their entries.

    `before`: what the look ahead of the lock has come to.
    """
    disk, clock = here.disk, here.context.clock
    if returnable.begins(some) and lost(store.index) is not None and (said := begin_anew(disk, store.index, clock)):
        here.warn(said)
    live, items, _ = returnable.look(here.home, store, some, before)
    returns.decide(items)
    stamp = names.free_stamp(clock.now(), os.listdir(store.place))
    name = names.backup_name(os.path.basename(store.index), stamp)
    commit.clean(here.disk, commit.Place(store.index, name, commit.unnoted, commit.unnoted, here.warn))
    todo = [item for item in items if item.is_wanted]
    if not todo:
        return
    if any("/" not in move.source for item in todo for move in item.moves):
        make_folder(here.disk, store.folder)
    warnings: list[str] = []
    planned = _planned(live, todo, some, warnings.append)
    record = _prepare(here, store, live, todo, name)
    record = record.but(kept=_kept(some), installs=planned.new.sha256 if planned.new is not None else "")
    ledger.note_first(record)
    share = FileShare(store=store, rows=[], record=record, note=ledger.note, hashes=ledger.hashes, planned=live)
    share.warnings = warnings
    ledger.shares.append(share)
    from_bundle.put_down(disk, store.folder, todo, some[0].source.copies)
    back = _all_files_back(here, store, todo, returns)
    if back:
        _entries_back(here, share, back, returns, planned)
    share.forget()
    ledger.rest(share)


class _Planned(NamedTuple):
    """The store with the entries of these keys, and what says where they were: if nobody writes meanwhile."""

    keys: tuple[str, ...]
    new: _New | None
    some: Sequence[Chosen]


class _New(NamedTuple):
    """A store as it is to be installed, and its sha256."""

    document: Document[Any]
    sha256: str


def _planned(
    live: Document[Session], todo: Sequence[Item], some: Sequence[Chosen], warn: Callable[[str], None]
) -> _Planned:
    absent = [item for item in todo if not item.lone and item.key not in live.members]
    new = _with_entries(live, absent, some, warn) if absent else None
    return _Planned(tuple(item.key for item in absent), new, some)


def _prepare(
    here: Installation, store: FileStore, live: Document[Session], todo: Sequence[Item], backup: str
) -> StoreRecord:
    """Back up a store that is to get entries, and return the record of what is going to happen to it."""
    source = _source(todo)
    sessions = tuple(recorded(_held(store, item, source)) for item in todo if not item.lone)
    record = StoreRecord(
        store.agent,
        store.era,
        store.index,
        {SESSIONS: store.folder},
        sessions=sessions,
        restores=True,
        orphans=tuple(move for item in todo if item.lone for move in item.moves),
        entries_in=source,
    )
    if not sessions:
        return record
    made = commit.publish_backup(here.disk, store.index, live.raw, backup)
    return record.but(backup=made, size=len(live.raw), sha256=hashlib.sha256(live.raw).hexdigest())


def _source(todo: Sequence[Item]) -> str:
    """Return the backup that has most of the entries: a record names one."""
    backups = Counter(item.span.backup for item in todo if item.span is not None)
    return backups.most_common(1)[0][0] if backups else ""


def _held(store: FileStore, item: Item, source: str) -> Item:
    """Return an item with its entry where that is in another backup than this one."""
    if item.span is None or item.span.backup == source:
        return item
    return item.but(entry=bytes_at(store.index, item.span).decode("utf-8"), span=None)


def _kept(some: Sequence[Chosen]) -> tuple[Kept, ...]:
    """Return what the closes have kept, so that an interrupted restore can be finished with it."""
    return tuple(dict.fromkeys(kept for one in some for kept in one.store.kept))


def _root(here: Installation, store: FileStore) -> engine.Root:
    """Return a store's folder; a file that a session uses by the moment it would be put away again stays."""

    def is_used(name: str) -> bool:
        return user_of(name, here.neighbours.users(store.agent)) is not None

    return engine.Root(here.disk, store.folder, is_used=is_used)


def _all_files_back(here: Installation, store: FileStore, todo: Sequence[Item], returns: Returns) -> list[Item]:
    """Give files their live names, those without a session first; return the sessions that have theirs."""
    back, lone = [], [item for item in todo if item.lone]
    with _root(here, store) as root:
        for at, item in enumerate((*lone, *(item for item in todo if not item.lone))):
            here.context.console.watch(at, len(todo))
            if not _files_back(root, item, returns):
                continue
            if item.lone:
                returns.back(item)
            else:
                back.append(item)
    here.context.console.watch(len(todo), len(todo))
    return back


def _files_back(root: engine.Root, item: Item, returns: Returns) -> bool:
    """Rename one session's archives to their live names; where one cannot be, none is."""
    conflict = root.bring_back(item.moves)
    if conflict is None:
        return True
    became, move = conflict
    why = {Became.TAKEN: f"{move.source} is there again", Became.GONE: f"{move.target} is gone"}.get(became)
    returns.conflict(item, why or f"{move.target} cannot be moved ({root.stuck.get(move.source)})")
    return False


def _entries_back(
    here: Installation,
    share: FileShare,
    items: Sequence[Item],
    returns: Returns,
    planned: _Planned,
) -> None:
    store, live = share.store, share.planned
    settle = _SETTLE_SECONDS if here.gateway.found.life is not Life.DOWN else 0.0
    with store_lock(here.disk, store.index, clock=here.context.clock) as lock:
        for attempt in range(_ATTEMPTS + 1):
            share.checked = measuring.stamp(store.index)
            live = _now(store, live)
            absent = [item for item in items if item.key not in live.members]
            if not absent or attempt == _ATTEMPTS:
                break
            new = planned.new
            if new is None or live is not share.planned or planned.keys != tuple(item.key for item in absent):
                new = _with_entries(live, absent, planned.some, share.warnings.append)
                share.record = share.record.but(installs=new.sha256)
                share.note(share.record)
            install(here.disk, share, live, new.document, lock)
            share.edited, live = True, new.document
            if settle:
                here.context.clock.sleep(settle)
        with _root(here, store) as root:
            out = {item.key: item for item in items if not _is_in(live, item)}
            returns.all_back(store.agent, [item.key for item in items if item.key not in out])
            for item in out.values():
                # Another session of this run that shares a file may have put it away already.
                for move in item.moves:
                    root.put_away(move)
                is_taken = item.key in live.members
                why = "the key was taken into use in this moment" if is_taken else "it was written away again"
                returns.conflict(item, why)


def _is_in(live: Document[Any], item: Item) -> bool:
    """Tell whether a store has a session again."""
    member = live.members.get(item.key)
    # What was read of a backup has no rows: it is what was brought back.
    return member is not None and (member.row is None or member.row.session_id == item.session_id)


def _now(store: FileStore, known: Document[Any]) -> Document[Any]:
    """Return a store as it is now; the bytes that are known need no second scan."""
    return known if measuring.holds(store.index, known.raw) else _read(store)


def _read(store: FileStore) -> Document[Session]:
    return parse(read_index(store.index)[0], store.index, store.agent)


def _with_entries(
    live: Document[Any], items: Sequence[Item], some: Sequence[Chosen], warn: Callable[[str], None]
) -> _New:
    """Return the store with the entries: where they were if nothing else has changed since, else at the end.

    Refused where a backup does not have them any more.
    """
    recorded = {one.at: one.store for one in some}
    closed_in = {one.name: one.at for one in some} if len(recorded) > 1 else {}
    new = _New(live, "")
    # What was closed last was closed in a store without the rest.
    for at, store in sorted(recorded.items(), reverse=True):
        own = [item for item in items if closed_in.get(item.key, at) == at]
        if own:
            new = _where_they_were(new.document, own, store, warn) or _at_the_end(new.document, own, store)
    return new


def _hashed(new: Document[Any]) -> _New:
    return _New(new, hashlib.sha256(new.raw).hexdigest())


def _at_the_end(live: Document[Any], items: Sequence[Item], closed_in: StoreRecord) -> _New:
    with pieces.Pieces() as held:
        entries = [
            item.entry.encode("utf-8") if item.span is None else bytes_at(closed_in.path, item.span, held)
            for item in items
        ]
    return _hashed(parse(document.edit(live, append=entries), closed_in.path, closed_in.agent))


def _where_they_were(
    live: Document[Any], items: Sequence[Item], closed_in: StoreRecord, warn: Callable[[str], None]
) -> _New | None:
    """Return the store that they were taken out of, without what is still gone; None if anything else is new in it.

    None, too, where no backup is of that store.
    """
    if closed_in.backup is None:
        return None
    path = os.path.join(os.path.dirname(closed_in.path), closed_in.backup)
    try:
        raw = read_index(path)[0]
        made = measuring.Hash(raw)
        before = check(raw, path)
        if made.hexdigest() != closed_in.sha256:
            raise CorruptStore(f"{path} is not what it was", "")
    except CloserError as problem:
        warn(f"where the entries were is not known, so they are at the end of {closed_in.path}: {problem.message}")
        return None
    gone = before.members.keys() - live.members.keys()
    # In an empty one there is nothing else.
    if live.members and document.edit(before, remove=gone) != live.raw:
        return None
    gone.difference_update(item.key for item in items)
    # Of a large store one text is enough.
    return _hashed(document.without(before, gone)) if gone else _New(before, closed_in.sha256)


def look_again(share: FileShare, returns: Returns) -> None:
    """Note what a gateway that was restarted, or who else writes the store, has not kept of what was brought back."""
    if not share.edited or measuring.stamp(share.store.index) == share.checked:
        return
    live = _read(share.store)
    for item in returns.of(share.store.agent):
        if not item.lone and item.status is Status.RESTORED and item.key not in live.members:
            returns.failed(item, _OUT_AGAIN)
