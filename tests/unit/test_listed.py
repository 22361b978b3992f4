"""Which sessions of a home are listed, and in which order."""

from __future__ import annotations

import pytest
from session_closer.core.listed import OPEN, Inventory, SessionLine, Sought, matching

NOW = 1_790_000_000.0
LINES = (
    SessionLine("b", "1", "cli", "Of the Day", "ended", NOW - 100),
    SessionLine("a", "2", "cron", "Kelly", OPEN, NOW - 100),
    SessionLine("a", "kelly", "telegram", "", OPEN, NOW - 50),
    SessionLine("a", "4", "cli", "none", OPEN, None),
    SessionLine("a", "1", "cli", "", OPEN, None),
)


def ids(*words: str, older_than: float | None = None) -> list[tuple[str, str]]:
    return [(line.agent, line.id) for line in matching(LINES, Sought(words, older_than), NOW)]


def test_the_newest_come_first_and_those_without_a_message_last() -> None:
    assert ids() == [("a", "kelly"), ("a", "2"), ("b", "1"), ("a", "1"), ("a", "4")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["KELLY"], [("a", "kelly"), ("a", "2")]),
        (["kelly", "cron"], [("a", "2")]),
        (["telegram"], [("a", "kelly")]),
        (["day cli"], []),
        (["the day"], [("b", "1")]),
        (["nobody"], []),
    ],
)
def test_all_words_stand_in_what_a_session_is_called(words: list[str], found: list[tuple[str, str]]) -> None:
    assert ids(*words) == found


def test_only_what_is_open_and_has_been_silent_for_longer_is_older() -> None:
    assert ids(older_than=60.0) == [("a", "2")]
    assert ids(older_than=10.0) == [("a", "kelly"), ("a", "2")]
    assert ids("kelly", older_than=100.0) == []


def test_what_is_not_shown_is_said_to_be_there() -> None:
    assert Inventory(rows=LINES[:2], total=3).has_more
    assert not Inventory(rows=LINES[:2], total=2).has_more


@pytest.mark.parametrize("last", [float("inf"), float("-inf"), 1e306, -1e306, 1e18])
def test_a_time_that_is_none_is_as_if_there_were_none(last: float) -> None:
    line = SessionLine("a", "5", "cli", "", OPEN, last)
    assert (line.last_ms, Inventory(now=NOW).age(line)) == (None, None)
    assert matching([line, LINES[1]], Sought(), NOW) == [LINES[1], line]
    assert matching([line], Sought(older_than=1.0), NOW) == []
