"""What must hold on disk, whatever the program says about itself: the invariants of docs/design.md."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.image import file_bytes

STAMP = r"\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z"
ARCHIVE = re.compile(rf"(?P<live>.+)\.(?:deleted|bak)\.{STAMP}")
# What may lie beside an index, by us or by OpenClaw.
BESIDE = re.compile(rf"sessions\.json\.(?:bak-{STAMP}|lock|lock\.[0-9a-f]{{16}}|session-closer-\w+)")
OURS = "session-closer"
# What somebody else wrote into the stores while we worked, oldest first: agent, key, value.
Written = Sequence[tuple[str, str, Any]]


@dataclass(frozen=True)
class World:
    """A state directory as it was before: bytes of each index, hash of each other file, by agent.

    `early`: what an index was, where somebody wrote it before the run had backed it up.
    """

    state: str
    indexes: dict[str, bytes]
    files: dict[str, dict[str, str]]
    outside: Mapping[str, str]
    paths: dict[str, str]
    modes: dict[str, int]
    # The digest of each backup when it was first seen: it may never change.
    seen: dict[str, str] = field(default_factory=dict)
    early: dict[str, bytes] = field(default_factory=dict)

    def fresh(self) -> World:
        """Return the same world with no backup seen yet: for the next injection."""
        return World(self.state, self.indexes, self.files, self.outside, self.paths, self.modes)


def sessions_folder(state: str, agent: str) -> str:
    return os.path.join(state, "agents", agent, "sessions")


def default_index(state: str, agent: str) -> str:
    return os.path.join(sessions_folder(state, agent), "sessions.json")


def look(state: str, index: Callable[[str, str], str] = default_index) -> World:
    indexes, files, modes = {}, {}, {}
    agents = sorted(os.listdir(os.path.join(state, "agents")))
    paths = {agent: index(state, agent) for agent in agents}
    for agent in agents:
        folder = sessions_folder(state, agent)
        indexes[agent] = file_bytes(paths[agent])
        modes[agent] = stat.S_IMODE(os.stat(paths[agent]).st_mode)
        files[agent] = {n: _digest(folder, n) for n in os.listdir(folder) if os.path.join(folder, n) != paths[agent]}
    return World(state, indexes, files, dict(_outside(state, paths)), paths, modes)


def _outside(state: str, paths: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what is none of our business, with its content: all but sessions folders, indexes and our own folder."""
    ours = {os.path.join(state, OURS), *(sessions_folder(state, agent) for agent in paths)}
    beside = tuple(paths.values())
    for place, folders, names in os.walk(state):
        folders[:] = [name for name in folders if os.path.join(place, name) not in ours]
        for name in folders:
            yield os.path.join(place, name), "folder"
        for name in names:
            path = os.path.join(place, name)
            if not any(path == index or _names_backup_or_temp(path, index) for index in beside):
                yield path, _digest(place, name)


def _names_backup_or_temp(path: str, index: str) -> bool:
    """Tell whether a path is one that a run may make beside an index."""
    rest = path.removeprefix(index)
    return rest != path and bool(
        re.fullmatch(rf"\.bak-{STAMP}(?:-\d+)*|\.lock|\.lock\.[0-9a-f]{{16}}|\.session-closer-(?:new|swap)", rest)
    )


def violations(
    before: World, closing: Mapping[str, set[str]], *, ended: bool, written: Written = (), torn: bool = False
) -> list[str]:
    """Return what is broken; `ended` adds what must hold after a run that was not interrupted.

    `torn`: a run was killed where a file had two names for a moment, since its file system renames by link and unlink.
    """
    found: list[str] = []
    for agent in before.indexes:
        theirs = {key: value for owner, key, value in written if owner == agent}
        check = _Agent(before, agent, closing.get(agent, set()), theirs, torn=torn)
        found += [f"{agent}: {line}" for line in check.violations(ended=ended)]
    outside = dict(_outside(before.state, before.paths))
    found += [f"I8: {path}" for path in sorted(set(outside) ^ set(before.outside))]
    found += [f"I8: {path} changed" for path, was in before.outside.items() if outside.get(path, was) != was]
    found += _private(os.path.join(before.state, OURS))
    if ended:
        found += _own_folder(before, closing, written)
    return found


def backups(index: str) -> list[str]:
    """Return the paths of an index's backups."""
    folder, name = os.path.split(index)
    pattern = re.compile(re.escape(name) + rf"\.bak-{STAMP}(?:-\d+)*")
    return [os.path.join(folder, found) for found in sorted(os.listdir(folder)) if pattern.fullmatch(found)]


