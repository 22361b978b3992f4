"""What the parts of the proof share: what they are given, what they hand back, and both cores."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from faults.scenarios import Scenario
from faults.sweep import Bench

Item = TypeVar("Item")
# Bytes of a number in the queue of a part.
_WIDTH = 2


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Skipped(Exception):
    """This part cannot run here, and why."""


@dataclass
class Tally:
    """How many points were tried and what is broken."""

    points: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.points += other.points
        self.broken += other.broken


@dataclass(frozen=True)
class Given:
    """How a part is to run: `everything` or the share that CI runs; `first`: stop at the first violation."""

    root: str
    jobs: int = 1
    everything: bool = False
    first: bool = False
    only: str = ""
    # The parts that have been run in this process, and found nothing.
    clean: set[str] = field(default_factory=set)

    def each(self, share: int, *, alone: int = 1) -> int:
        """Return of how many points one is tried: of all of them, of a scenario that is run alone, else of `share`."""
        return 1 if self.everything else alone if self.only else share

    def takes(self, scenario: Scenario) -> bool:
        return self.only in ("", scenario.name)

    def takes_all_of(self, scenario: Scenario) -> bool:
        """Whether what costs most is tried in a scenario: kills and errors of the recovery, power cuts."""
        return self.takes(scenario) and (self.everything or bool(self.only) or not scenario.rare)

    @contextlib.contextmanager
    def folder(self) -> Iterator[str]:
        """Make an empty folder for one part, and remove it."""
        path = tempfile.mkdtemp(dir=self.root)
        # Tests of other users' files work below it as those users.
        os.chmod(path, 0o711)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def spread(self, items: Sequence[Item], work: Callable[[Item, str], Tally]) -> Tally:
        """Do the work for all items, in as many processes as there are jobs; each item gets an empty folder.

        Whoever is done takes the next one; a pipe holds the numbers of some thousands.
        """
        children = []
        queue, filling = os.pipe()
        with self.folder() as place, os.fdopen(queue, "rb", buffering=0) as numbers:
            with os.fdopen(filling, "wb") as file:
                file.write(b"".join(number.to_bytes(_WIDTH) for number in range(len(items))))
            for number in range(min(self.jobs, max(1, len(items)))):
                reading, writing = os.pipe()
                pid = os.fork()
                if pid == 0:
                    os.close(reading)
                    taken = (items[int.from_bytes(told)] for told in iter(lambda: numbers.read(_WIDTH), b""))
                    tally = self._share(taken, work, os.path.join(place, str(number)))
                    with os.fdopen(writing, "wb") as pipe:
                        pipe.write(pickle.dumps(tally))
                    os._exit(0)
                os.close(writing)
                children.append((pid, reading))
            total = Tally()
            for pid, reading in children:
                with os.fdopen(reading, "rb") as pipe:
                    told = pipe.read()
                os.waitpid(pid, 0)
                total.add(pickle.loads(told) if told else Tally(0, ["a worker was lost"]))
            return total

    def _share(self, items: Iterable[Item], work: Callable[[Item, str], Tally], place: str) -> Tally:
        total = Tally()
        try:
            for item in items:
                os.mkdir(place)
                total.add(work(item, place))
                shutil.rmtree(place, ignore_errors=True)
                if self.first and total.broken:
                    break
        except BaseException:
            total.broken.append(traceback.format_exc())
        return total


class Part(NamedTuple):
    """One part of the proof; its first line says what it does."""

    name: str
    run: Callable[[Given], Tally]


def benched(scenario: Scenario, work: Callable[[Bench], None]) -> Callable[[str], Tally]:
    """Return the work on a bench of a scenario, counted."""

    def on(place: str) -> Tally:
        bench = Bench(scenario, os.path.join(place, "bench"))
        work(bench)
        return Tally(bench.tried, bench.broken)

    return on
