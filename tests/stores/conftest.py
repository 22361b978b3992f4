"""Nobody waits for long where a store is read and changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.clock import Brisk, handed


@pytest.fixture(autouse=True)
def _short_waits() -> Iterator[None]:
    """The stub writes nothing of its own accord, so nobody has to wait for what it might write."""
    with handed(Brisk()):
        yield
