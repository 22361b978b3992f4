"""One session of a file store as an export takes it: its files as they are, and its row. Nothing writes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ...artifacts import measuring
from ...artifacts.streams import of_file
from ...core import escape, names, transcripts
from ...core.errors import Refused
from ...core.export.parts import BESIDE, CHECKPOINTS, ENTRY, TRAJECTORY, TRANSCRIPT, WINDOWS, LeftOut, Parts, Stream
from ...core.model import Session, Snapshot
from ...journal.source import ChosenSession
from ..home import Home
from ..taken import taken
from ..undo import entry_of
from . import entries, values
from .store import FileStore


@contextmanager
def parts(home: Home, store: FileStore, session: Session, snapshot: Snapshot, *, with_media: bool) -> Iterator[Parts]:
    """Give one session as it is now; Refused where a file of it is none that may be read."""
    entry = _entry(store, session)
    if not session.id_usable:
        _check_speechless(session, snapshot)
    named = list(_named(session, snapshot, entry))
    streams = [_of_entry(store.index, entry), *(of_file(name, path) for name, path in named)]
    left_out = [] if any(name == TRANSCRIPT for name, _ in named) else [LeftOut(TRANSCRIPT, "there is none")]
    yield taken(home, entry, streams, left_out, with_media=with_media)


@contextmanager
def put_away(home: Home, store: FileStore, chosen: ChosenSession, *, with_media: bool) -> Iterator[Parts]:
    """Give one session as its archives have it; Refused where one of them is not what was put away."""
    session = chosen.session
    value = values.member(entry_of(chosen.store, session))[1]
    for move in session.moves:
        if wrong := measuring.change(store.folder, move):
            raise Refused(f"{move.target} {wrong}", "restore-sessions RECEIPT --check", name="gone")
    archives = {move.source: os.path.join(store.folder, move.target) for move in session.moves}
    named = [*_archived(archives, session.session_id, value)]
    entry = value.encode()
    streams = [_of_entry(chosen.store.path, entry), *(of_file(name, path) for name, path in named)]
    has_transcript = any(name == TRANSCRIPT for name, _ in named)
    left_out = [] if has_transcript else [LeftOut(TRANSCRIPT, "none was archived: it never spoke, or it stayed")]
    yield taken(home, entry, streams, left_out, with_media=with_media)


def _archived(archives: Mapping[str, str], session_id: str | None, entry: str) -> Iterator[tuple[str, str]]:
    """Give the path in a bundle, and the whole path, of each archive of a session; `archives` are by live name."""
    named = entries.named(entry).path
    wanted = (names.parted(named)[1] if isinstance(named, str) else "", f"{session_id}.jsonl")
    spoken = [live for live in archives if not names.is_companion(live)]
    main = next((live for live in wanted if live in spoken), spoken[0] if spoken else None)
    stem = names.base(main or "").removesuffix(".jsonl") or session_id
    for live, path in archives.items():
        yield _place(live, main, stem), path


def _place(name: str, main: str | None, stem: str | None) -> str:
    """Return the path in a bundle of a file of a session, by its live name."""
    base = names.base(name)
    if name == main:
        return TRANSCRIPT
    if not names.is_companion(name):
        return f"{WINDOWS}/{base}"
    if base == f"{stem}.trajectory.jsonl":
        return TRAJECTORY
    return f"{CHECKPOINTS if '.checkpoint.' in base else BESIDE}/{base}"


def _entry(store: FileStore, session: Session) -> bytes:
    entry = store.value_bytes(session.key)
    if entry is None:
        raise Refused("it is not in its store any more", "look again with list-sessions", name="gone")
    return entry


def _check_speechless(session: Session, snapshot: Snapshot) -> None:
    """Raise Refused for a session without an id that files could have, which names one that is in the agent's folder.

    One elsewhere is its transcript by its whole path.
    """
    name = names.parted(session.session_file or "")[1]
    if name in snapshot.files and transcripts.outside(session, snapshot) is None:
        what = f"its sessionId is none that a file could have, so {escape.quoted(name)} is not known to be its own"
        raise Refused(what, "copy that file, then close the session without --export", name="not_exportable")


def _of_entry(index: str, entry: bytes) -> Stream:
    return Stream(ENTRY, index, len(entry), lambda: iter([entry]))


def _named(session: Session, snapshot: Snapshot, entry: bytes) -> Iterator[tuple[str, str]]:
    """Give the path in a bundle, and the whole path, of each file of a session."""
    own = transcripts.of(session, snapshot)
    for name in own:
        if name in snapshot.odd:
            raise Refused(f"{os.path.join(snapshot.folder, name)} is a {snapshot.odd[name]}", "put the file there")
    there = [name for name in own if name in snapshot.files]
    spoken = [name for name in there if not names.is_companion(name)]
    elsewhere = transcripts.outside(session, snapshot)
    main = elsewhere or _main(session, snapshot, spoken)
    if main is not None:
        yield TRANSCRIPT, os.path.join(snapshot.folder, main)
    stem = names.base(main or "").removesuffix(".jsonl") or session.session_id
    for name in there:
        if name != main:
            yield _place(name, main, stem), os.path.join(snapshot.folder, name)
    for name in sorted(_windows(spoken, snapshot, entry)):
        yield f"{WINDOWS}/{names.base(name)}", os.path.join(snapshot.folder, name)


def _main(session: Session, snapshot: Snapshot, spoken: list[str]) -> str | None:
    """Return which of a session's transcripts it goes on in."""
    wanted = (transcripts.named(session, snapshot), f"{session.session_id}.jsonl")
    return next((name for name in wanted if name in spoken), spoken[0] if spoken else None)


def _windows(spoken: list[str], snapshot: Snapshot, entry: bytes) -> Iterator[str]:
    """Give the archives of what a session said before it was reset or compacted: of its names, or named in its row."""
    for name in snapshot.files:
        if ".jsonl." in name and names.is_old_window(name):
            live = names.archived_from(name) or ""
            own = names.base(live).removesuffix(".jsonl")
            if live in spoken or (names.is_generated(own) and own.encode() in entry):
                yield name
