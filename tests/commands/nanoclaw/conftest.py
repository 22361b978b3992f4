"""Homes of NanoClaw for the commands that clean them up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.nanoclaw import V1Home, V2Home


@pytest.fixture
def first(tmp_path: Path) -> Iterator[V1Home]:
    """A home of version 1."""
    made = V1Home(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def second(tmp_path: Path) -> Iterator[V2Home]:
    """A home of version 2: its database is open, so that its newest rows are in the -wal alone."""
    made = V2Home(tmp_path / "home")
    yield made
    made.close()
