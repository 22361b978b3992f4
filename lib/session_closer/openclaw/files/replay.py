"""A commit of a file store that a kill cut short: what others wrote meanwhile is in the store once it is replayed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

from ...core.errors import Refused
from ...core.model import Session
from ...journal.record import Damaged, SessionRecord, StoreRecord
from ...system import files, pieces
from ...system.disk import Disk
from . import commit, document
from .lock import StoreLock
from .members import Document
from .store import check, parse, read_index


def backup(store: StoreRecord) -> Document[Session]:
    """Return the store as it was before the commit; raise Damaged where its backup is not what it was."""
    assert store.backup is not None
    path = os.path.join(os.path.dirname(store.path), store.backup)
    try:
        raw, _ = files.read(path, document.MAX_BYTES)
    except OSError as problem:
        if not files.is_no_file(problem):
            raise
        raise Damaged(f"its backup {path} cannot be read: {problem.strerror}") from None
    if len(raw) != store.size or hashlib.sha256(raw).hexdigest() != store.sha256:
        raise Damaged(f"its backup {path} is not what it was")
    return parse(raw, path, store.agent)


def finish(
    disk: Disk,
    store: StoreRecord,
    before: Document[Session],
    lock: StoreLock,
    note: Callable[[StoreRecord], None],
) -> StoreRecord:
    """Bring what others wrote during the commit into the store: it may be in no other place; return the record then."""

    def displaced(name: str) -> None:
        nonlocal store
        # Noted before the rename: killed in between, it gets the same name again.
        if name not in store.displaced:
            store = store.but(displaced=(*store.displaced, name))
            note(store)

    def merged() -> None:
        nonlocal store
        store = store.but(merged=len(store.displaced))
        note(store)

    assert store.backup is not None
    place = commit.Place(store.path, store.backup, displaced, merged, lambda _: None)
    files.remove(disk, [place.fresh])
    _settle_swap(disk, place, store, before)
    if store.merged == len(store.displaced):
        return store
    steps = _replayed(place, store, before)
    live = parse(read_index(store.path)[0], store.path, store.agent)
    # How far the run had come when it died: its last note may be one exchange behind.
    reached = [number for number, step in enumerate(steps) if step.raw == live.raw]
    base = steps[max(reached, default=min(store.merged, len(steps) - 1))]
    both = document.merge(base, steps[-1], live)
    if both.raw != live.raw:
        commit.install(disk, place, live, check(both.raw, store.path), lock)
    return store


def _replayed(place: commit.Place, store: StoreRecord, before: Document[Session]) -> list[Document[Any]]:
    """Return what the run installed, or would have, after each store that it displaced."""
    base: Document[Any] = before
    steps: list[Document[Any]] = [check(_intended(store, before), store.path)]
    for name in store.displaced:
        try:
            theirs = parse(files.read(os.path.join(place.folder, name), document.MAX_BYTES)[0], name, store.agent)
        except Refused:
            continue  # not a store: it is kept under its name, and there is nothing in it to merge
        except OSError as problem:
            if not files.is_no_file(problem):
                raise
            continue
        merged = document.merge(base, steps[-1], theirs)
        base = steps[-1]
        steps.append(check(merged.raw, store.path))
    return steps


def _settle_swap(disk: Disk, place: commit.Place, store: StoreRecord, before: Document[Session]) -> None:
    """Decide about a file in the swap name: a new store of ours that was not installed goes, the rest is kept."""
    try:
        raw, _ = files.read(place.swap, document.MAX_BYTES)
    except FileNotFoundError:
        return
    ours = raw == before.raw or hashlib.sha256(raw).hexdigest() == store.installs
    if ours or (not store.installs and raw == _intended(store, before)):
        disk.unlink(place.swap)
    else:
        commit.keep(disk, place)


def _intended(store: StoreRecord, before: Document[Session]) -> bytes:
    """Return the store that the run was about to install, if nobody else wrote."""
    sessions = [session for session in store.sessions if session.route == "files"]
    if store.restores:
        # One whose entry was there already was to get its files only.
        with pieces.Pieces() as held:
            added = [_entry(store, session, held) for session in sessions if session.key not in before.members]
        return document.edit(before, append=added)
    return document.edit(before, remove={session.key for session in sessions})


def _entry(store: StoreRecord, session: SessionRecord, held: pieces.Pieces) -> bytes:
    """Return the member that was to be brought back; raise Damaged where its backup does not have it any more."""
    if session.entry is not None:
        return session.entry.encode("utf-8")
    if not store.entries_in:
        raise Damaged("does not say where an entry is")
    path = os.path.join(os.path.dirname(store.path), store.entries_in)
    try:
        raw = held.of(path, session.offset, session.length)
    except OSError as problem:
        if not files.is_no_file(problem):
            raise
        raise Damaged(f"the backup {path}, which has its entries, cannot be read: {problem.strerror}") from None
    if hashlib.sha256(raw).hexdigest() != session.sha256:
        raise Damaged(f"the backup {path}, which has its entries, is not what it was")
    return raw
