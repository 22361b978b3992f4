"""Databases and the gateway that serves them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.gateway import StubGateway
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store


@pytest.fixture
def down(tmp_path: Path, closed_port: int) -> Bases:
    """The sample, closed cleanly; its gateway does not run."""
    return build_sqlite(Store(tmp_path / "state", closed_port))


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """The sample, and its gateway runs."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made