class _Agent:
    """One agent's store, then and now."""

    def __init__(
        self, before: World, agent: str, closing: set[str], theirs: Mapping[str, Any], *, torn: bool = False
    ) -> None:
        self.before, self.agent, self.closing, self.theirs, self.torn = before, agent, closing, theirs, torn
        self.raw, self.index = before.indexes[agent], before.paths[agent]
        self.was: dict[str, Any] = json.loads(self.raw)
        self.folder = sessions_folder(before.state, agent)

    def violations(self, *, ended: bool) -> list[str]:
        try:
            now = file_bytes(self.index)
            store = json.loads(now)
            assert isinstance(store, dict)
        except (OSError, ValueError, AssertionError) as problem:
            return [f"I1: {problem!r}"]
        copies, found = self._backups()
        found += self._entries(now, store, copies)
        found += self._modes()
        names = set(os.listdir(self.folder))
        found += self._files(names, store, ended=ended)
        if ended:
            found += self._end(store, copies)
        return found

    def _backups(self) -> tuple[list[dict[str, Any]], list[str]]:
        """A backup is complete, never changes, and holds nothing that was not in the store at some time (I4)."""
        copies, found = [], []
        exact = False
        for path in backups(self.index):
            raw = file_bytes(path)
            name = os.path.basename(path)
            digest = hashlib.sha256(raw).hexdigest()
            if self.before.seen.setdefault(path, digest) != digest:
                found.append(f"I4: {name} was changed")
            try:
                copy = json.loads(raw)
                assert isinstance(copy, dict)
            except (ValueError, AssertionError) as problem:
                found.append(f"I4: {name}: {problem!r}")
                continue
            exact = exact or raw in (self.raw, self.before.early.get(self.agent))
            copies.append(copy)
            if raw != self.raw:
                known = (self.was, self.theirs)
                strange = [key for key in copy if all(copy[key] != each.get(key, ...) for each in known)]
                if strange and not self.theirs:
                    found.append(f"I4: {name} holds what never was: {strange}")
                if not self.theirs and any(_span(raw, key) != _span(self.raw, key) for key in copy):
                    found.append(f"I4: {name} is no copy of a store")
        if copies and not exact:
            found.append("I4: no backup equals the store as it was")
        return (copies if exact else []), found

    def _entries(self, now: bytes, store: dict[str, Any], copies: list[dict[str, Any]]) -> list[str]:
        found = []
        for key, value in self.was.items():
            if store.get(key, ...) != value and not any(copy.get(key, ...) == value for copy in copies):
                found.append(f"I2: {key} is nowhere")
            if key not in self.closing and key not in self.theirs and _span(now, key) != _span(self.raw, key):
                found.append(f"I3: {key} changed")
        for key, value in self.theirs.items():
            if store.get(key, ...) != value and not any(copy.get(key, ...) == value for copy in self._all_copies()):
                found.append(f"I2: {key}, written by somebody else, is nowhere")
        found += [f"I3: {key} appeared" for key in store if key not in self.was and key not in self.theirs]
        return found

    def _all_copies(self) -> Iterator[dict[str, Any]]:
        # What was live until the exchange lies in the swap name for a moment; it is kept from there.
        for path in [*backups(self.index), self.index + ".session-closer-swap"]:
            if os.path.exists(path):
                try:
                    yield json.loads(file_bytes(path))
                except ValueError:
                    continue

    def _modes(self) -> list[str]:
        found = []
        mode = self.before.modes[self.agent]
        if (now := stat.S_IMODE(os.stat(self.index).st_mode)) != mode:
            found.append(f"I7: mode of the store: {now:o}")
        beside, name = os.path.split(self.index)
        for other in os.listdir(beside):
            if other.startswith(name + "."):
                now = stat.S_IMODE(os.stat(os.path.join(beside, other)).st_mode)
                if now != 0o600 and not (now == mode and ".session-closer-" in other):
                    found.append(f"I7: mode of {other}: {now:o}")
        return found

    def _files(self, names: set[str], store: dict[str, Any], *, ended: bool) -> list[str]:
        found = []
        ids, kept_ids = _ids(self.was), self._used(store, ended=ended)
        known = {os.path.basename(self.index)}
        for live, digest in self.before.files[self.agent].items():
            places = [live] if live in names else []
            places += [name for name in names if (m := ARCHIVE.fullmatch(name)) and m["live"] == live]
            known.update(places)
            if len(places) != 1 and not (self.torn and self._one_file(places)):
                found.append(f"I5: {live} is in {places}")
                continue
            if _digest(self.folder, places[0]) != digest:
                found.append(f"I5: bytes of {live} changed")
            owners = _owners(live)
            if owners & kept_ids and places[0] != live:
                found.append(f"I6/I9: {live} was torn from its entry")
            if ended and owners & ids and not owners & kept_ids and places[0] == live:
                found.append(f"end: {live} was left behind as an orphan")
        strange = (n for n in names - known if not _names_backup_or_temp(os.path.join(self.folder, n), self.index))
        return found + [f"I8: {name} appeared" for name in strange]

    def _used(self, own: dict[str, Any], *, ended: bool) -> set[str]:
        """Return the ids whose files sessions use: their own, and what any agent's `sessionFile` names in this folder.

        A row that took a file into use while we worked is owed it when all has ended; it may be away for a moment.
        """
        stores = {self.agent: own}
        for agent, path in self.before.paths.items():
            if agent != self.agent:
                try:
                    stores[agent] = json.loads(file_bytes(path))
                except (OSError, ValueError):
                    continue  # told where that agent is looked at
        used: set[str] = set()
        for agent, store in stores.items():
            was = self.was if agent == self.agent else json.loads(self.before.indexes[agent])
            rows = {key: row for key, row in store.items() if isinstance(row, dict) and (ended or key in was)}
            used |= _ids(rows) if agent == self.agent else set()
            used |= {name.removesuffix(".jsonl") for row in rows.values() for name in self._named_here(row)}
        return used

    def _named_here(self, row: Mapping[str, Any]) -> list[str]:
        folder, _, name = str(row.get("sessionFile", "")).rpartition("/")
        return [name] if folder and os.path.realpath(folder) == os.path.realpath(self.folder) else []

    def _one_file(self, places: list[str]) -> bool:
        """Tell whether two names are one file: a rename by link and unlink, half done."""
        return len(places) == 2 and os.path.samefile(*(os.path.join(self.folder, name) for name in places))

    def _end(self, store: dict[str, Any], copies: list[dict[str, Any]]) -> list[str]:
        found = []
        for key, value in {**self.was, **self.theirs}.items():
            there = key in store
            if key in self.closing and there and key not in self.theirs:
                found.append(f"end: {key} is still there")
            if key not in self.closing and (not there or store[key] != value):
                found.append(f"end: {key} is not as it should be")
        if self.closing & set(self.was) and not copies:
            found.append("end: no backup")
        beside, name = os.path.split(self.index)
        found += [f"end: {other} left behind" for other in os.listdir(beside) if _is_ours(other, name)]
        return found


