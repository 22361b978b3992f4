"""A home of Hermes for the commands that clean it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from session_closer.operations import put_away
from support.leavings import BeforeChanging, Leavings


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Leavings]:
    """A home with two sessions: its database is open, so that its newest rows are in the -wal alone."""
    made = Leavings(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def before_changing(monkeypatch: pytest.MonkeyPatch) -> BeforeChanging:
    """Do something between the look of a cleanup and its first change."""

    def set_up(happens: Callable[[], object]) -> None:
        real = put_away._change_home

        def meanwhile(*words: object) -> None:
            happens()
            real(*words)  # type: ignore[arg-type]

        monkeypatch.setattr(put_away, "_change_home", meanwhile)

    return set_up
