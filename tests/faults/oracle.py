"""What must hold on disk, whatever the program says about itself: the invariants of docs/design.md."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from dataclasses import dataclass

STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z"
ARCHIVE = re.compile(rf"(?P<live>.+)\.(?:deleted|bak)\.{STAMP}")
BACKUP = re.compile(rf"sessions\.json\.bak-{STAMP}(?:-\d+)*")


@dataclass(frozen=True)
class World:
    """A state directory as it was before: bytes of each index, hash of each other file, by agent."""

    state: str
    indexes: dict[str, bytes]
    files: dict[str, dict[str, str]]
    outside: frozenset[str]


def sessions_folder(state: str, agent: str) -> str:
    return os.path.join(state, "agents", agent, "sessions")


def look(state: str) -> World:
    indexes, files = {}, {}
    for agent in sorted(os.listdir(os.path.join(state, "agents"))):
        folder = sessions_folder(state, agent)
        indexes[agent] = _read(os.path.join(folder, "sessions.json"))
        files[agent] = {name: _digest(folder, name) for name in os.listdir(folder) if name != "sessions.json"}
    return World(state, indexes, files, frozenset(_outside(state)))


def _outside(state: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(state):
        inside = os.path.relpath(place, state)
        if inside.startswith(("session-closer", os.path.join("agents", ""))):
            continue
        found += [os.path.join(inside, name) for name in (*folders, *names) if name != "session-closer"]
    return found


def violations(before: World, closing: dict[str, set[str]], *, ended: bool) -> list[str]:
    """Return what is broken; `ended` adds what must hold after a run that was not interrupted."""
    found: list[str] = []
    for agent, raw in before.indexes.items():
        found += [f"{agent}: {line}" for line in _agent(before, agent, raw, closing.get(agent, set()), ended=ended)]
    if frozenset(_outside(before.state)) != before.outside:
        found.append("I8: something outside was created or removed")
    found += _private(os.path.join(before.state, "session-closer"))
    if ended and os.path.isdir(os.path.join(before.state, "session-closer", "open")):
        found += [f"open run left: {run}" for run in os.listdir(os.path.join(before.state, "session-closer", "open"))]
    return found


def _agent(before: World, agent: str, raw: bytes, closing: set[str], *, ended: bool) -> list[str]:
    found: list[str] = []
    folder = sessions_folder(before.state, agent)
    index = os.path.join(folder, "sessions.json")
    try:
        now = _read(index)
        store = json.loads(now)
        assert isinstance(store, dict)
    except (OSError, ValueError, AssertionError) as problem:
        return [f"I1: {problem!r}"]
    was = json.loads(raw)
    names = set(os.listdir(folder))
    backups = [name for name in names if BACKUP.fullmatch(name)]
    found += [f"I4: {name} differs" for name in backups if _read(os.path.join(folder, name)) != raw]
    found += [f"I2: {key} is nowhere" for key in was if key not in store and not backups]
    found += [f"I3: {key} changed" for key in was if key not in closing and _span(now, key) != _span(raw, key)]
    found += [f"I3: {key} appeared" for key in store if key not in was]
    if stat.S_IMODE(os.stat(index).st_mode) != 0o600:
        found.append("I7: mode of the store")
    found += _files(before.files[agent], folder, names, was, store, ended=ended)
    if ended:
        expected = {key: value for key, value in was.items() if key not in closing}
        if store != expected:
            found.append(f"end: {sorted(set(store) ^ set(expected))}")
        if closing & set(was) and not backups:
            found.append("end: no backup")
        found += [f"end: {name} left behind" for name in names if "session-closer" in name or name.endswith(".lock")]
    return found


def _files(
    before: dict[str, str], folder: str, names: set[str], was: dict[str, dict], store: dict[str, dict], *, ended: bool
) -> list[str]:
    found = []
    kept_ids = {entry.get("sessionId") for entry in store.values()}
    for live, digest in before.items():
        places = [live] if live in names else []
        places += [name for name in names if (m := ARCHIVE.fullmatch(name)) and m["live"] == live]
        if len(places) != 1:
            found.append(f"I5: {live} is in {places}")
            continue
        if _digest(folder, places[0]) != digest:
            found.append(f"I5: bytes of {live} changed")
        owner = live.split(".")[0]
        if owner in kept_ids and places[0] != live:
            found.append(f"I6/I9: {live} was torn from its entry")
        if ended and owner not in kept_ids and places[0] == live:
            found.append(f"end: {live} was left behind as an orphan")
    return found


def _span(raw: bytes, key: str) -> bytes | None:
    """Return the bytes of one member, found without the program's own scanner."""
    text = raw.decode()
    at = text.find("\n  " + json.dumps(key, ensure_ascii=False) + ": ")
    if at < 0:
        return None
    end = text.find("\n  }", at)
    return text[at:end].encode()


def _private(root: str) -> list[str]:
    found = []
    for place, folders, names in os.walk(root):
        for name in (*folders, *names):
            mode = stat.S_IMODE(os.lstat(os.path.join(place, name)).st_mode)
            if mode & 0o077:
                found.append(f"I7: {name} has mode {mode:o}")
    return found


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _digest(folder: str, name: str) -> str:
    return hashlib.sha256(_read(os.path.join(folder, name))).hexdigest()
