"""One session of Hermes as an export takes it: its rows, and the files that are its own by name. Nothing writes."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from ..artifacts.rows import stream as of_rows
from ..artifacts.streams import of_file, unreadable
from ..core.export.parts import UNLISTED, LeftOut, Parts, Stream, is_text, lines, safe
from ..core.patterns import owner_of
from ..ports.artifacts import Away
from ..system import files
from ..system.clock import Clock
from . import database, kinds, names, rows
from .said import events

SETTINGS = (".env", "config.yaml", "gateway.json", "auth.json")
ROWS, FILES = "rows.jsonl", "files"
_NONE = "there are none"


def parts(home: str, session_id: str, clock: Clock, away: Away | None = None) -> Parts | None:
    """Return one session as a home has it now, None where it has neither rows nor files of it; CloserError.

    `away`: its files are those that a run has put away, its rows those of the home, or else those that went.
    """
    if not is_text(session_id):
        return None
    found = _rows(home, session_id, clock, away)
    lying = home if away is None else away.archive
    own = list(_files(lying, session_id))
    own += _kept(away, {one.name for one in own if isinstance(one, Stream)})
    streams = [*(found[1:] if found else ()), *(one for one in own if isinstance(one, Stream))]
    if not streams:
        return None
    left_out = [one for one in own if isinstance(one, LeftOut)]
    left_out += [] if found else [LeftOut(ROWS, _NONE)]
    left_out += [LeftOut(path, "not of what was said") for path in _beside(lying, session_id)]
    entry = found[0] if found else b""
    return Parts(entry, streams, left_out, said_in=ROWS, events=events, label=_title(entry), importable=False)


def named(_: str, path: str) -> Sequence[str]:
    """Return the session that something below a folder is of by its name alone, if that tells one."""
    found = owner_of(path, [one for one in kinds.PATTERNS if one.folder == kinds.SESSIONS])
    return [found] if found is not None else []


def _rows(home: str, session_id: str, clock: Clock, away: Away | None) -> tuple[bytes, Stream] | None:
    """Return the first row of a session as a line, and all of them as a stream; None: there are none."""
    path = os.path.join(home, database.NAME)
    found = of_rows(ROWS, path, lambda: rows.read(home, session_id, clock))
    if found is not None or away is None or not away.rows:
        return found
    kept = of_file(ROWS, os.path.join(away.rows, ROWS))
    first = next(lines(kept.chunks()), b"")
    return (first, kept) if first else None


def _kept(away: Away | None, known: Collection[str]) -> Iterator[Stream]:
    """Give the files that Hermes has removed along with rows, but for those of a name that is known."""
    if away is None or not away.rows:
        return
    folder = os.path.join(away.rows, FILES)
    for name in sorted(files.listed(folder)):
        if name.isprintable() and f"{FILES}/{name}" not in known:
            yield of_file(f"{FILES}/{name}", os.path.join(folder, name))


def _title(entry: bytes) -> str | None:
    title = json.loads(entry)["row"].get("title") if entry else None
    return title if isinstance(title, str) and title else None


def _files(home: str, session_id: str) -> Iterator[Stream | LeftOut]:
    """Give each file among the sessions that has a session's name, and what has it and is another's."""
    folder = os.path.join(home, kinds.SESSIONS)
    own = names.names_of(session_id)
    # There may be very many, so that few are looked at.
    lying = sorted(name for name in files.listed(folder) if any(each in name for each in own))
    named = [(name, parsed) for name in lying if (parsed := names.parse(name))]
    if os.path.realpath(folder) != folder:
        yield LeftOut(f"{kinds.SESSIONS}/", "it is a link")
        return
    for name, parsed in named:
        if parsed.name not in own:
            continue
        shown, path = f"{kinds.SESSIONS}/{safe(name)}", os.path.join(folder, name)
        if not name.isprintable():
            yield LeftOut(shown, UNLISTED)
            continue
        try:
            said = names.inside(path) if parsed.kind != kinds.TRANSCRIPT else frozenset()
        except OSError as problem:
            raise unreadable(path, problem) from None
        if said and session_id not in said:
            yield LeftOut(shown, "what is in it is of another session")
        else:
            yield of_file(f"{FILES}/{name}", path)


def _beside(home: str, session_id: str) -> Iterator[str]:
    """Give what else in a home has a session's name, and is not of what was said in it."""
    own = names.names_of(session_id)
    others = [one for one in kinds.PATTERNS if one.kind in kinds.OWNED and one.folder != kinds.SESSIONS]
    lying = chain.from_iterable(((one, name) for name in files.listed(f"{home}/{one.folder}")) for one in others)
    for pattern, name in lying:
        if (match := pattern.name.fullmatch(name)) and match["id"] in own:
            yield f"{pattern.folder}/{safe(name)}"
