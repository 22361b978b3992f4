"""Which files of a state directory speak of sessions, by what is in them or by their names. Nothing is written."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from ...core import late, names
from ...core.effects import Attached
from ...core.errors import Refused
from ...core.tuples import NamedTuple
from ...journal import history
from ...system import files
from ..home import Home

BINDINGS = os.path.join("bindings", "current-conversations.json")
_BINDINGS_BYTES = 16 << 20
# Looked for by other words than these, or never by what is in it.
_KNOWN = frozenset({BINDINGS, os.path.join("cron", "jobs.json")})
# A workspace may hold anything: what is nearest to the top is looked at, and so much of it.
_MOST_ENTRIES, _DEEPEST = 20_000, 8
_FILE_BYTES, _ALL_BYTES = 256 << 10, 8 << 20
_NEVER = frozenset({".git", "node_modules"})
# Thousands of small files with keys to other people's messengers: their names tell enough.
_UNREAD = frozenset({"credentials"})
# A shorter session id is a word that any file may be named after.
_ID_CHARACTERS = 8
_QUOTED = late.pattern(rb'"([^"\\]{1,512})"')
_PARTS = late.pattern(r"[A-Za-z0-9_-]+")
_UUID = late.pattern(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# So many words of files are held against the sessions at once.
_WORDS = 20_000
# More files of one folder are counted.
_NAMED = 3


class Place(NamedTuple):
    """A file or folder that speaks of a session: the `word` by which, its path in the state directory."""

    word: str
    path: str


def look(home: Home, known: Callable[[Collection[str]], Collection[str]]) -> list[Place]:
    """Return which files speak of sessions, by their keys and ids; those of the sessions folders are left out.

    `known` returns which of some words are keys or ids of the sessions that are meant: of these there may be many more.
    """
    entries = list(_entries(home))
    named = {path: _ids_in(entry.name) for path, entry in entries}
    found = _first(named, known)
    spoken: dict[str, list[str]] = {}
    count, left = 0, _ALL_BYTES
    for path, entry in entries:
        if path not in found and left > 0 and _is_read(path):
            raw = _small(entry)
            left -= len(raw)
            spoken[path] = _quoted(raw)
            count += len(spoken[path])
        if count > _WORDS:
            found |= _first(spoken, known)
            count, spoken = 0, {}
    found |= _first(spoken, known)
    return [Place(found[path], path) for path, _ in entries if path in found]


def _first(words: Mapping[str, Sequence[str]], known: Callable[[Collection[str]], Collection[str]]) -> dict[str, str]:
    """Return by path the first of its words that is known, without those that have none."""
    every = set(chain.from_iterable(words.values()))
    meant = known(every) if every else ()
    first = {path: next((word for word in own if word in meant), None) for path, own in words.items()} if meant else {}
    return {path: word for path, word in first.items() if word is not None}


def _quoted(raw: bytes) -> list[str]:
    """Return what stands in quotes in a text, each once."""
    found = []
    for word in dict.fromkeys(_QUOTED.findall(raw)):
        with contextlib.suppress(UnicodeDecodeError):
            found.append(word.decode("utf-8", "surrogatepass"))
    return found


def attached(places: list[Place]) -> list[Attached]:
    """Return the files that speak of one session as what is attached to it; many of one folder are counted."""
    by_folder: dict[str, list[str]] = {}
    for place in places:
        by_folder.setdefault(os.path.dirname(place.path), []).append(place.path)
    out = []
    for folder, paths in by_folder.items():
        if len(paths) > _NAMED:
            out.append(Attached(f"file:{folder}{os.sep}", count=len(paths)))
        else:
            out += [Attached(f"file:{path}") for path in paths]
    return out


def bindings(home: Home) -> list[dict[str, Any]]:
    """Return the chat bindings that OpenClaw keeps in a file (2026.5); Refused where it cannot be read.

    None where there is no such file, or where it is no JSON, of which OpenClaw reads none either.
    """
    path = os.path.join(home.state, BINDINGS)
    try:
        raw, _ = files.read(path, _BINDINGS_BYTES)
        found = json.loads(raw)
    except OSError as problem:
        if files.is_no_file(problem):
            return []
        raise Refused(f"{path}: {problem.strerror}", "openclaw doctor", name="unreadable") from None
    except (ValueError, RecursionError):
        return []
    listed = found.get("bindings") if isinstance(found, dict) else None
    return [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def binding(record: Mapping[str, Any]) -> Attached:
    """Return a chat binding of the file as what is attached to the session that it leads to."""
    chat = record.get("conversation")
    parts = (chat.get("channel"), chat.get("conversationId")) if isinstance(chat, dict) else ()
    name = ":".join(str(part) for part in parts if part)
    return Attached("binding", str(record.get("bindingId") or ""), name)


def _entries(home: Home) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Give what is in the state directory, what is near the top first, each with its path there; links are no folders.

    Left out: the sessions folders, which a plan is made of, and our own folder.
    """
    root = home.state
    own = {
        os.path.relpath(path, root)
        for agent in home.agents()
        for path in (home.folder(agent), home.index(agent), home.beside(agent) or home.folder(agent))
    }
    own.add(os.path.relpath(history.root(root), root))
    folders, left = deque([("", 0)]), _MOST_ENTRIES
    while folders:
        folder, depth = folders.popleft()
        with contextlib.suppress(OSError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    return
                path = os.path.join(folder, entry.name)
                if path in own or entry.name in _NEVER:
                    continue
                yield path, entry
                if depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
                    folders.append((path, depth + 1))


def _ids_in(name: str) -> list[str]:
    """Return what of a name may be a session id."""
    parts = (*_UUID.findall(name), *_PARTS.findall(name))
    return [part for part in parts if len(part) >= _ID_CHARACTERS and names.is_session_id(part)]


def _is_read(path: str) -> bool:
    return path.endswith(".json") and path not in _KNOWN and path.partition(os.sep)[0] not in _UNREAD


def _small(entry: os.DirEntry[str]) -> bytes:
    """Return what is in a small file, nothing of any other."""
    try:
        if not entry.is_file(follow_symlinks=False) or entry.stat(follow_symlinks=False).st_size > _FILE_BYTES:
            return b""
        return files.read(entry.path, _FILE_BYTES)[0]
    except OSError:
        return b""
