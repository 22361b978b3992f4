"""The engine that puts away, brings back, settles and expires, on its own: kills, errors, power cuts, names taken."""

from __future__ import annotations

import errno
from collections.abc import Callable

from faults import artifacts as made
from faults.artifacts import DISKS, JOBS, Bench, Job
from faults.injection import Bare, Counting, Plain

from .parts import Given, Tally

_ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
# In CI a share of the second kills and errors: each needs a run of its own for each step of what settles.
_SHARE = 3


def artifacts(given: Given) -> Tally:
    """Disturb each job at every step, on file systems with and without a rename that never replaces."""

    def work(item: tuple[Job, type[Counting], Callable[[Bench, Given], None]], place: str) -> Tally:
        job, disk, disturb = item
        bench = Bench(job, place, disk, links=disturb is not _power)
        disturb(bench, given)
        return Tally(bench.tried, bench.broken)

    ways = {
        _kills: DISKS.values(),
        _errors: DISKS.values(),
        _later: DISKS.values(),
        # Others are overwritten in the instant that Bare leaves, and Plain is not modelled.
        _names_taken: (Counting, Plain),
        _power: (Counting, Bare),
    }
    jobs = [job for job in JOBS if given.only in ("", job.name)]
    return given.spread([(job, disk, way) for job in jobs for way, disks in ways.items() for disk in disks], work)


def _kills(bench: Bench, _given: Given) -> None:
    for point in range(bench.steps()):
        for when in ("before", "after"):
            made.kill(bench, point, when)


def _errors(bench: Bench, _given: Given) -> None:
    for point in range(bench.steps()):
        for number in _ERRORS:
            for when in ("before", "after"):
                made.fail(bench, point, when, number)


def _later(bench: Bench, given: Given) -> None:
    for point in range(0, bench.steps(), 1 if given.everything else _SHARE):
        made.kill_twice(bench, point)
        made.fail_later(bench, point, errno.EIO)


def _names_taken(bench: Bench, _given: Given) -> None:
    for point in range(bench.steps()):
        made.plant(bench, point)


def _power(bench: Bench, _given: Given) -> None:
    made.cut(bench)
    for point in range(1, bench.steps() + 1):
        made.cut_later(bench, point)
