"""Settings of hypothesis for the tests of pure functions."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    """Try other examples each time: a few, with --everything as many as Hypothesis does by itself."""
    # The first example builds hypothesis' table of Unicode, which takes seconds on a busy machine.
    slow = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    examples = slow.max_examples if config.getoption("--everything") else 25
    settings.register_profile("unit", slow, max_examples=examples)
    settings.load_profile("unit")
