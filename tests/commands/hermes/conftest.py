"""A home of Hermes for the commands that clean it up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.leavings import Leavings


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Leavings]:
    """A home with two sessions: its database is open, so that its newest rows are in the -wal alone."""
    made = Leavings(tmp_path / "home")
    yield made
    made.close()
