"""What other agents' stores say: which files of an agent they use, who has a session by a name, or of a parent."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import NamedTuple

from ...artifacts import measuring
from ...artifacts.measuring import Stamp
from ...core import names
from ...core.claims import Claims
from ...core.errors import CloserError
from ...core.model import Session, Snapshot
from ...system import files
from ..home import Home
from . import document
from .store import Seen, check, read_index, see

# A larger store is not searched for a name: a slip must not cost more than a run.
SEARCHED_BYTES = 8 << 20
_VALUE = rb'([^"\\]*(?:\\.[^"\\]*)*)'
_SESSION_FILE = rb'"sessionFile"\s*:\s*"'
_END_BYTES = 1 << 14
# No proof, but a look at the last bytes costs nothing: the last row is an object, in one.
_END = re.compile(rb"[{}][ \t\n\r]*\}[ \t\n\r]*\Z")
_PARENT = re.compile(rb'"(?:spawnedBy|parentSessionKey)"\s*:\s*"' + _VALUE, re.DOTALL)
_SESSION_ID = re.compile(rb'"sessionId"\s*:\s*"' + _VALUE, re.DOTALL)


class Look(NamedTuple):
    """What an agent's index said when it had this stamp: file names by real folder; `wrong`: why not all is known.

    `parents` are the keys that its entries call their parents, of a small one.
    """

    stamp: Stamp | None
    files: Mapping[str, frozenset[str]] = MappingProxyType({})
    wrong: str = ""
    parents: frozenset[str] = frozenset()


class Neighbours:
    """What the stores of a state directory's other agents say; an index that has not changed is not read again.

    `stores` and `snapshots` are what the run has read, by agent; `going` the (agent, key) pairs that it is still to
    close.
    """

    def __init__(
        self,
        home: Home,
        warn: Callable[[str], None],
        stores: Collection[str] = (),
        snapshots: Mapping[str, Snapshot] = MappingProxyType({}),
    ) -> None:
        self.going: frozenset[tuple[str, str]] = frozenset()
        self._home, self._warn, self._stores, self._snapshots = home, warn, stores, snapshots
        self._looks: dict[tuple[str, frozenset[str]], Look] = {}
        self._lent: dict[str, dict[str, Claims]] = {}
        self._seen: dict[str, Seen] = {}

    def claims(self, agent: str) -> dict[str, Claims]:
        """Return by agent what the others' file stores claim in this agent's folder, as far as it can be known.

        What only sessions use that this run closes, too (`going`), is nobody else's.

        What cannot be known keeps no file where it is: OpenClaw, which reads no more than we do, deletes files that
        nobody claims, and an archive comes back.
        """
        found = self._lent[agent] = self._claimed(agent, self.going)
        return found

    def users(self, agent: str) -> dict[str, Claims]:
        """Return by agent, this one first, what file stores claim in this agent's folder, whatever a run closes."""
        self._seen[agent] = see(self._home.index(agent), agent, self._seen.get(agent))
        return {agent: Claims.of(self._seen[agent].sessions.values()), **self.ofothers(agent)}

    def ofothers(self, agent: str) -> dict[str, Claims]:
        """Return by agent what the others' file stores claim in this agent's folder, whatever a run is to close."""
        return self._claimed(agent, frozenset())

    def _claimed(self, agent: str, going: Collection[tuple[str, str]]) -> dict[str, Claims]:
        own = _folders(self._home, agent)
        found: dict[str, Claims] = {}
        for other, path in others(self._home, agent):
            # In a folder that both have, a session id alone claims a file.
            look = self._look(other, path, shared=frozenset(own).intersection(_folders(self._home, other)))
            if look.wrong:
                self._warn(f"the store of agent {other} {look.wrong}: what else it uses of agent {agent} is not known")
            named = frozenset[str]()
            for folder in own:
                if folder in look.files:
                    named |= look.files[folder] - self._only_going(other, folder, going)
            if named:
                found[other] = Claims(frozenset(name.removesuffix(".jsonl") for name in named), named)
        return found

    def _only_going(self, agent: str, folder: str, going: Collection[tuple[str, str]]) -> set[str]:
        """Return the files in a folder that only those of an agent's sessions use which this run is still to close."""
        if not any(owner == agent for owner, _ in going):
            return set()
        try:
            # A row that was added since the plan was made uses its file, too.
            self._seen[agent] = see(self._home.index(agent), agent, self._seen.get(agent))
        except CloserError:
            return set()
        used: dict[bool, set[str]] = {True: set(), False: set()}
        for session in self._seen[agent].sessions.values():
            parent, name = names.parted(session.session_file or "")
            if parent == folder:
                used[(agent, session.key) in going].add(name)
        return used[True] - used[False]

    def as_before(self, agent: str) -> bool:
        """Tell whether other agents claim of this agent's files what they did at the last look, if there was one."""
        before = self._lent.get(agent)
        return before is None or self.claims(agent) == before

    def damaged(self, agent: str) -> list[str]:
        """Return the other agents whose `sessions.json` is not whole: what else they use is not to be known from it."""
        found = []
        for other, path in others(self._home, agent):
            # What this run has read is whole.
            if other not in self._stores:
                try:
                    if files.exists(path):
                        check(read_index(os.path.realpath(path))[0], path)
                except (CloserError, OSError):
                    found.append(other)
        return found

    def _look(self, agent: str, path: str, *, shared: frozenset[str]) -> Look:
        """Return what an agent's index says of files in other folders; one that has not changed is not read again."""
        stamp = measuring.stamp(path)
        look = self._looks.get((agent, shared))
        if look is None or look.stamp != stamp:
            own = [self._home.folder(agent), *filter(None, [self._home.beside(agent)])]
            look = self._looks[agent, shared] = _read(stamp, path, own, shared)
        return look

    def spawned_elsewhere(self, agent: str, keys_of: Collection[str]) -> Iterator[tuple[str, str]]:
        """Give the same of other agents' file stores, as far as they are small."""
        own = frozenset(_folders(self._home, agent))
        for other, path in others(self._home, agent):
            with suppress(CloserError, OSError):
                if os.stat(path).st_size > SEARCHED_BYTES:
                    continue
                look = self._look(other, path, shared=own.intersection(_folders(self._home, other)))
                if look.parents.isdisjoint(keys_of):
                    continue
                self._seen[other] = see(path, other, self._seen.get(other))
                yield from spawned(self._seen[other].sessions.values(), keys_of)


