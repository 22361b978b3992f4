"""Transcripts that are taken into use while a run puts them away, or while another brings it to its end."""

from __future__ import annotations

import os

from faults.claims import CLAIMED, RESTORED, Taking, Way, killed, moments, ways_of
from faults.sweep import Bench, Scenario

from .parts import Given, Tally

_SLICES = 4
# A prime, so that over all moments each step is once the one of the kill.
_BETWEEN = 7


def claims(given: Given) -> Tally:
    """Take transcripts into use before each step; then let it end, kill it later, or do so while another recovers."""

    def work(item: tuple[Scenario, Way, int], place: str) -> Tally:
        scenario, way, part = item
        bench = Bench(scenario, os.path.join(place, "bench"))
        taking = Taking(bench, way)
        steps = list(moments(bench))
        thorough = given.everything or scenario.name == "batch"
        for moment in steps[part :: _SLICES if thorough else 4 * _SLICES]:
            if not scenario.restores:
                taking.run(moment)
            for later in range(moment + 1, len(steps), 1 if given.everything else 3 * _BETWEEN):
                taking.run(moment, later)
            if given.first and bench.broken:
                break
        for point in steps[part :: _SLICES if given.everything else _BETWEEN * _SLICES]:
            image = killed(bench, point)
            if image is not None:
                for moment in list(moments(bench, image))[:: 1 if given.everything else _BETWEEN]:
                    taking.run(moment, None, image)
        return Tally(bench.tried, bench.broken)

    scenarios = [scenario for scenario in (*CLAIMED, *RESTORED) if given.takes(scenario)]
    return given.spread([(s, way, part) for s in scenarios for way in ways_of(s) for part in range(_SLICES)], work)
