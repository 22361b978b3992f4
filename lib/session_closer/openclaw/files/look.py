"""A look at a store ahead of what comes back into it: where a session's files are by now. Nothing writes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence

from ...artifacts import measuring
from ...core import escape, names
from ...core.claims import Claims
from ...core.durable import Move
from ...core.effects import Lost
from ...core.model import Session
from ...core.status import Status
from ...core.tuples import NamedTuple
from ...journal.record import SessionRecord
from ...ports.undo import Item
from ...system import files, pieces
from ..shelf import Shelf
from . import entries
from .entries import Named
from .members import Document
from .store import FileStore


class Look(NamedTuple):
    """A store as it is now, what its sessions use, what was put away of it, and for how many seconds that is kept.

    `names` were in its folder; `held` keeps the backup open that entries are read from. Those of the stores at `sound`
    are hashed as a whole meanwhile. `is_last`: none looks at each archive before it is brought back. `others` are the
    archives in folders of other agents by their live names, as far as somebody has asked for them.
    """

    store: FileStore
    live: Document[Session]
    claims: Claims
    shelf: Callable[[], Shelf]
    kept: float | None
    names: frozenset[str]
    held: pieces.Pieces
    sound: Collection[int]
    is_last: bool
    others: dict[str, Mapping[str, str]]

    def has(self, name: str) -> bool:
        """Tell whether a name is there: one look at the folder, and not one at each file."""
        return files.exists(name) if "/" in name else name in self.names


def closed_again(seen: Look, session: SessionRecord, item: Item) -> Item:
    """Return an item with what is to be known where a later run has closed the same session once more."""
    known = {move.target for move in session.moves}
    if item.status is Status.FAILED:
        gone = [move.source for move in session.moves if not seen.has(move.target)]
    else:
        gone = [move.source for move in item.moves if move.target not in known]
    later = next((one for source in gone if (one := seen.shelf().runs.get(source)) is not None), None)
    if later is None or later.key != session.key:
        return item
    if item.status is Status.FAILED:
        return item.but(error=f"{item.error}; run {later.run} has closed it again since, and brings it back")
    if later.sha256 == session.sha256:
        return item
    why = f"run {later.run} has closed it again since, with other settings"
    return item.but(left=(*item.left, Lost("settings", 1, why)))


def as_it_is_now(seen: Look, move: Move) -> Move:
    """Return a rename with the archive's present name: a session that shared it may have been back in between."""
    folder = seen.store.folder
    if seen.has(move.target):
        return move
    later = move.but(target=seen.shelf().latest.get(move.source, move.target))
    return move if measuring.change(folder, later) else later


def has_all(seen: Look, session: SessionRecord, text: str | memoryview) -> bool:
    """Tell whether a session has no files to be looked for but those that its record names."""
    value = entries.named(text)
    # Nearly all have one file, and name that.
    own = f"{value.own}.jsonl"
    is_usual = isinstance(value.path, str) and value.path.startswith("/") and value.path.endswith(f"/{own}")
    if is_usual and own in [move.source for move in session.moves]:
        return True
    return not (left_for_another(seen, session, value) or _elsewhere(seen, session.moves, value))


def left_for_another(seen: Look, session: SessionRecord, value: Named) -> tuple[Move, ...]:
    """Return the renames of files that stayed as another session used them, which a later run has closed."""
    named = names.parted(value.path)[1] if isinstance(value.path, str) else ""
    known = {move.source for move in session.moves}
    if known.issuperset((f"{value.own}.jsonl", named)) or not names.is_session_id(value.own):
        return ()
    lacks = {name for name in (f"{value.own}.jsonl", named) if name not in known and not seen.has(name)}
    transcripts = [name for name in lacks if names.is_transcript(name)]
    if not transcripts:
        return ()
    shelf = seen.shelf()
    theirs = {name for one in transcripts for name in shelf.owned.get(one.removesuffix(".jsonl"), ())}
    return tuple(Move(name, shelf.latest[name]) for name in sorted(theirs - known) if not seen.has(name))


def with_elsewhere(seen: Look, item: Item, value: Named) -> Item:
    """Return an item with what it lacks where its transcript was archived with a session of another agent."""
    path = _elsewhere(seen, item.moves, value) if item.is_wanted else ""
    if not path:
        return item
    why = f"{escape.quoted(path)} is archived in another agent's folder: it comes back with what it went with"
    return item.but(left=(*item.left, Lost("transcript", 1, why)), astray=path)


def _elsewhere(seen: Look, moves: Sequence[Move], value: Named) -> str:
    """Return the whole path of a transcript in another agent's folder that has an archive and is not there, else "".

    Where these renames bring one of its name back, the path is of another host, or of where the agent was before.
    """
    path, store = value.path, seen.store
    if not isinstance(path, str) or not path.startswith("/") or not files.is_path(path):
        return ""
    folder, name = names.parted(path)
    if folder in (store.folder, store.beside) or not names.is_transcript(name) or seen.has(name):
        return ""
    if name in [names.base(move.source) for move in moves]:
        return ""
    real = files.real(folder)
    # What cannot be looked at is nobody's loss.
    with contextlib.suppress(OSError):
        if real in map(files.real, filter(None, (store.folder, store.beside))) or files.is_reached(path):
            return ""
        if real not in seen.others:
            seen.others[real] = names.shelf(files.listed(real))
        return os.path.join(real, name) if name in seen.others[real] else ""
    return ""
