"""What the archives still hold of sessions that were put away, verified against what was recorded. Nothing writes."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from ..artifacts import measuring
from ..core import durations, escape, names
from ..core.actions import NONE, REMOVED, How
from ..core.claims import Claims
from ..core.durable import Move
from ..core.effects import Effect
from ..core.errors import Refused
from ..core.status import Status
from ..journal import history
from ..journal.checks import raw_entry
from ..journal.record import SessionRecord, StoreRecord
from ..journal.source import Chosen, Origin, Span
from ..ports.undo import Item
from ..system import files, pieces
from ..system.disk import Disk
from .files import values
from .home import Home
from .shelf import Shelf, put_away_since

_SILENT = "there is none of it, in an archive or where it was: it may never have had one"
# OpenClaw's own default for archived transcripts of a file store; those of a database it keeps.
_KEPT_SECONDS = 30 * durations.SECONDS["d"]


def shelf_of(home: Home, agent: str, chosen: Sequence[Chosen]) -> Callable[[], Shelf]:
    """Return what tells which archives of an agent may be taken for what was chosen of one source."""
    source, era = chosen[0].source, chosen[0].store.era
    # Most sessions miss nothing that is not in their record, and receipts may hold tens of thousands of archives.
    return functools.cache(lambda: put_away_since(home, agent, era, (source.sequence, source.run)))


def with_way_out(chosen: Sequence[Chosen], items: list[Item]) -> list[Item]:
    """Return items that no receipt tells of with what they lack, and the way on where something is in their place."""
    origin = chosen[0].source.origin
    if origin not in (Origin.FOUND, Origin.BACKUP):
        return items
    hint, told = "--as KEY brings it back beside it, under another key", []
    for item in items:
        why = {one.kind: one.note for one in item.effects if one.kind in ("settings", "transcript")}
        found = item.but(left_out={**item.left_out, **why}) if why else item
        is_in_the_way = origin is Origin.FOUND and item.status is Status.CONFLICT
        told.append(found.but(error=f"{item.error}; {hint}") if is_in_the_way else found)
    return told


def silent(home: Home, agent: str, lives: Collection[str]) -> tuple[Effect, ...]:
    """Return what is missing of a session without an archive whose transcript is not there either.

    `lives` are names of it in the agent's folders, or its whole path.
    """
    folders = filter(None, (home.folder(agent), home.beside(agent)))
    if any(files.is_reached(os.path.join(at, live)) for at in folders for live in lives if live):
        return ()
    return (Effect("transcript", "", "", 1, REMOVED, NONE, _SILENT),)


def with_files(
    folder: str,
    item: Item,
    moves: Sequence[Move],
    *,
    has: Callable[[str], bool],
    kept: float | None,
    claims: Claims | None = None,
    is_kept: Callable[[str], bool] = lambda _: False,
) -> Item:
    """Return the item with the renames in a folder that are to be undone, or with what stands in their way.

    `has`: whether a name is there. `kept`: the seconds for which OpenClaw keeps archives, None where it does not delete
    them by age. `claims` of the sessions that are there now, None for a database. `is_kept`: whether the database
    itself keeps an archive, whatever has become of the file.
    """
    back = []
    for move in moves:
        is_there = has(move.source)
        if is_there and not has(move.target):
            shared = claims is not None and claims.cover(move.source)
            if shared or _is_what_was(folder, move):
                continue
        wrong = measuring.change(folder, move)
        if wrong is not None and not is_kept(move.target):
            return item.but(status=Status.FAILED, error=f"{escape.quoted(move.target)} {wrong}")
        if is_there:
            return item.but(status=Status.CONFLICT, error=f"{escape.quoted(move.source)} is there again")
        back.append(move)
    return item.but(moves=tuple(moves if len(back) == len(moves) else back), until=until_of(back, kept))


def _is_what_was(folder: str, move: Move) -> bool:
    return measuring.change(folder, move.but(target=move.source)) is None


def entry_of(recorded: StoreRecord, session: SessionRecord, held: pieces.Pieces | None = None) -> str:
    """Return the member that a file store had for a session; Refused where its backup is not what it was.

    `held` keeps the backup open for the next one.
    """
    if session.entry is not None:
        return session.entry
    span = span_of(recorded, session)
    entry = bytes_at(recorded.path, span, held).decode("utf-8")
    if not values.is_member(entry, session.key):
        raise Refused(f"what {_beside(recorded.path, span.backup)} has there is another session's")
    return entry


def span_of(recorded: StoreRecord, session: SessionRecord) -> Span:
    """Return where the backup of a file store has an entry that its record does not hold."""
    assert recorded.backup is not None
    return Span(recorded.backup, session.offset, session.length, session.sha256)


def bytes_at(index: str, span: Span, held: pieces.Pieces | None = None) -> bytes:
    """Return the member that a backup beside an index has; Refused where that is not what it was."""
    path = _beside(index, span.backup)
    try:
        raw = (held.of if held is not None else pieces.piece)(path, span.offset, span.length)
    except OSError as problem:
        raise Refused(f"its backup {path} cannot be read: {problem.strerror}") from None
    if hashlib.sha256(raw).hexdigest() != span.sha256:
        raise Refused(f"its backup {path} is not what it was")
    return raw


def backup_of(recorded: StoreRecord) -> str:
    """Return the path of the backup that a record names, beside its index."""
    return _beside(recorded.path, str(recorded.backup))


def _beside(index: str, backup: str) -> str:
    return f"{index.rpartition('/')[0]}/{backup}"


def make_folder(disk: Disk, folder: str) -> None:
    """Make the sessions folder, which a database does not need, nor an index elsewhere."""
    if not files.is_folder(folder):
        make_folder(disk, os.path.dirname(folder))
        try:
            disk.make_folder(folder)
        except FileExistsError:
            # Another run may make it at the same time.
            if not files.is_folder(folder):
                raise
        disk.sync_folder(os.path.dirname(folder))


def recorded(item: Item) -> SessionRecord:
    """Return what the record of a restore says about one session: it holds the entry that it does not say where is."""
    span, raw = item.span, raw_entry(item.entry)
    return SessionRecord(
        item.key,
        item.session_id,
        0 if span is None else span.offset,
        len(raw) if span is None else span.length,
        hashlib.sha256(raw).hexdigest() if span is None else span.sha256,
        "files" if item.put_away is How.FILES else "gateway",
        moves=item.moves,
        entry=item.entry if span is None else None,
        modes=item.modes,
        jobs=item.jobs,
    )


def until_of(moves: Sequence[Move], kept: float | None) -> str | None:
    """Return until when OpenClaw keeps the archives, None where it does not delete them by age."""
    if kept is not None and len(moves) == 1:
        source, target = moves[0].source, moves[0].target
        if target.startswith(source) and not names.is_companion(source):
            return _until(target[len(source) :], kept)
    # `.bak.` archives of companions are not aged.
    stamps = (
        []
        if kept is None
        else [
            stamp for move in moves if (stamp := names.archived_at(move.target)) and not names.is_companion(move.source)
        ]
    )
    if kept is None or not stamps:
        return None
    return _later(min(stamps), kept)


@functools.lru_cache(maxsize=1024)  # what one run has put away has one ending
def _until(ending: str, kept: float) -> str | None:
    stamp = names.archived_at(f"x{ending}")
    return None if stamp is None else _later(stamp, kept)


@functools.lru_cache(maxsize=1024)  # and one stamp
def _later(moment: datetime, seconds: float) -> str:
    return history.iso(moment + timedelta(seconds=seconds))


def seconds_kept(home: Home, chosen: Sequence[Chosen], *, in_files: bool) -> float | None:
    """Return for how long OpenClaw keeps the archives of what was chosen, None where it does not delete them by age.

    `in_files`: those of a file store, for which it has a time of its own where none is set.
    """
    if chosen and chosen[0].source.origin is Origin.BUNDLE:
        # It knows nothing of an export.
        return None
    default = _KEPT_SECONDS if in_files else None
    if home.setting("session", "maintenance", "mode") == "warn":
        return None
    own = home.setting("session", "maintenance", "resetArchiveRetention")
    if own is False:
        return None
    found = durations.seconds(own, unit="d")
    if found is None and default is not None:
        # As OpenClaw reads them: the older name counts where the newer one is not set at all.
        after = home.setting("session", "maintenance", "pruneAfter")
        days = home.setting("session", "maintenance", "pruneDays")
        found = durations.seconds(days if after is None else after, unit="d")
    return default if found is None else found
