"""A sample store, and what it was before anything was done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.databases import Lab
from faults.oracle import World, look
from session_closer.openclaw import sample
from support.clock import Brisk, handed
from support.gateway import StubGateway
from support.shares import Share


@pytest.fixture(scope="session")
def some(pytestconfig: pytest.Config) -> Share:
    """Take a share of the points of a sweep, fewer with --rest and with --brief, all of them with --everything."""
    thin = 4 if pytestconfig.getoption("--brief") else 2 if pytestconfig.getoption("--rest") else 1
    return Share(bool(pytestconfig.getoption("--everything")), thin)


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A sample store at the place that its entries name."""
    path = os.path.realpath(tmp_path / "state")
    os.mkdir(path, 0o700)
    sample.build(path)
    return path


@pytest.fixture
def template(state: str, tmp_path: Path) -> str:
    """A copy of the sample to start each injection from."""
    path = str(tmp_path / "template")
    shutil.copytree(state, path)
    return path


@pytest.fixture
def before(state: str) -> World:
    return look(state)


@pytest.fixture
def lab(tmp_path: Path, stub: StubGateway) -> Iterator[Lab]:
    """Databases and a gateway that has done a call before its caller can be killed, unless a test says otherwise."""
    with handed(Brisk()):
        yield Lab(tmp_path, stub)
