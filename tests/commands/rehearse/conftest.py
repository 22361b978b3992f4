"""Fixtures of rehearsals."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where copies are made, in this test alone."""
    made = tmp_path / "room"
    made.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(made))
    return made
