"""What other agents' stores say: which files of an agent they use, who has a session by a name, or of a parent."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress

from ...artifacts import measuring
from ...artifacts.measuring import Stamp
from ...core import names
from ...core.claims import Claims
from ...core.errors import CloserError
from ...core.model import Session
from ...core.tuples import NamedTuple
from ...system import files
from ..home import Home
from .named_files import SEARCHED_BYTES, Look, read_names
from .store import Seen, check, read_index, see

# A run that changes more stores looks at as many others each time, or it would grow with the square of them.
_AT_ONCE = 16


class Place(NamedTuple):
    """Where an agent's index is, by its name and really, and the real folders in which its transcripts may be."""

    path: str
    real: str
    folders: tuple[str, ...]


class Neighbours:
    """What the stores of a state directory's other agents say; an index that has not changed is not read again.

    `stores` are those that the run has read, by agent; `going` the keys that it is still to close, by agent.
    """

    def __init__(
        self,
        home: Home,
        warn: Callable[[str], None],
        stores: Collection[str] = (),
    ) -> None:
        self.going: dict[str, Collection[str]] = {}
        self._home, self._warn, self._stores = home, warn, stores
        self._places: dict[str, Place] = {}
        self._looks: dict[str, Look] = {}
        self._users: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
        self._shared: frozenset[str] = frozenset()
        self._damaged: set[str] = set()
        self._parents: set[str] = set()
        self._due: set[str] = set()
        self._round: list[str] = []
        self._listed = self._most = 0
        self._is_one, self._has_looked = False, False
        self._lent: dict[str, dict[str, Claims]] = {}
        self._seen: dict[str, Seen] = {}

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Look at each index once, for all agents that are asked about within."""
        self._is_one, self._has_looked = True, False
        try:
            yield
        finally:
            self._is_one = False

    def claims(self, agent: str) -> dict[str, Claims]:
        """Return by agent what the others' file stores claim in this agent's folder, as far as it can be known.

        What only sessions use that this run closes, too (`going`), is nobody else's.

        What cannot be known keeps no file where it is: OpenClaw, which reads no more than we do, deletes files that
        nobody claims, and an archive comes back.

        Where many stores are changed each call looks at a part of the others, all of them in turn.
        """
        found = self._lent[agent] = self._claimed(agent, self.going, self._parts())
        return found

    def _parts(self) -> int:
        """Return in how many parts the others are looked at, one each time, as many at the end as at the beginning."""
        self._most = max(self._most, len(self.going))
        return 1 if self._is_one else math.ceil(self._most / _AT_ONCE)

    def users(self, agent: str) -> dict[str, Claims]:
        """Return by agent, this one first, what file stores claim in this agent's folder, whatever a run closes."""
        self._seen[agent] = see(self._home.index(agent), agent, self._seen.get(agent))
        return {agent: Claims.of(self._seen[agent].sessions.values()), **self.ofothers(agent)}

    def ofothers(self, agent: str) -> dict[str, Claims]:
        """Return by agent what the others' file stores claim in this agent's folder, whatever a run is to close."""
        return self._claimed(agent, {})

    def _claimed(self, agent: str, going: Mapping[str, Collection[str]], parts: int = 1) -> dict[str, Claims]:
        own = self._look_at_others(agent) if parts <= 1 else self._look_at_some(agent, parts)
        for other in sorted(self._damaged - {agent}):
            if self._places[other].real != own.real:
                # The same for each agent that asks: of thousands one line.
                wrong = self._looks[other].wrong
                self._warn(f"the store of agent {other} {wrong}: what else it uses of other agents is not known")
        used: dict[str, frozenset[str]] = {}
        for folder in own.folders:
            for other, named in self._users.get(folder, {}).items():
                if other != agent and self._places[other].real != own.real:
                    left = named - self._only_going(other, folder, going.get(other, ()))
                    used[other] = used.get(other, frozenset()) | left
        return {
            other: Claims(frozenset(name.removesuffix(".jsonl") for name in used[other]), used[other])
            for other in sorted(used)
            if used[other]
        }

    def _only_going(self, agent: str, folder: str, going: Collection[str]) -> set[str]:
        """Return the files in a folder that only those of an agent's sessions use which this run is still to close."""
        if not going:
            return set()
        try:
            # A row that was added since the plan was made uses its file, too.
            self._seen[agent] = see(self._home.index(agent), agent, self._seen.get(agent))
        except CloserError:
            return set()
        keys, used = frozenset(going), {True: set[str](), False: set[str]()}
        for session in self._seen[agent].sessions.values():
            parent, name = names.parted(session.session_file or "")
            if parent == folder:
                used[session.key in keys].add(name)
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

    def spawned_elsewhere(self, agent: str, keys_of: Collection[str]) -> Iterator[tuple[str, str]]:
        """Give the same of other agents' file stores that are small, of many as they were at the last look at each."""
        parts = self._parts()
        own = self._look_at_some(agent, parts) if parts > 1 else self._look_at_others(agent, most=SEARCHED_BYTES)
        for other in sorted(self._parents):
            place, look = self._places[other], self._looks[other]
            if other == agent or place.real == own.real or look.parents.isdisjoint(keys_of):
                continue
            with suppress(CloserError, OSError):
                self._seen[other] = see(place.path, other, self._seen.get(other))
                yield from spawned(self._seen[other].sessions.values(), keys_of)

    def _look_at_others(self, agent: str, *, most: float = math.inf) -> Place:
        """Look at the indexes of others that have at `most` so many bytes; return where this agent's own is."""
        if not (self._is_one and self._has_looked):
            self._list()
            self._has_looked = True
        own = self._places.get(agent) or _place(self._home, agent)
        for other in [one for one in self._due if one != agent and self._places[one].real != own.real]:
            stamp = measuring.stamp(self._places[other].path)
            if stamp and stamp[measuring.SIZE] > most:
                continue
            self._due.remove(other)
            self._note_changed(other, stamp)
        return own

    def _look_at_some(self, agent: str, parts: int) -> Place:
        """Look at one of so many `parts` of the indexes of others, the next time at the next; return the same.

        What is overlooked now is seen a few stores later, and all of it by the look at the end of the run.
        """
        if not self._round:
            if self._listed <= 0:
                self._list()
            self._round = sorted(self._places, reverse=True)
        self._listed -= 1
        own = self._places.get(agent) or _place(self._home, agent)
        for _ in range(min(math.ceil(len(self._places) / parts), len(self._round))):
            other = self._round.pop()
            if self._places[other].real != own.real:
                self._note_changed(other, measuring.stamp(self._places[other].path))
        return own

    def _note_changed(self, agent: str, stamp: Stamp | None) -> None:
        """Read an agent's index unless it is the one that was read."""
        if agent not in self._looks or self._looks[agent].stamp != stamp:
            self._note(agent, stamp)

    def _list(self) -> None:
        """Note where the stores of all agents are, and that all of them are to be looked at."""
        known = {*self._home.agents(), *self._home.known_agents()[0]}
        if self._is_one or known != self._places.keys():
            places = {agent: _place(self._home, agent) for agent in sorted(known)}
            if places != self._places:
                times = Counter(folder for place in places.values() for folder in place.folders)
                self._shared = frozenset(folder for folder, count in times.items() if count > 1)
                self._places, self._looks, self._users, self._round = places, {}, defaultdict(dict), []
                self._damaged, self._parents = set(), set()
        # A store that is new is seen after as many looks, or by the one at the end.
        self._due, self._listed = set(known), _AT_ONCE

    def _note(self, agent: str, stamp: Stamp | None) -> None:
        """Read an agent's index, and note what it says of files in other folders."""
        place = self._places[agent]
        own = [self._home.folder(agent), *filter(None, [self._home.beside(agent)])]
        if (before := self._looks.get(agent)) is not None:
            for folder in before.files:
                del self._users[folder][agent]
        look = self._looks[agent] = read_names(stamp, place.path, own, self._shared.intersection(place.folders))
        for folder, named in look.files.items():
            self._users[folder][agent] = named
        for those, is_one in ((self._damaged, look.wrong), (self._parents, look.parents)):
            (those.add if is_one else those.discard)(agent)


def _place(home: Home, agent: str) -> Place:
    index, own = home.index(agent), home.folder(agent)
    folder, (place, name) = os.path.realpath(own), os.path.split(index)
    # A path is made real link by link, and there may be thousands of agents.
    is_there = place == own and not os.path.islink(index)
    real = f"{folder}/{name}" if is_there else os.path.realpath(index)
    return Place(index, real, tuple(dict.fromkeys([folder, *filter(None, [home.beside(agent)])])))


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
