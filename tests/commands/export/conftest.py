"""A store of either kind with a session in it that is worth exporting."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.said import ERAS, Said
from support.stores import Store


@pytest.fixture(params=ERAS)
def said(request: pytest.FixtureRequest, tmp_path: Path, closed_port: int) -> Said:
    """A session with all that a transcript can hold; its gateway is down."""
    return ERAS[request.param](Store(tmp_path / "state", closed_port))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet, for what is exported."""
    return tmp_path / "out"
