from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from faults.oracle import World, look
from session_closer.cli import demo


@pytest.fixture
def state(tmp_path: Path) -> str:
    """A sample store at the place that its entries name."""
    path = os.path.realpath(tmp_path / "state")
    os.mkdir(path, 0o700)
    demo.build(path)
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
