"""Exports: a kill and an error at every step leaves nothing half under a final name, and closes nothing uncopied."""

from __future__ import annotations

import os
from pathlib import Path

from faults import exports_of_homes
from faults.exports import SCENARIOS, Bench, Scenario, sweep

from .parts import Given, Tally


def exports(given: Given) -> Tally:
    """Disturb each scenario at every step."""

    def work(scenario: Scenario, place: str) -> Tally:
        bench = Bench(scenario, os.path.join(place, "bench"))
        sweep(bench, lambda steps: list(range(steps)))
        return Tally(bench.tried, bench.broken)

    return given.spread([one for one in SCENARIOS if given.only in ("", one.name)], work)


def of_homes(given: Given) -> Tally:
    """Disturb each export from a home of files at every step."""

    def work(scenario: exports_of_homes.Scenario, place: str) -> Tally:
        bench = exports_of_homes.made(scenario, Path(place))
        every = 1 if given.everything or scenario.what != "cleanup" else 5
        exports_of_homes.sweep(bench, lambda steps: list(range(0, steps, every)))
        return Tally(bench.tried, bench.broken)

    return given.spread([one for one in exports_of_homes.SCENARIOS if given.only in ("", one.name)], work)