def _ids(store: Mapping[str, Any]) -> set[str]:
    return {str(entry.get("sessionId")) for entry in store.values() if isinstance(entry, dict)}


def _owners(live: str) -> set[str]:
    """Return the session ids whose file this may be; none for an archive that was there before."""
    stem = live.split(".", maxsplit=1)[0]
    return set() if ARCHIVE.fullmatch(live) or ".reset." in live else {stem, stem.split("-topic-")[0]}


def _is_ours(name: str, index: str) -> bool:
    return name.startswith(index) and (".session-closer-" in name or ".lock" in name)


def _own_folder(before: World, closing: Mapping[str, set[str]], written: Written) -> list[str]:
    """After a run that ended: no open run, and for each closed entry a receipt that leads to its bytes."""
    found = []
    root = os.path.join(before.state, OURS)
    place = os.path.join(root, "open")
    if os.path.isdir(place):
        found += [f"end: open run left: {run}" for run in os.listdir(place)]
    told: set[tuple[str, str]] = set()
    folder = os.path.join(root, "receipts")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            receipt = json.loads(file_bytes(os.path.join(folder, name)))
        except ValueError as problem:
            found.append(f"end: receipt {name}: {problem!r}")
            continue
        if receipt["state"] != "done":
            found.append(f"end: receipt {name} is {receipt['state']}")
        for store in receipt["stores"]:
            told |= {(store["agent"], s["key"]) for s in store["sessions"] if s["status"] == "closed"}
            found += [f"end: receipt {name}: {line}" for line in _receipt(store)]
    changed = {(agent, key) for agent, key, _ in written}
    wanted = {(agent, key) for agent, keys in closing.items() for key in keys & set(json.loads(before.indexes[agent]))}
    return found + [f"end: no receipt of {key}" for agent, key in sorted(wanted - told - changed)]


def _receipt(store: dict[str, Any]) -> Iterator[str]:
    try:
        backup = file_bytes(os.path.join(os.path.dirname(store["path"]), store["backup"]))
    except OSError as problem:
        yield repr(problem)
        return
    if hashlib.sha256(backup).hexdigest() != store["sha256"] or len(backup) != store["size"]:
        yield f"{store['backup']} is another one"
    for session in () if store["restores"] else store["sessions"]:
        entry = backup[session["offset"] : session["offset"] + session["length"]]
        if hashlib.sha256(entry).hexdigest() != session["sha256"] or json.dumps(session["key"]) not in entry.decode():
            yield f"the entry of {session['key']} is not where it says"
        for move in session["moves"] if session["status"] == "closed" else ():
            target, source = (os.path.join(store["roots"][move["root"]], move[end]) for end in ("target", "source"))
            if not os.path.exists(target) and not os.path.exists(source):
                yield f"{move['target']} is not there"


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


def _digest(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    if not os.path.isfile(path) or os.path.islink(path):
        return f"no file, mode {os.lstat(path).st_mode:o}"
    return hashlib.sha256(file_bytes(path)).hexdigest()
