"""A bench to run one injection after another on, each time from the same start, and to hold the invariants."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from faults.image import Image, file_bytes
from faults.injection import NO_CHANGE, At, Counting, Plain, in_child, kill_at, nothing
from faults.looks import OPENS, AtLook, Looks, fail_look
from faults.oracle import Written, backups, look, violations
from faults.scenarios import Scenario, batch, in_json
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.status import Status
from session_closer.system.disk import Disk


def killed_at(state: str, point: int, when: str) -> bool:
    """Run the batch and kill it with SIGKILL before or after its step number `point`; tell whether it was hit."""
    status = in_child(lambda: batch(state, Counting(kill_at(point, when))))
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def fresh(template: str, state: str) -> str:
    """Return a fresh copy of a state directory, in the same place each time: transcripts are named by path."""
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(template, state)
    return state


class Ended(NamedTuple):
    """How one run in a process of its own ended: exit code, None where it was killed; rows as it told them.

    `steps` are those of its disk, `looks` what it looked at, where that was watched.
    """

    code: int | None
    closed: list[tuple[str, str]] = []  # noqa: RUF012
    restored: list[tuple[str, str]] = []  # noqa: RUF012
    steps: list[str] = []  # noqa: RUF012
    looks: list[str] = []  # noqa: RUF012


@dataclass
class Bench:
    """A place where a scenario is run again and again, each time from the same start."""

    scenario: Scenario
    folder: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = os.path.join(os.path.realpath(self.folder), "state")
        self.log = os.path.join(self.folder, "written")
        os.makedirs(self.state, mode=0o700)
        self.scenario.build(self.state)
        self.world = look(self.state, self.scenario.index)
        self.scenario.begin(self.state)
        self.start = self.began = Image.of(self.state)

    def reset(self, image: Image | None = None, written: Written = ()) -> None:
        """Go back to the start, or to another state that was reached from it."""
        self.began = image or self.start
        self.began.put(self.state)
        self.world = self.world.fresh()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)
        if written:
            self._note(written)

    def was(self, agent: str) -> dict[str, Any]:
        """Return an agent's entries as they were at the start."""
        return dict(json.loads(self.world.indexes[agent]))

    def written(self) -> list[tuple[str, str, Any]]:
        """Return what others wrote, once their rename had returned."""
        if not os.path.exists(self.log):
            return []
        return [(agent, key, value) for agent, key, value in map(json.loads, file_bytes(self.log).splitlines())]

    def write(self, index: str, agent: str, rows: dict[str, Any], noted: dict[str, Any]) -> None:
        """Write a store as somebody else, and note which entries that acknowledges."""
        temp = f"{index}.{os.getpid()}.tmp"
        with open(temp, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(in_json(rows))
        os.chmod(temp, self.world.modes[agent])
        os.rename(temp, index)
        self._note([(agent, key, value) for key, value in noted.items()])

    def _note(self, written: Iterable[tuple[str, str, Any]]) -> None:
        with open(self.log, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in written)

    def run(
        self,
        at: At = nothing,
        *,
        meddling: bool = True,
        disk: Callable[[At], Disk] | None = None,
        look: AtLook | None = None,
        looks: tuple[str, ...] = OPENS,
        alone: bool = True,
    ) -> Ended:
        """Run the scenario in a process of its own; `look` is called before each of its `looks`.

        Not `alone` is what nothing disturbs: what a process costs is most of what a run does.
        """
        names: list[str] = []
        meddle = self.scenario.meddle if meddling else None

        def step(number: int, name: str, when: str) -> None:
            if when == "before":
                names.append(name)
            if meddle is not None and (name, when) in self.scenario.meddle_at:
                # Which agent's store it is shows in the lock that is held.
                for agent, index in self.world.paths.items():
                    if os.path.lexists(index + ".session-closer-swap"):
                        meddle(self, index, agent)
            at(number, name, when)

        watched = Looks(self.state, look, looks) if look is not None else None

        def ended() -> Ended:
            if watched is not None:
                watched.watch()
            try:
                report = self.scenario.run(self.state, (disk or self.scenario.disk)(step))
            except KeyboardInterrupt:
                code, closed, restored = 130, [], []
            except CloserError as problem:
                code, closed, restored = int(problem.code), [], []
            else:
                code = int(exit_code(report))
                told = [(row.agent, row.key, row.status) for row in report.results]
                closed = [(agent, key) for agent, key, status in told if status is Status.CLOSED]
                restored = [(agent, key) for agent, key, status in told if status is Status.RESTORED]
            return Ended(code, closed, restored, names, watched.seen if watched is not None else [])

        return self._alone(ended) if alone else self._here(ended)

    def _alone(self, work: Callable[[], Ended]) -> Ended:
        reading, writing = os.pipe()
        status = in_child(lambda: os.write(writing, json.dumps(work()).encode()))
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return Ended(None)
        if os.WEXITSTATUS(status) != 0:
            self.broken.append("a traceback")
            return Ended(99)
        return Ended(*json.loads(told))

    def _here(self, work: Callable[[], Ended]) -> Ended:
        try:
            return work()
        except Exception:
            traceback.print_exc()
            self.broken.append("a traceback")
            return Ended(99)

    def steps(self, image: Image | None = None, written: Written = ()) -> list[str]:
        """Return the names of the steps of an undisturbed run from a state."""
        self.reset(image, written)
        return self.run(meddling=False, alone=False).steps

    def check(self, what: str, *, ended: bool = False, torn: bool = False) -> None:
        """Note which invariants do not hold now; `torn`: as for violations()."""
        found = violations(
            self.world,
            {} if ended and self.scenario.restores else self.scenario.closing,
            ended=ended,
            written=self.written(),
            torn=(torn or self.scenario.disk is Plain) and not ended,
        )
        self.broken += [f"{self.scenario.name}: {what}: {line}" for line in found]

    def check_left(self, what: str) -> None:
        """Note a run that failed, changed nothing, and left a backup: each try would leave one more."""
        for agent, index in self.world.paths.items():
            start = {os.path.join(self.state, path) for path in self.began.nodes}
            more = set(backups(index)) - start
            if more and file_bytes(index) == self.began.content(self.state, index) and not self.records():
                self.broken.append(f"{self.scenario.name}: {what}: {agent}: left {sorted(map(os.path.basename, more))}")

    def records(self) -> list[str]:
        """Return the records that may name a backup: of runs that have not ended, and receipts that are new."""
        root = os.path.join(self.state, "session-closer")
        there = {os.path.join(place, name) for place, _, names in os.walk(root) for name in names}
        receipts = {os.path.join(self.state, path) for path in self.began.nodes if "/receipts/" in path}
        return sorted(there - receipts)

    def check_words(self, what: str, ended: Ended) -> None:
        """Note what the program called closed although it is there, or restored although it is not."""
        for agent, key in ended.closed:
            if key in json.loads(file_bytes(self.world.paths[agent])):
                self.broken.append(f"{self.scenario.name}: {what}: {key} was called closed and is there")
        for agent, key in ended.restored:
            if key not in json.loads(file_bytes(self.world.paths[agent])):
                self.broken.append(f"{self.scenario.name}: {what}: {key} was called restored and is not there")

    def finish(self, what: str) -> None:
        """Count an injection: whatever it left must hold, and the next run must put it right."""
        self.tried += 1
        self.check(what)
        ended = self.run(meddling=False, alone=False)
        if ended.code is None or ended.code in (99, 130):
            self.broken.append(f"{self.scenario.name}: {what}: the next run ended with {ended.code}")
        self.check_words(f"{what}, next run", ended)
        self.check(f"{what}, next run", ended=True)

    def kill(self, point: int, when: str, image: Image | None = None, written: Written = ()) -> bool:
        """Kill a run at a step; tell whether it came to that."""
        self.reset(image, written)
        return self.run(kill_at(point, when)).code is None

    def error(self, what: str, at: At, image: Image | None = None, written: Written = (), *, once: bool = True) -> None:
        """Inject errors into a run that goes on after them; they must be told. `once`: one, so it can put away."""
        self.reset(image, written)
        mark = os.path.join(self.folder, "hit")

        def noticing(number: int, name: str, when: str) -> None:
            try:
                at(number, name, when)
            except BaseException:
                with open(mark, "w"):
                    raise

        with contextlib.suppress(FileNotFoundError):
            os.unlink(mark)
        ended = self.run(noticing)
        if not os.path.exists(mark):
            return
        if ended.code == 0 and image is not None and self.scenario.restores:
            # A restore tries twice to finish an interrupted run, and tells why the first try failed.
            self.check(f"{what}, overcome", ended=True)
        elif ended.code == 0:
            self.broken.append(f"{self.scenario.name}: {what}: was not told")
        self.check_words(what, ended)
        if once:
            self.check_left(what)
        self.finish(what)

    def fail_look(
        self,
        point: int,
        number: int,
        what: str,
        image: Image | None = None,
        written: Written = (),
        looks: tuple[str, ...] = OPENS,
    ) -> None:
        """Let one look of a run fail: it is told, or all is as if nothing had failed."""
        self.reset(image, written)
        ended = self.run(look=fail_look(point, number), looks=looks)
        if ended.code == 0:
            self.check(f"{what}, not told", ended=True)
        self.check_left(what)
        self.check_words(what, ended)
        self.finish(what)


def first_kills(bench: Bench, *, every: bool) -> Iterator[tuple[int, str]]:
    """Yield the kills after which a recovery has something else to do than after the one before; or all of them."""
    for point, name in enumerate(bench.steps()):
        for when in ("before", "after"):
            if every or (when == "after" and name not in NO_CHANGE):
                yield point, when
