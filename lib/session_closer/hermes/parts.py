"""One session of Hermes as an export takes it: its rows, and the files that are its own by name. Nothing writes."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from ..artifacts.rows import stream as of_rows
from ..artifacts.streams import of_file, unreadable
from ..core.export.parts import UNLISTED, LeftOut, Parts, Stream, is_listed, is_text, lines, safe
from ..core.patterns import owner_of
from ..ports.artifacts import Away
from ..system import files
from ..system.clock import Clock
from . import database, kinds, names, rows
from .said import events

SETTINGS = (".env", "config.yaml", "gateway.json", "auth.json")
ROWS, FILES = "rows.jsonl", "files"
_NONE = "there are none"
# What changes a folder so soon after another change may leave it the same times, whatever the file system.
_COARSE = 3.0


def parts(home: str, session_id: str, clock: Clock, away: Away | None = None) -> Parts | None:
    """Return one session as a home has it now, None where it has neither rows nor files of it; CloserError.

    `away`: its files are those that a run has put away, its rows those of the home, or else those that went.
    """
    if not is_text(session_id):
        return None
    found = _rows(home, session_id, clock, away)
    lying = home if away is None else away.archive
    own = list(_files(lying, session_id, clock))
    own += _kept(away, {one.name for one in own if isinstance(one, Stream)})
    streams = [*(found[1:] if found else ()), *(one for one in own if isinstance(one, Stream))]
    if not streams:
        return None
    left_out = [one for one in own if isinstance(one, LeftOut)]
    left_out += [] if found else [LeftOut(ROWS, _NONE)]
    left_out += [LeftOut(path, "not of what was said") for path in _beside(lying, session_id, clock)]
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
        if is_listed(name) and f"{FILES}/{name}" not in known:
            yield of_file(f"{FILES}/{name}", os.path.join(folder, name))


def _title(entry: bytes) -> str | None:
    title = json.loads(entry)["row"].get("title") if entry else None
    return title if isinstance(title, str) and title else None


def _files(home: str, session_id: str, clock: Clock) -> Iterator[Stream | LeftOut]:
    """Give each file among the sessions that has a session's name, and what has it and is another's."""
    folder = os.path.join(home, kinds.SESSIONS)
    named = _named_in(home, kinds.SESSIONS, session_id, clock)
    if os.path.realpath(folder) != folder:
        yield LeftOut(f"{kinds.SESSIONS}/", "it is a link")
        return
    for name, kind in named:
        shown, path = f"{kinds.SESSIONS}/{safe(name)}", os.path.join(folder, name)
        if not is_listed(name):
            yield LeftOut(shown, UNLISTED, lost=True)
            continue
        try:
            said = names.inside(path) if kind != kinds.TRANSCRIPT else frozenset()
        except OSError as problem:
            raise unreadable(path, problem) from None
        if said and session_id not in said:
            yield LeftOut(shown, "what is in it is of another session")
        else:
            yield of_file(f"{FILES}/{name}", path)


def _beside(home: str, session_id: str, clock: Clock) -> Iterator[str]:
    """Give what else in a home has a session's name, and is not of what was said in it."""
    for folder in (one.folder for one in kinds.PATTERNS if one.kind in kinds.OWNED and one.folder != kinds.SESSIONS):
        for name, _ in _named_in(home, folder, session_id, clock):
            yield f"{folder}/{safe(name)}"


def _named_in(home: str, folder: str, session_id: str, clock: Clock) -> list[tuple[str, str]]:
    """Return what in a folder of a home has a session's name, and its kind, in the order of the names."""
    path = os.path.join(home, folder)
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    stamp = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
    is_at_rest = clock.seconds() - max(status.st_mtime, status.st_ctime) > _COARSE
    found = (_by_session_at_rest if is_at_rest else _by_session)(path, folder, stamp)
    return sorted(one for name in names.names_of(session_id) for one in found.get(name, ()))


def _by_session(path: str, folder: str, _stamp: object) -> Mapping[str, Sequence[tuple[str, str]]]:
    """Return what is in a folder with this stamp, and its kind, by the names of sessions."""
    fitting = [one for one in kinds.PATTERNS if one.folder == folder and one.kind in kinds.OWNED]
    found = defaultdict[str, list[tuple[str, str]]](list)
    for name in files.listed(path):
        for pattern in fitting:
            if match := pattern.name.fullmatch(name):
                found[match["id"]].append((name, pattern.kind))
                break
    return found


# An export of very many sessions would list very many names for each of them.
_by_session_at_rest = lru_cache(maxsize=8)(_by_session)
