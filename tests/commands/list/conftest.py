"""Stores for the tests of list-sessions, in files and in databases."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.listing import FILL, empty
from support.stores import Store


@pytest.fixture
def now() -> int:
    """The time in ms."""
    return int(time.time() * 1000)


@pytest.fixture(params=FILL)
def filled(request: pytest.FixtureRequest, tmp_path: Path, closed_port: int, now: int) -> Store:
    """A store of either kind with KNOWN in it, its gateway down."""
    store = empty(tmp_path / "state", closed_port)
    FILL[request.param](store, now)
    return store
