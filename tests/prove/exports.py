"""Exports: a kill and an error at every step leaves nothing half under a final name, and closes nothing uncopied."""

from __future__ import annotations

import os
from pathlib import Path

from faults import exports_of_homes
from faults.exports import SCENARIOS, Bench, Scenario

from .parts import Given, Tally

# So many processes share the work of one scenario at most.
_SLICES = 4


def exports(given: Given) -> Tally:
    """Disturb each scenario at every step."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        bench.sweep(lambda steps: range(part, steps, _SLICES), thorough=given.everything)
        return Tally(bench.tried, bench.broken)

    chosen = [one for one in SCENARIOS if given.only in ("", one.name)]
    return given.spread([(one, part) for one in chosen for part in range(_SLICES)], work)


def of_homes(given: Given) -> Tally:
    """Disturb each export from a home of files at every step, a cleanup at some."""

    def work(item: tuple[exports_of_homes.Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = exports_of_homes.made(scenario, Path(place))
        share = 5 if scenario.what == "cleanup" and not given.everything else 1
        bench.sweep(lambda steps: range(part * share, steps, _SLICES * share), thorough=given.everything)
        return Tally(bench.tried, bench.broken)

    chosen = [one for one in exports_of_homes.SCENARIOS if given.only in ("", one.name)]
    return given.spread([(one, part) for one in chosen for part in range(_SLICES)], work)
