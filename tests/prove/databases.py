"""The sweeps over databases: a batch that deletes, one that archives, and an undo, killed, cut off or failing.

Between two steps of a run lies one gap, before the later of them: a step is a call of the gateway or one on disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from faults.databases import ERRORS, FINE, PUT_AWAY, TARGETS, Lab, Scene, left_hidden, violations
from faults.injection import At, fail_at, in_child, interrupt_at
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.system.disk import Disk
from support.clock import Brisk, handed
from support.gateway import stub_gateway

from .parts import Given, Tally

# Each has a gateway of its own, which takes a second to start.
_SLICES = 2
# Of the kills, and of the steps of the run that recovers, each so many-th is tried unless everything is run; of a way
# that is run alone.
_SAMPLE, _ALONE = 13, 9
_CUTS = ("drop-before", "drop-after")
_SHOWN = tuple(target for target in TARGETS if target != PUT_AWAY)


class Way(NamedTuple):
    """What is asked of the databases, and what must have become of the rows in the end."""

    name: str
    targets: tuple[str, ...]
    run: Callable[[Scene, Disk], Report]
    fine: frozenset[Status]
    restores: bool = False

    def scene(self, lab: Lab) -> Scene:
        """Return a fresh scene, brought to where this begins."""
        scene = lab.fresh()
        if self.restores:
            assert exit_code(scene.batch(targets=self.targets, archive=True)) == 0
        return scene

    def broken(self, scene: Scene, *, ended: bool) -> list[str]:
        """Return what does not hold now."""
        archives = self.name == "archive"
        found = violations(scene, targets=self.targets, ended=ended and not self.restores, archive=archives)
        if self.restores and ended:
            found += [f"end: {key} is hidden" for key in left_hidden(scene)]
        if self.name != "delete":
            there = {key for agent in scene.before for key in scene.bases.rows(agent)}
            found += [f"{key} is gone" for key in self.targets if key not in there]
        return found


def _delete(scene: Scene, disk: Disk) -> Report:
    return scene.batch(disk, TARGETS)


def _archive(scene: Scene, disk: Disk) -> Report:
    return scene.batch(disk, _SHOWN, archive=True)


WAYS = (
    Way("delete", TARGETS, _delete, frozenset(FINE)),
    Way("archive", _SHOWN, _archive, frozenset(FINE | {Status.ARCHIVED})),
    Way("restore", _SHOWN, Scene.restore, frozenset({Status.RESTORED, Status.ALREADY_RESTORED}), restores=True),
)


class Trial:
    """One way on one bench: scene after scene, and what was found."""

    def __init__(self, way: Way, lab: Lab) -> None:
        self.way, self.lab, self.tally = way, lab, Tally()

    def steps(self, scene: Scene) -> list[str]:
        """Return the steps of an undisturbed run from a scene, which is used up."""
        names: list[str] = []
        self._run(scene, lambda _, name, when: names.append(name) if when == "before" else None)
        return names

    def killed(self, scene: Scene, point: int) -> bool:
        """Kill a run before a step; tell whether it got there."""

        def at(number: int, _name: str, when: str) -> None:
            if (number, when) == (point, "before"):
                os.kill(os.getpid(), signal.SIGKILL)

        return os.WIFSIGNALED(in_child(lambda: self._run(scene, at)))

    def fail(self, scene: Scene, what: str, at: At | None, *, recovers: bool = False, **order: Any) -> None:
        """Let a run fail: it is told, whatever it left holds, and the next run puts it right."""
        scene.lab.stub.tell(serial=str(uuid.uuid4()), **order)
        code, rows = self._run(scene, at or (lambda *_: None))
        # A restore tries twice to finish an interrupted run, and tells why the first try failed. Where a recovery has
        # left nothing to do, whether the gateway lists what runs makes no difference.
        overcome = recovers and (self.way.restores or "(sessions.list)" in what)
        if code == 0 and overcome:
            self._note(f"{what}, overcome", self.way.broken(scene, ended=True))
        elif code == 0:
            self._note(what, ["was not told"])
        there = {key: row for agent in scene.before for key, row in scene.bases.rows(agent).items()}
        for key, status in rows:
            lies = (status is Status.CLOSED and key in there) or (
                status is Status.RESTORED and there[key]["archived_at"] is not None
            )
            self._note(what, [f"{key} was called {status}"] if lies else [])
        self.finish(scene, what)

    def finish(self, scene: Scene, what: str) -> None:
        """Count a point: what is left holds, and the next run, undisturbed, finishes."""
        self.tally.points += 1
        scene.lab.stub.tell(faults=[], serial=str(uuid.uuid4()))
        self._note(what, self.way.broken(scene, ended=False))
        code, rows = self._run(scene, lambda *_: None)
        self._note(f"{what}, next run", [f"exit code {code}"] if code else [])
        self._note(f"{what}, next run", [f"{key} is {status}" for key, status in rows if status not in self.way.fine])
        self._note(f"{what}, next run", self.way.broken(scene, ended=True))

    def _run(self, scene: Scene, at: At) -> tuple[int, list[tuple[str, Status]]]:
        try:
            report = scene.watched(lambda disk: self.way.run(scene, disk), at)
        except KeyboardInterrupt:
            return 130, []
        except CloserError as problem:
            return int(problem.code), []
        return int(exit_code(report)), [(row.key, row.status) for row in report.results]

    def _note(self, what: str, lines: list[str]) -> None:
        self.tally.broken += [f"{self.way.name}: {what}: {line}" for line in lines]


@contextlib.contextmanager
def _bench(place: str) -> Iterator[Lab]:
    """Give a laboratory with a stub of its own; what it does is done when it answers."""
    os.environ["TMPDIR"] = place
    with handed(Brisk()), stub_gateway(Path(place)) as stub:
        yield Lab(Path(place), stub)


def _sweep(given: Given, work: Callable[[Trial, list[str], int], Iterator[None]]) -> Tally:
    """Play each way in slices; `work` gives control back after each point."""

    def share(item: tuple[Way, int], place: str) -> Tally:
        way, part = item
        with _bench(place) as lab:
            trial = Trial(way, lab)
            for _ in work(trial, trial.steps(way.scene(lab)), part):
                if given.first and trial.tally.broken:
                    break
            return trial.tally

    return given.spread([(way, part) for way in WAYS if given.only in ("", way.name) for part in range(_SLICES)], share)


def kills(given: Given) -> Tally:
    """Kill before every step; unless everything is run, before every third one of a deletion, fewer of the others."""

    def work(trial: Trial, names: list[str], part: int) -> Iterator[None]:
        share = given.each(3 if trial.way.name == "delete" else 6)
        for point in range(part * share, len(names), share * _SLICES):
            scene = trial.way.scene(trial.lab)
            if not trial.killed(scene, point):
                trial.tally.broken.append(f"{trial.way.name}: step {point} was not reached")
            trial.finish(scene, f"killed before step {point} ({names[point]})")
            yield

    return _sweep(given, work)


def pairs(given: Given) -> Tally:
    """Kill before a step, then kill the run that recovers before each of its steps."""

    def again(trial: Trial, first: int, names: list[str], point: int) -> bool:
        scene = trial.way.scene(trial.lab)
        if not (trial.killed(scene, first) and trial.killed(scene, point)):
            return False
        trial.finish(scene, f"killed before step {first}, then before step {point} ({names[point]})")
        return True

    return _sweep(given, _second(given, again))


def errors(given: Given) -> Tally:
    """Let every step on disk fail, cut the connection before and after every call, press control-C at every step."""

    def work(trial: Trial, names: list[str], part: int) -> Iterator[None]:
        share = given.each(5 if trial.way.name == "delete" else 10)
        for point in range(part * share, len(names), share * _SLICES):
            for what, at, order in _failures(names, point, every=given.everything):
                trial.fail(trial.way.scene(trial.lab), what, at, **order)
                yield
            if given.everything or point % 2:
                trial.fail(trial.way.scene(trial.lab), f"control-C at step {point}", interrupt_at(point))
                yield

    return _sweep(given, work)


def errors_of_recovery(given: Given) -> Tally:
    """Kill before a step, then let each step of the run that recovers fail, and cut it off at each of its calls."""

    def again(trial: Trial, first: int, names: list[str], point: int) -> bool:
        for what, at, order in _failures(names, point, every=given.everything):
            scene = trial.way.scene(trial.lab)
            if not trial.killed(scene, first):
                return False
            trial.fail(scene, f"killed before step {first}, then {what}", at, recovers=True, **order)
        return True

    return _sweep(given, _second(given, again))


def _failures(names: list[str], point: int, *, every: bool) -> Iterator[tuple[str, At | None, dict[str, Any]]]:
    """Give what can go wrong at a step: words, what to do at it, what to tell the stub."""
    name = names[point]
    if hasattr(Disk, name):
        for number in ERRORS if every else (ERRORS[point % len(ERRORS)],):
            yield f"{errno.errorcode[number]} at step {point} ({name})", fail_at(point, "before", number), {}
        return
    call = 1 + sum(not hasattr(Disk, earlier) for earlier in names[:point])
    for cut in _CUTS if every else (_CUTS[point % 2],):
        yield f"{cut} at step {point} ({name})", None, {"faults": [{"method": "*", "call": [call], "do": cut}]}


def _second(
    given: Given, again: Callable[[Trial, int, list[str], int], bool]
) -> Callable[[Trial, list[str], int], Iterator[None]]:
    """Do something at steps of the recovery from kills; at a sample of both unless everything is run."""

    def work(trial: Trial, names: list[str], part: int) -> Iterator[None]:
        sample = given.each(_SAMPLE, alone=_ALONE)
        share = 1 if given.everything else sample * (1 if trial.way.name == "delete" else 3)
        for first in range(len(names))[::share][part::_SLICES]:
            scene = trial.way.scene(trial.lab)
            if not trial.killed(scene, first):
                continue
            steps = trial.steps(scene)
            for point in range(first % sample, len(steps), sample):
                if not again(trial, first, steps, point):
                    break
                yield

    return work
