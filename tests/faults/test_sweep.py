"""Kill or fail at every step: nothing is lost at that instant, and the next run finishes the work."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from faults.injection import ERRORS, Counting, Torn, in_child
from faults.oracle import World, violations
from faults.scenarios import CLOSING, SCENARIOS, Scenario, batch
from faults.sweep import Bench, fresh, killed_at
from session_closer.core.ending import exit_code
from session_closer.core.status import Status
from support.shares import Share


def steps_of_a_batch(state: str) -> list[str]:
    names: list[str] = []
    batch(state, Counting(lambda _, name, when: names.append(name) if when == "before" else None))
    return names


def test_an_undisturbed_batch_holds_every_invariant(state: str, before: World) -> None:
    report = batch(state, Counting(lambda *_: None))
    assert exit_code(report) == 0
    assert {row.status for row in report.results} == {Status.CLOSED}
    assert violations(before, CLOSING, ended=True) == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_step_loses_nothing_and_the_next_run_finishes(
    state: str, template: str, before: World, when: str, some: Share
) -> None:
    steps = steps_of_a_batch(state)
    assert len(steps) > 40
    broken = []
    for point in some(range(len(steps)), 5, steps.__getitem__):
        fresh(template, state)
        assert killed_at(state, point, when), f"step {point} was not reached"
        broken += [f"{when} {point}: {line}" for line in violations(before, CLOSING, ended=False)]
        assert in_child(lambda: batch(state, Counting(lambda *_: None))) == 0
        broken += [f"{when} {point}, next run: {line}" for line in violations(before, CLOSING, ended=True)]
    assert broken == []


def test_a_kill_of_the_recovery_at_any_of_its_steps_loses_nothing(
    state: str, template: str, before: World, some: Share
) -> None:
    total = len(steps_of_a_batch(state))
    broken = []
    tried = 0
    for first in some(range(3, total, 6), 5):
        for second in some(range(0, 60, 3), 3):
            fresh(template, state)
            assert killed_at(state, first, "after")
            if not killed_at(state, second, "before"):
                break
            tried += 1
            broken += [f"{first}/{second}: {line}" for line in violations(before, CLOSING, ended=False)]
            assert in_child(lambda: batch(state, Counting(lambda *_: None))) == 0
            broken += [f"{first}/{second}, next: {line}" for line in violations(before, CLOSING, ended=True)]
    assert tried >= some.least(7)
    assert broken == []


def test_an_error_at_any_step_is_told_and_loses_nothing(state: str, template: str, before: World, some: Share) -> None:
    steps = steps_of_a_batch(state)
    broken = []
    for point in some(range(len(steps)), 5, steps.__getitem__):
        number = ERRORS[point % len(ERRORS)]

        def fail(at: int, name: str, when: str, point: int = point, number: int = number) -> None:
            if (at, when) == (point, "before"):
                raise OSError(number, os.strerror(number), "injected")

        fresh(template, state)
        report = batch(state, Counting(fail))
        if exit_code(report) == 0:
            broken.append(f"{point}: {errno.errorcode[number]} was not told")
        broken += [f"{point}: {line}" for line in violations(before, CLOSING, ended=False)]
        in_child(lambda: batch(state, Counting(lambda *_: None)))
        broken += [f"{point}, next run: {line}" for line in violations(before, CLOSING, ended=True)]
    assert broken == []


def test_short_writes_are_written_on(state: str, before: World) -> None:
    assert exit_code(batch(state, Torn())) == 0
    assert violations(before, CLOSING, ended=True) == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.name))
def test_every_scenario_ends_as_it_should_and_the_next_run_leaves_it_so(scenario: Scenario, tmp_path: Path) -> None:
    """Also where others write in the middle of it: what they wrote is in the store."""
    bench = Bench(scenario, str(tmp_path / "bench"))
    ended = bench.run()
    assert ended.code == (1 if scenario.name == "displaced" else 0)
    assert bool(bench.written()) is (scenario.meddle is not None)
    bench.check_words("run", ended)
    bench.check("run", ended=True)
    bench.finish("run")
    assert bench.broken == []


@pytest.mark.parametrize("scenario", SCENARIOS[1:], ids=lambda scenario: str(scenario.name))
def test_a_kill_here_and_there_in_every_scenario_loses_nothing(scenario: Scenario, tmp_path: Path, some: Share) -> None:
    bench = Bench(scenario, str(tmp_path / "bench"))
    names = bench.run().steps
    for point in some(range(0, len(names), 11), 2):
        assert bench.kill(point, "after")
        bench.finish(f"killed after step {point} ({names[point]})")
    assert bench.tried >= some.least(3)
    assert bench.broken == []