def _folders(home: Home, agent: str) -> list[str]:
    """Return the real folders in which an agent's transcripts may be."""
    return [os.path.realpath(home.folder(agent)), *filter(None, [home.beside(agent)])]


def others(home: Home, agent: str) -> Iterator[tuple[str, str]]:
    """Give the other agents with the paths of their indexes; one that shares this agent's own is no other store."""
    own = os.path.realpath(home.index(agent))
    for other in sorted({*home.agents(), *home.known_agents()[0]} - {agent}):
        path = home.index(other)
        if os.path.realpath(path) != own:
            yield other, path


def spawned(sessions: Iterable[Session], keys_of: Collection[str]) -> Iterator[tuple[str, str]]:
    """Give of sessions that name one of these keys as their parent the parent and the key, each pair once."""
    for session in sessions:
        for parent in session.parents:
            if parent in keys_of and parent != session.key:
                yield parent, session.key


def _read(stamp: Stamp | None, path: str, own: Sequence[str], shared: frozenset[str]) -> Look:
    try:
        raw = files.read(os.path.realpath(path), document.MAX_BYTES)[0]
    except OSError as problem:
        # OpenClaw has no store there either.
        nothing = problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL)
        return Look(stamp, wrong="" if nothing else "cannot be read")
    whole = _END.search(raw[-_END_BYTES:]) is not None
    named = _PARENT.findall(raw) if len(raw) <= SEARCHED_BYTES else []
    return Look(stamp, _named(raw, own, shared), "" if whole else _damage(raw), frozenset(map(_text, named)))


def _damage(raw: bytes) -> str:
    """Return what is wrong with the text of a store, "" where it is whole after all."""
    try:
        document.scan(raw, document.nothing)
    except CloserError as problem:
        return problem.message
    return ""


def _named(raw: bytes, own: Sequence[str], shared: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the files that an index names outside the first of its `own` folders, by real folder.

    By its bytes, so that a store of tens of MB costs milliseconds and one that is cut off tells as much as it holds.
    Every `sessionFile` counts, whatever it is in. A path counts as OpenClaw follows it: any spelling, escaped or not,
    whose folder is really that folder. Only a value that is spelled as its own folder and a plain name is passed over.
    A link in place of a single file is not followed. `shared` are folders that another agent has, too: there every base
    name counts, as a path that leads nowhere is looked for by it.
    """
    spelled = re.escape(json.dumps(own[0], ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass"))
    passed_over = b"" if shared else rb"(?!" + spelled + rb'/[\w.%-]+")'
    found: dict[str, set[str]] = defaultdict(set)
    real = functools.cache(os.path.realpath)
    for value in re.findall(_SESSION_FILE + passed_over + _VALUE, raw, re.DOTALL):
        path = _text(value)
        for whole in dict.fromkeys(os.path.join(place, path) for place in own):
            folder, _, name = whole.rpartition("/")
            # No file system has a path with a NUL or a lone surrogate in it.
            with suppress(ValueError):
                found[real(folder)].add(name)
        for folder in shared:
            found[folder].add(names.parted(path)[1])
    for folder in shared:
        found[folder].update(f"{_text(value)}.jsonl" for value in _SESSION_ID.findall(raw))
    return {folder: frozenset(inside) for folder, inside in found.items()}


def _text(value: bytes) -> str:
    try:
        return str(json.loads(b'"' + value + b'"', strict=False))
    except ValueError:
        return value.decode("utf-8", "surrogateescape")
