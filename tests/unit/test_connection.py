"""A connection that nobody closes is told, whatever Python it is."""

from __future__ import annotations

import gc
import sqlite3

import pytest


def leave_open() -> None:
    sqlite3.connect(":memory:")
    gc.collect()


def test_a_connection_that_nobody_closes_is_told() -> None:
    with pytest.warns(ResourceWarning, match="unclosed database"):
        leave_open()


def test_one_that_is_closed_is_not() -> None:
    sqlite3.connect(":memory:").close()
    gc.collect()
