"""Whoever takes a transcript into use while a run puts it away keeps it, and the undo of that run is still exact."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from faults.claims import CLAIMED, RESTORED, WAYS, Taking, Way, killed, moments, ways_of
from faults.scenarios import BATCH, Scenario
from faults.sweep import Bench
from session_closer.core.keys import target
from session_closer.core.wish import Options, Wish
from session_closer.openclaw.home import Home
from session_closer.operations.close import execute
from support.shares import Share

PAIRS = [pytest.param(s, way, id=f"{s.name}: {way.name}") for s in CLAIMED[1:] for way in ways_of(s)]
# What a later command closes, that has nothing to do with the run before it.
OTHER = Wish("close-project-batch", (target("never-spoken", None),))
EACH_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.name))


def taken(taking: Taking, points: Iterable[int], later: int | None = None) -> int:
    return sum(taking.run(moment, None if later is None else moment + later) for moment in points)


@EACH_WAY
def test_at_any_moment_of_a_batch(way: Way, tmp_path: Path, some: Share) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    steps = list(moments(bench))
    tried = taken(Taking(bench, way), some(steps[WAYS.index(way) :: 8], 3))
    assert tried >= some.least(len(steps) // 40 + 1)
    assert bench.broken == []


@pytest.mark.parametrize(("scenario", "way"), PAIRS)
def test_here_and_there_in_every_scenario(scenario: Scenario, way: Way, tmp_path: Path, some: Share) -> None:
    bench = Bench(scenario, str(tmp_path / "bench"))
    assert taken(Taking(bench, way), some(list(moments(bench))[9::31], 1)) > 0
    assert bench.broken == []


@pytest.mark.long
@EACH_WAY
@pytest.mark.parametrize("later", [1, 12])
def test_also_where_the_run_is_killed_afterwards(way: Way, later: int, tmp_path: Path, some: Share) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    assert taken(Taking(bench, way), some(list(moments(bench))[9::21], 2), later) > 0
    assert bench.broken == []


@pytest.mark.long
@EACH_WAY
def test_also_while_an_interrupted_run_is_finished(way: Way, tmp_path: Path, some: Share) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    taking, tried = Taking(bench, way), 0
    for point in some(list(moments(bench))[20::30], 2):
        image = killed(bench, point)
        if image is not None:
            again = list(moments(bench, image))[point % 3 :: 40]
            tried += sum(taking.run(moment, None, image) for moment in again)
    assert tried > 0
    assert bench.broken == []


@EACH_WAY
def test_a_restore_that_was_interrupted_puts_nothing_away_that_is_used(way: Way, tmp_path: Path, some: Share) -> None:
    """Its files came back, its entries did not: they would go away again."""
    [scenario] = RESTORED
    bench, tried = Bench(scenario, str(tmp_path / "bench")), 0
    rows = [row for agent in scenario.closing for row in bench.was(agent).values() if "sessionFile" in row]
    for point in some(range(2, len(bench.steps()), 9), 3):
        assert bench.kill(point, "after")
        Taking(bench, way).take()
        there = [row["sessionFile"] for row in rows if os.path.exists(row["sessionFile"])]
        execute(Home(bench.state, "demo", {}, isolated=True), OTHER, Options())
        tried += len(there)
        bench.broken += [f"{point}: {path} is gone" for path in there if not os.path.exists(path)]
    assert tried >= some.least(6)
    assert bench.broken == []
