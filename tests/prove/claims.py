"""Transcripts that are taken into use while a run puts them away, or while another brings it to its end."""

from __future__ import annotations

import os

from faults.claims import CLAIMED, Taking, Way, killed, moments, ways_of
from faults.scenarios import Scenario
from faults.sweep import Bench

from .parts import Given, Tally

_SLICES = 4
# In CI: these ways at every second step of the batch, the others at a sixth; every so many steps a kill.
_EVERYWHERE = ("the same session id", "a row of another agent")
_KILLS = 8


def claims(given: Given) -> Tally:
    """Take transcripts into use before each step; then let it end, kill it later, or do so while another recovers."""

    def work(item: tuple[Scenario, Way, int], place: str) -> Tally:
        scenario, way, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        taking, steps = Taking(bench, way), list(moments(bench))
        share = given.each(2 if scenario.name == "batch" and way.name in _EVERYWHERE else 6)
        for moment in steps[part * share :: _SLICES * share]:
            taking.run(moment)
            later = range(moment + 1, len(steps))
            for point in later if given.everything else later[moment % 13 : moment % 13 + (moment % 4 == 0)]:
                taking.run(moment, point)
            if given.first and bench.broken:
                return Tally(bench.tried, bench.broken)
        if given.everything or scenario.name == "batch":
            for point in steps[part * _KILLS :: _SLICES * _KILLS]:
                _while_it_recovers(taking, point, 1 if given.everything else 3 * _KILLS)
        return Tally(bench.tried, bench.broken)

    scenarios = [scenario for scenario in CLAIMED if given.takes(scenario)]
    return given.spread([(s, way, part) for s in scenarios for way in ways_of(s) for part in range(_SLICES)], work)


def _while_it_recovers(taking: Taking, point: int, share: int) -> None:
    image = killed(taking.bench, point)
    if image is not None:
        for moment in list(moments(taking.bench, image))[point % 5 :: share]:
            taking.run(moment, None, image)
