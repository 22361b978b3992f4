"""Each test is run by `make test` or by `make prove`; which of its rows are is the same each time."""

from __future__ import annotations

from itertools import compress

from prove.hostile import folders
from support.choice import Row, brief, rest
from support.programs import TESTS

TABLES = [
    Row(f"{place}/test_{long}_{sweeps}_{length}", long, sweeps)
    for place in ("commands", "docs")
    for length in (1, 3, 5, 40, 200)
    for long in (False, True)
    for sweeps in (False, True)
    for _ in range(length)
]
ELSEWHERE = {"live", "ansible"}


def test_no_test_falls_between_the_two() -> None:
    taken = {*compress(TABLES, brief(TABLES)), *compress(TABLES, rest(TABLES))}
    assert taken == set(TABLES)
    assert all(proved or not row.sweeps for row, proved in zip(TABLES, rest(TABLES), strict=True))


def test_the_proof_takes_no_row_twice_and_a_third_of_those_that_are_left_out() -> None:
    rows = [row for row in TABLES if row.test == "docs/test_False_False_200"]
    quick, proved = list(brief(rows)), list(rest(rows))
    assert not any(one and other for one, other in zip(quick, proved, strict=True))
    left = len(rows) - sum(quick)
    assert left / 3 <= sum(proved) < left / 3 + 1


def test_which_rows_are_taken_is_the_same_each_time() -> None:
    assert list(rest(TABLES)) == list(rest(iter(TABLES)))
    assert list(brief(TABLES)) == list(brief(iter(TABLES)))


def test_every_test_that_is_not_long_is_run_by_make_test() -> None:
    taken = set(compress(TABLES, brief(TABLES)))
    assert taken == {row for row in TABLES if not row.long}


def test_of_a_long_table_most_rows_are_left_to_the_proof() -> None:
    rows = [row for row in TABLES if row.test == "docs/test_False_False_200"]
    assert 10 < sum(brief(rows)) < len(rows) / 3


def test_the_proof_looks_in_every_folder_with_tests_that_need_nothing_real() -> None:
    there = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}
    assert set(folders()) == there - ELSEWHERE
