"""The store that a cleanup finds."""

from __future__ import annotations

import pytest
from support.cleanup import fill
from support.stores import Store


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)
