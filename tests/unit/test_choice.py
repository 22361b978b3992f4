"""Whatever `make test` leaves out is run by `make prove`, and every test has rows of its own in both or in one."""

from __future__ import annotations

from itertools import compress

import pytest
from prove.hostile import _SOME
from support.choice import LONG, Row, brief, rest

TABLES = [
    Row(folder, f"{folder}/test_{sweeps}_{length}", sweeps)
    for folder in (*LONG, "docs")
    for length in (1, 3, 5, 40, 200)
    for sweeps in (False, True)
    for _ in range(length)
]


def test_nothing_falls_between_the_two() -> None:
    for row, quick, proved in zip(TABLES, brief(TABLES), rest(TABLES), strict=True):
        assert quick or proved
        assert proved or not row.sweeps


def test_every_test_is_run_by_make_test() -> None:
    assert set(compress(TABLES, brief(TABLES))) == set(TABLES)


@pytest.mark.parametrize("folder", LONG)
def test_of_a_long_table_most_rows_are_left_to_the_proof(folder: str) -> None:
    rows = [row for row in TABLES if row.folder == folder and row.test.endswith("_200")]
    assert sum(brief(rows)) < len(rows) / 3


def test_the_proof_looks_in_every_folder_that_is_shortened() -> None:
    assert set(LONG) <= set(_SOME)
