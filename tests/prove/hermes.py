"""Hermes: sessions in use are told from those that are not, and checkpoints are whole, whatever goes wrong."""

from __future__ import annotations

import errno
from itertools import product
from pathlib import Path

from faults.checkpoints import JOBS, Bench, Job
from session_closer.hermes import protection
from session_closer.hermes.reasons import Terms
from support.clock import Brisk
from support.hermes import FREE, WAYS, HermesHome, Way

from .parts import Given, Tally

_ERRORS = (errno.EIO, errno.ENOSPC)


def in_use(given: Given) -> Tally:
    """Make a session that is in use, or is not, before a look or behind it; it has to be told apart from another."""
    ways = [way for way in WAYS + FREE if given.only in way.name]
    return given.spread([(way, version) for way in ways for version in way.versions], _one_way)


def _one_way(item: tuple[Way, int], place: str) -> Tally:
    way, version = item
    tally = Tally()
    for late, every in product((False, True), repeat=2):
        home = HermesHome(Path(place, f"late-{late}-{every}"), version)
        home.session("nobodys")
        if not late:
            way.make(home, "it")
        seen = protection.look(str(home.path), Brisk(), Terms(every=every))
        if late:
            way.make(home, "it")
        told = {name: seen.why_now(name) for name in ("it", "nobodys")}
        if told != {"it": way.word, "nobodys": ""}:
            when = f"{'late' if late else 'at once'}, {'all' if every else 'marked'} rows"
            tally.broken.append(f"{way.name}, schema {version}, {when}: {told}")
        tally.points += 1
        seen.close()
        home.close()
    return tally


def checkpoints(given: Given) -> Tally:
    """Kill what puts checkpoints away, brings them back or deletes them, fail its steps, and kill what settles that."""
    share, errors = (1, _ERRORS) if given.everything else (3, _ERRORS[:1])

    def work(job: Job, place: str) -> Tally:
        bench = Bench(job, place)
        steps = bench.steps()
        for point in range(steps):
            bench.killed(point, "before")
            if point % share == 0:
                for number in errors:
                    bench.failed(point, "before", number)
                    bench.failed(point, "after", number)
            if point % (share * share) == 0:
                for again in range(bench.steps_of_settling(point)):
                    bench.killed_twice(point, again)
        bench.killed(steps - 1, "after")
        return Tally(bench.tried, bench.broken)

    return given.spread([job for job in JOBS if given.only in ("", job.name)], work)
