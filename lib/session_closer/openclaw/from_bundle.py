"""What the folder of an export has of one session, checked by its hashes, as something to be brought back.

Nothing writes but `put_down`, which copies files of it to archive names: from there they come back as any others.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from ..artifacts import bundle
from ..artifacts.bundle import BEFORE
from ..core import escape, keys, names
from ..core.budget import FILE_BYTES
from ..core.durable import SESSIONS, Move
from ..core.errors import CorruptStore, Refused
from ..core.export.manifest import File, Manifest
from ..core.export.parts import ENTRY, TRANSCRIPT
from ..journal import history
from ..journal.checks import raw_entry
from ..journal.record import SessionRecord, StoreRecord
from ..journal.source import Chosen, Origin, Source
from ..ports.undo import Item
from ..system import files
from ..system.disk import Disk
from ..system.pieces import chunks
from . import stores
from .files import entries
from .files.document import with_members
from .home import Home
from .undo import make_folder

_ENTRY_BYTES = 64 << 20
_NOT_BACK = "there is no way back into a store for it, it stays in the bundle"


def from_bundle(where: Home, path: str) -> tuple[Source, list[str]]:
    """Return what a bundle has, and a line for what of it cannot come back; Refused where it is not whole."""
    folder = os.path.realpath(path)
    told = bundle.checked(folder)
    agent = keys.check_agent(told.agent)
    era = stores.kind(where, agent) or told.era
    if told.era == "sqlite" != era:
        what = f"{escape.quoted(path)} is of a database, and agent {agent} has files here"
        raise Refused(what, "an OpenClaw of 2026.8 or later", name="era")
    moves = _moves(told, folder, is_database=era == "sqlite")
    spoken = os.path.join(folder, TRANSCRIPT)
    value = _value(where, told, os.path.join(folder, ENTRY), {path: move.source for move, path in moves}.get(spoken))
    held = value if era == "sqlite" else f"{json.dumps(told.key)}: {value}"
    raw = raw_entry(held)
    session = SessionRecord(
        told.key,
        told.session_id,
        0,
        len(raw),
        hashlib.sha256(raw).hexdigest(),
        status="closed",
        moves=tuple(move for move, _ in moves),
        entry=held,
    )
    index = where.database(agent) if era == "sqlite" else where.index(agent)
    store = StoreRecord(agent, era, index, {SESSIONS: where.folder(agent)}, sessions=(session,))
    copies = {move.target: within for move, within in moves}
    back = {*copies.values(), os.path.join(folder, ENTRY)}
    left = [file.path for file in told.files if file.source and os.path.join(folder, file.path) not in back]
    notes = [f"{', '.join(map(escape.plain, left))}: {_NOT_BACK}"] if left else []
    return Source((store,), Origin.BUNDLE, copies=copies), notes


def _moves(told: Manifest, folder: str, *, is_database: bool) -> list[tuple[Move, str]]:
    """Return the renames that bring a session's files back, each with the file of the bundle whose copy is renamed."""
    moment = history.moment(told.exported_at)
    if moment is None:
        raise Refused(f"{folder} does not say when it was exported", "another bundle", name="damaged_bundle")
    stamp, time = names.stamp(moment), int((moment - datetime.fromtimestamp(0, UTC)).total_seconds() * 1000) * 10**6
    found = []
    for file, live in _live(told, is_database=is_database):
        if told.session_id not in names.owners(live) and not names.is_transcript(live):
            raise Refused(f"{escape.quoted(live)} is no file of a session", "another bundle", name="damaged_bundle")
        # A large one is told by its time, as an archive is.
        digest = file.sha256 if file.bytes <= FILE_BYTES else None
        move = Move(live, names.archive_name(live, stamp), file.bytes, time, digest)
        found.append((move, os.path.join(folder, file.path)))
    return found


def _live(told: Manifest, *, is_database: bool) -> Iterator[tuple[File, str]]:
    """Give each file of a bundle that has a place in a store, and its name there."""
    in_files = told.era == "files" and not is_database
    for file in told.files:
        base = _live_name(os.path.basename(file.source))
        has_name = in_files and (names.is_transcript(base) or names.is_companion(base))
        if has_name or file.path == TRANSCRIPT:
            # In a database it has no name; the importer takes it by that of the session's id.
            yield file, base if has_name else f"{told.session_id}.jsonl"


def _live_name(name: str) -> str:
    """Return the live name of a file that was read where it is, or from the archive that a close had made of it."""
    live = names.archived_from(name)
    if live is None:
        return name
    return live if names.archived_how(name) == "deleted" or names.is_companion(live) else name


def _value(where: Home, told: Manifest, path: str, live: str | None) -> str:
    """Return the row of a session; one that names a file elsewhere for its transcript gets the `live` one."""
    try:
        value = files.read(path, _ENTRY_BYTES)[0].decode("utf-8")
        with_members(value, {})
    except (OSError, ValueError) as problem:
        raise Refused(f"{path} holds no row: {problem}", "another bundle", name="damaged_bundle") from None
    except CorruptStore as problem:
        raise Refused(f"{path} {problem.message}", "another bundle", name="damaged_bundle") from None
    named = entries.named(value)
    if named.own != told.session_id:
        raise Refused(f"{path} is not the row of {told.session_id}", "another bundle", name="damaged_bundle")
    folder = where.folder(told.agent)
    if not isinstance(named.path, str) or live is None:
        return value
    if os.path.realpath(os.path.dirname(named.path)) == os.path.realpath(folder) or "/" not in named.path:
        return value
    return with_members(value, {"sessionFile": os.path.join(folder, live)})


def is_held(chosen: Chosen, folder: str) -> Callable[[str], bool]:
    """Return what tells whether an archive that is not there yet is going to be put down from a bundle."""
    copies = chosen.source.copies
    return lambda target: target in copies and not files.exists(os.path.join(folder, target))


def put_down(disk: Disk, folder: str, items: Iterable[Item], copies: Mapping[str, str]) -> list[str]:
    """Copy to their archive names what is not there yet of a bundle; return the paths. The folder is held.

    What a killed run has left of that is removed. Refused where the bundle is no more what it was.
    """
    if not copies:
        return []
    make_folder(disk, folder)
    files.remove(disk, [os.path.join(folder, name) for name in files.listed(folder) if name.startswith(BEFORE)])
    made = []
    for move in (move for item in items for move in item.moves):
        archive = os.path.join(folder, move.target)
        if move.target in copies and not files.exists(archive):
            fresh = os.path.join(folder, f"{BEFORE}{secrets.token_hex(6)}")
            files.put(disk, fresh, chunks(copies[move.target]))
            disk.set_times(fresh, move.mtime_ns, move.mtime_ns)
            disk.rename_new(fresh, archive)
            made.append(archive)
    disk.sync_folder(folder)
    return made


@contextlib.contextmanager
def put_down_meanwhile(disk: Disk, folder: str, items: Iterable[Item], copies: Mapping[str, str]) -> Iterator[None]:
    """Have there, until this is left, what an importer reads: the bundle goes on having it."""
    made = put_down(disk, folder, items, copies)
    try:
        yield
    finally:
        files.remove(disk, made)
