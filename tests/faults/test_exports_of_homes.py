"""Kill or fail each step of an export of a session of Hermes or NanoClaw: what has a final name is whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.exports_of_homes import SCENARIOS, Scenario, made
from support.shares import Share


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_what_has_a_final_name_is_whole_and_its_home_as_it_was(scenario: Scenario, tmp_path: Path, some: Share) -> None:
    bench = made(scenario, tmp_path)
    # A cleanup has many steps, and each time a home is made anew.
    bench.sweep(lambda steps: some(range(steps), 40 if scenario.what == "cleanup" else 9))
    assert bench.tried >= some.least(15)
    assert bench.broken == []
