"""Ages and sizes as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.core import durations
from session_closer.core.errors import UsageProblem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", 86400.0),
        ("1.5h", 5400.0),
        ("30m", 1800.0),
        ("7d", 604800.0),
        ("1w", 604800.0),
        ("90s", 90.0),
        ("1500ms", 1.5),
        (" 2 H ", 7200.0),
        ("0s", 0.0),
        ("36500d", 36500 * 86400.0),
        ("36501d", None),
        ("24", None),
        (24, None),
        ("", None),
        ("h", None),
        ("-1h", None),
        ("1y", None),
        ("1h30m", 5400.0),
        ("1d12h", 129600.0),
        ("1W2d3H4m5s6ms", 788645.006),
        ("1.5h30m", 7200.0),
        ("1d12", None),
        ("1d 12h", None),
        ("12h1", None),
        ("1dh", None),
        ("36500d1s", None),
        ("1e3s", None),
        ("nan", None),
        (True, None),
        (None, None),
        (["24h"], None),
        (math.inf, None),
    ],
)
def test_seconds(text: object, expected: float | None) -> None:
    assert durations.seconds(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("24", 86400.0), (24, 86400.0), (1.5, 5400.0), ("2m", 120.0)])
def test_a_bare_number_has_the_unit_of_its_setting(text: object, expected: float) -> None:
    assert durations.seconds(text, unit="h") == expected


@pytest.mark.parametrize("text", ["", "24", "soon", "-1h", "1000000d"])
def test_an_age_that_is_none_names_its_option(text: str) -> None:
    with pytest.raises(UsageProblem) as problem:
        durations.age(text, "--older-than")
    assert "--older-than" in problem.value.message
    assert problem.value.remedy.startswith("--older-than 24h")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500mb", 500 << 20),
        ("500 MiB", 500 << 20),
        ("1g", 1 << 30),
        ("1.5k", 1536),
        ("2tb", 2 << 40),
        ("17", 17),
        ("17b", 17),
        (17, 17),
        ("0", 0),
        ("", None),
        ("mb", None),
        ("-1", None),
        ("1x", None),
        (True, None),
        (None, None),
    ],
)
def test_size(text: object, expected: int | None) -> None:
    assert durations.size(text) == expected


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (7199, "119m"),
        (7200, "2h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (10**9, "11574d"),
    ],
)
def test_shown(length: float, text: str) -> None:
    assert durations.shown(length) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (10_240, "10K"), (5 << 20, "5.0M"), (3 << 40, "3072G")],
)
def test_shown_size(count: int, text: str) -> None:
    assert durations.shown_size(count) == text


@given(st.integers(1, 36500 * 86400))
def test_what_is_exact_can_be_read_again(length: int) -> None:
    assert durations.seconds(durations.exact(length)) == length


@given(st.floats(0, 10**9), st.floats(0, 10**9))
def test_a_longer_time_never_looks_shorter(one: float, other: float) -> None:
    short, long = sorted((one, other))
    assert (durations.seconds(durations.shown(short)) or 0) <= (durations.seconds(durations.shown(long)) or 0)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none()))
def test_anything_is_a_duration_or_none(value: object) -> None:
    found = durations.seconds(value)
    assert found is None or 0 <= found <= 100 * 365 * 86400


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "0 s"),
        (12.4, "12 s"),
        (599.4, "599 s"),
        (600, "10 min"),
        (7100, "118 min"),
        (7200, "2.0 h"),
        (90000, "25.0 h"),
    ],
)
def test_how_long_something_takes_is_said_in_one_unit(length: float, said: str) -> None:
    assert durations.about(length) == said


@given(st.floats(10, 1e6))
def test_how_long_something_takes_is_right_within_a_twentieth(length: float) -> None:
    count, _, unit = durations.about(length).partition(" ")
    assert abs(float(count) * {"s": 1, "min": 60, "h": 3600}[unit] - length) <= length / 20


@pytest.mark.parametrize("value", [True, None, "1", math.inf, -math.inf, math.nan, pytest.param(10**400, id="huge")])
def test_what_no_float_holds_is_no_number(value: object) -> None:
    assert durations.finite(value) is None
    assert durations.finite(2) == 2.0
