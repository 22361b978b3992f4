"""Checkpoints of Hermes put away, brought back and deleted on disks that fail: a project is whole at one place, always.

A bench makes a home anew for each point, as git's own files are in the way of a copy that is cheap.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from session_closer.core.errors import CloserError
from session_closer.hermes.checkpoints import Project, Store
from session_closer.system.disk import Disk
from support.checkpoints import DAY, NOTHING, Checkpoints, Facts

from .injection import At, Counting, fail_at, in_child, kill_at, nothing

OLD = time.time() - 60 * DAY


class Job(NamedTuple):
    """What is done to a project: is it in an archive before, how many commits has it, and what does it."""

    name: str
    is_away: bool
    commits: int
    work: Callable[[Store, Project, str], object]


JOBS = (
    Job("put-away", False, 2, lambda store, project, folder: store.put_away(project, folder)),
    Job("put-away-empty", False, 0, lambda store, project, folder: store.put_away(project, folder)),
    Job("bring-back", True, 2, lambda store, project, folder: store.bring_back(project.id, folder)),
    Job("bring-back-empty", True, 0, lambda store, project, folder: store.bring_back(project.id, folder)),
    Job("settle", True, 2, lambda store, project, folder: store.settle(project.id, folder)),
    Job("delete", False, 2, lambda store, project, folder: store.delete(project)),
    Job("collect", False, 2, lambda store, project, folder: store.collect_garbage()),
)


class Bench:
    """One job, at every point of which something goes wrong."""

    def __init__(self, job: Job, place: str) -> None:
        self.job, self.place = job, place
        self.tried, self.broken = 0, list[str]()
        model = Path(place, "model")
        self.made = Checkpoints(model / "home")
        self.id = self.made.add("it", touched=OLD, commits=job.commits)
        self.other = self.made.add("other", touched=OLD)
        self.before, self.kept = self.made.facts(self.id), self.made.facts(self.other)
        (self.project,) = (one for one in Store(str(self.made.home), Disk()).projects() if one.id == self.id)
        os.makedirs(self.folder)
        if job.is_away:
            assert Store(str(self.made.home), Disk()).put_away(self.project, self.folder)
        shutil.copytree(model, Path(place, "copy"), symlinks=True)

    @property
    def folder(self) -> str:
        """The archive."""
        return str(self.made.home / "session-closer" / "archive" / "one")

    def anew(self) -> None:
        """Make the home again as it was before the job."""
        shutil.rmtree(Path(self.place, "model"))
        shutil.copytree(Path(self.place, "copy"), Path(self.place, "model"), symlinks=True)

    def do(self, disk: Disk) -> None:
        """Do the job."""
        self.job.work(Store(str(self.made.home), disk), self.project, self.folder)

    def settle(self, disk: Disk) -> str:
        """Do what the next run does."""
        return Store(str(self.made.home), disk).settle(self.id, self.folder)

    def steps(self) -> int:
        """Return how many steps the job has."""
        return self._counted(self.do)

    def steps_of_settling(self, point: int) -> int:
        """Return how many steps it takes to settle a job that was killed."""
        self.anew()
        in_child(lambda: self.do(Counting(kill_at(point, "after"))))
        return self._counted(self.settle)

    def _counted(self, work: Callable[[Disk], object]) -> int:
        if work == self.do:
            self.anew()
        disk = Counting(nothing)
        work(disk)
        return disk.calls

    def killed(self, point: int, when: str) -> None:
        """Kill the job at a step, and look."""
        self.anew()
        in_child(lambda: self.do(Counting(kill_at(point, when))))
        self.look(f"{self.job.name}: killed {when} step {point}")

    def killed_twice(self, point: int, again: int) -> None:
        """Kill the job after a step, and what settles it before one of its own."""
        self.anew()
        in_child(lambda: self.do(Counting(kill_at(point, "after"))))
        in_child(lambda: self.settle(Counting(kill_at(again, "before"))) and None)
        self.look(f"{self.job.name}: killed after step {point}, then before step {again}")

    def failed(self, point: int, when: str, number: int) -> None:
        """Let one step fail."""
        self.anew()
        self._disturbed(fail_at(point, when, number))
        self.look(f"{self.job.name}: {os.strerror(number)} {when} step {point}")

    def _disturbed(self, at: At) -> None:
        with contextlib.suppress(OSError, CloserError):
            self.do(Counting(at))

    def look(self, what: str) -> None:
        """Settle twice, and hold what there is to what is promised."""
        self.tried += 1
        first = self.settle(Disk())
        found, archived = self.made.facts(self.id), sorted(os.listdir(self.folder))
        wrong = self._wrong(first, found, archived)
        if self.settle(Disk()) != first or self.made.facts(self.id) != found:
            wrong = wrong or "settling it again changes it"
        if self.made.facts(self.other) != self.kept or not self.made.is_whole():
            wrong = wrong or "another project, or the repository, is not what it was"
        if first == "away" and not wrong:
            back = Store(str(self.made.home), Disk()).bring_back(self.id, self.folder)
            if back != "live" or self.made.facts(self.id) != self.before:
                wrong = f"comes back {back}, and not as it was"
        if wrong:
            self.broken.append(f"{what}: {wrong}")

    def _wrong(self, place: str, found: Facts, archived: list[str]) -> str:
        if place == "away":
            return "" if found == NOTHING else "is in the archive and in the store"
        if self.job.name == "delete" and not found.history:
            # What is left of it says that it has no checkpoint, and goes next time.
            return "" if found.index is None or found.meta is not None else "an index is left that nobody knows"
        if found != self.before:
            return f"is {place}, and not as it was"
        return f"leaves {archived} in the archive" if archived else ""
