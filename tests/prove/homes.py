"""Homes of files, cleaned up and brought back: kills, errors, torn writes, power cuts, others at it."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from faults.homes import HERMES, JOBS, NANOCLAW, Bench, Job, Trial, changed
from faults.injection import Counting, Plain

from .parts import Given, Tally

_ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
# In CI each so many-th cut.
_SHARE = 5


def hermes(given: Given) -> Tally:
    """Disturb each job over a home of Hermes."""
    return _homes(given, (HERMES,))


def nanoclaw(given: Given) -> Tally:
    """Disturb each job over homes of both versions of NanoClaw."""
    return _homes(given, NANOCLAW)


def _homes(given: Given, trials: Sequence[Trial]) -> Tally:
    """Disturb each job at its steps, with and without a rename that never replaces."""
    share, errors = (1, _ERRORS) if given.everything else (3, _ERRORS[:1])
    # The homes of both versions of NanoClaw go through the same steps.
    killed = 1 if given.everything or len(trials) == 1 else len(trials)

    def work(item: tuple[Job, type[Counting], Trial], place: str) -> Tally:
        job, disk, trial = item
        bench = Bench(job, place, disk, trial)
        steps = bench.steps()
        for point in range(steps):
            if point % killed == trials.index(trial) % killed:
                bench.killed(point, "before")
            if point % share == 0:
                for number in errors:
                    bench.failed(point, "before", number)
                    bench.failed(point, "after", number)
            if point % (share * share) == 0:
                bench.killed_twice(point, point // 2)
                if disk is Counting:
                    bench.planted(point)
        bench.killed(steps - 1, "after")
        if not job.is_away:
            bench.meddled(trial.used, "a session is gone on with")
            paths = [bench.free[kind] for kind in trial.changed]
            bench.meddled(lambda home: changed(home, paths), "files are written to")
        return Tally(bench.tried, bench.broken)

    jobs = [job for job in JOBS if given.only in ("", job.name)]
    return given.spread([(job, disk, trial) for job in jobs for disk in (Counting, Plain) for trial in trials], work)


def cuts(given: Given) -> Tally:
    """Cut the power at steps of each job, and after a run that finishes what a killed one has left."""
    share = 1 if given.everything else _SHARE

    def work(item: tuple[Job, type[Counting], Trial], place: str) -> Tally:
        job, disk, trial = item
        bench = Bench(job, place, disk, trial)
        every = list(bench.cuts())
        for cut in every[::share]:
            cut()
        for point in range(1, bench.steps() + 1, share):
            bench.cut_later(point)
        return Tally(bench.tried, bench.broken)

    jobs = [job for job in JOBS if given.only in ("", job.name)]
    trials = (HERMES, *NANOCLAW)
    return given.spread([(job, disk, trial) for job in jobs for disk in (Counting, Plain) for trial in trials], work)
