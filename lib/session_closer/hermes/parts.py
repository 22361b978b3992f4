"""One session of Hermes as an export takes it: its rows, and the files that are its own by name. Nothing writes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import chain

from ..artifacts.streams import of_file, unreadable
from ..core.export.parts import LeftOut, Parts, Stream, safe
from ..system import files
from ..system.clock import Clock
from . import database, kinds, names, rows
from .said import events

ROWS, FILES = "rows.jsonl", "files"
_NONE = "there are none"


def parts(home: str, session_id: str, clock: Clock) -> Parts | None:
    """Return one session as a home has it now, None where it has neither rows nor files of it; CloserError."""
    if not _is_text(session_id):
        return None
    found = list(_rows(home, session_id, clock))
    own = list(_files(home, session_id))
    streams = [*(stream for _, stream in found), *(one for one in own if isinstance(one, Stream))]
    if not streams:
        return None
    left_out = [one for one in own if isinstance(one, LeftOut)]
    left_out += [] if found else [LeftOut(ROWS, _NONE)]
    left_out += [LeftOut(path, "not of what was said") for path in _beside(home, session_id)]
    entry = found[0][0] if found else b""
    return Parts(entry, streams, left_out, said_in=ROWS, events=events, label=_title(entry), importable=False)


def _is_text(word: str) -> bool:
    """Tell whether a word of a command line is text, and so may be in a database."""
    return not any("\ud800" <= each <= "\udfff" for each in word)


def _rows(home: str, session_id: str, clock: Clock) -> Iterator[tuple[bytes, Stream]]:
    """Give a session's own row, and all of its rows as a stream, where it has any."""
    digest, size, entry = hashlib.sha256(), 0, b""
    for row in rows.read(home, session_id, clock):
        line = row.line
        entry = entry or line
        digest.update(line)
        size += len(line)

    def lines() -> Iterator[bytes]:
        return (row.line for row in rows.read(home, session_id, clock))

    if entry:
        yield entry, Stream(ROWS, os.path.join(home, database.NAME), size, lines, stamp=digest.hexdigest())


def _title(entry: bytes) -> str | None:
    title = json.loads(entry)["row"].get("title") if entry else None
    return title if isinstance(title, str) and title else None


def _files(home: str, session_id: str) -> Iterator[Stream | LeftOut]:
    """Give each file among the sessions that has a session's name, and what has it and is another's."""
    folder = os.path.join(home, kinds.SESSIONS)
    own = names.names_of(session_id)
    named = [(name, parsed) for name in sorted(files.listed(folder)) if (parsed := names.parse(name))]
    if os.path.realpath(folder) != folder:
        yield LeftOut(f"{kinds.SESSIONS}/", "it is a link")
        return
    for name, parsed in named:
        if parsed.name not in own:
            continue
        shown, path = f"{kinds.SESSIONS}/{safe(name)}", os.path.join(folder, name)
        if not name.isprintable():
            yield LeftOut(shown, "no list of hashes can have its name")
            continue
        try:
            said = names.inside(path) if parsed.kind != names.TRANSCRIPT else frozenset()
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
