"""The power cuts: every state that a cut could leave in the model of faults/power.py, of a run and of a recovery."""

from __future__ import annotations

import os

from faults import power
from faults.image import Image
from faults.injection import Bare, Counting
from faults.scenarios import SCENARIOS, Scenario
from faults.sweep import Bench, first_kills

from .parts import Given, Tally

_SLICES = 8
# Others do not sync what they write: their part in a cut is not ours to judge.
_ALONE = [scenario for scenario in SCENARIOS if scenario.disk in (Counting, Bare) and scenario.meddle is None]


def cuts(given: Given) -> Tally:
    """Cut the power at every step of a run; unless everything is run, every second state is tried."""

    def work(scenario: Scenario, place: str) -> Tally:
        bench = Bench(scenario, os.path.join(place, "bench"))
        for number, (what, image) in enumerate(power.states(bench)):
            if number % given.each(2):
                continue
            power.cut(bench, what, image)
            if given.first and bench.broken:
                break
        return Tally(bench.tried, bench.broken)

    return given.spread([scenario for scenario in _ALONE if given.takes_all_of(scenario)], work)


def cuts_of_recovery(given: Given) -> Tally:
    """Kill a run at a step, then cut the power at every step of the run that recovers."""

    def work(item: tuple[Scenario, int], place: str) -> Tally:
        scenario, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        seen: set[str] = set()
        share = given.each(97, alone=32)
        for point, when in list(first_kills(bench, every=False))[::share][part::_SLICES]:
            if not bench.kill(point, when):
                continue
            start = Image.of(bench.state)
            for what, image in power.states(bench, start):
                if image.mark not in seen:
                    seen.add(image.mark)
                    power.cut(bench, f"killed {when} step {point}, then {what}", image)
            if given.first and bench.broken:
                break
        return Tally(bench.tried, bench.broken)

    return given.spread([(s, part) for s in _ALONE if given.takes_all_of(s) for part in range(_SLICES)], work)
