"""How old an artifact is said to be, by its time and by the clock."""

from __future__ import annotations

from session_closer.core import artifacts


def test_what_is_far_ahead_of_the_clock_has_no_age() -> None:
    assert artifacts.age(artifacts.AHEAD + 1001.0, 1000.0) is None


def test_what_is_a_little_ahead_of_the_clock_is_new() -> None:
    assert artifacts.age(artifacts.AHEAD + 999.0, 1000.0) == 0.0
    assert artifacts.age(1000.5, 1000.0) == 0.0


def test_an_age_is_in_seconds() -> None:
    assert artifacts.age(400.0, 1000.0) == 600.0
