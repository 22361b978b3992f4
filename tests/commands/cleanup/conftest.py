"""The store that a cleanup finds, and how many sessions it has room for."""

from __future__ import annotations

import pytest
from session_closer.operations import by_store
from support.cleanup import fill
from support.stores import Store


@pytest.fixture(autouse=True, params=["a plan of all", "store by store"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a cleanup of several agents done both ways: it does and says the same."""
    if request.param == "store by store":
        monkeypatch.setattr(by_store, "MOST", 0)


@pytest.fixture
def filled(store: Store) -> Store:
    return fill(store)
