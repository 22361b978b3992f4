"""Kill or fail each step of an export, of a close that exports first, and of bringing a bundle back."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.exports import SCENARIOS, Bench, Scenario
from support.shares import Share


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_what_has_a_final_name_is_whole_and_nothing_is_closed_without_a_copy(
    scenario: Scenario, tmp_path: Path, some: Share
) -> None:
    bench = Bench(scenario, str(tmp_path / "bench"))
    bench.sweep(lambda steps: some(range(steps), 9))
    assert bench.tried >= some.least(21)
    assert bench.broken == []
