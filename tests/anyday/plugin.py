"""A pytest plugin: every test begins less than a second before one moment, and so goes on after it."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from .clock import FILE, MOMENT, SHARE, Clock

_CLOCK = Clock(Path(os.environ[FILE]))
_MILLISECOND = 1_000_000
# A test takes about so long.
_MOST = 200


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take this process's share of the tests: each process sets a clock of its own."""
    number, count = map(int, os.environ[SHARE].split("/"))
    items[:] = items[number::count]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Set the clock, for each test at another distance to the moment, and in every run at the same."""
    before = 1 + zlib.crc32(item.nodeid.encode()) % _MOST
    _CLOCK.set(int(os.environ[MOMENT]) - before * _MILLISECOND, _CLOCK.real)
