"""Sessions that are made when they are asked for are those of any store."""

from __future__ import annotations

import pytest
from session_closer.core import lazy
from session_closer.core.lazy import Lazy
from session_closer.core.model import Session

TIMES = {"a": 1, "b": None, "c": 3}
EVERY = {key: Session("lead", key, None, None, updated_at=at) for key, at in TIMES.items()}


def made_of(asked: list[str]) -> Lazy:
    """Return the sessions, which note who is asked for."""

    def make(key: str) -> Session:
        asked.append(key)
        return EVERY[key]

    return Lazy(TIMES, make)


def test_they_are_those_of_any_store_and_each_is_made_once() -> None:
    asked: list[str] = []
    found = made_of(asked)
    assert (list(found), len(found), "b" in found, "x" in found, lazy.updated(found)) == (
        ["a", "b", "c"],
        3,
        True,
        False,
        TIMES,
    )
    assert asked == []
    assert (found["b"], found["b"], found.get("x")) == (EVERY["b"], EVERY["b"], None)
    assert asked == ["b"]
    assert dict(found) == EVERY
    assert sorted(asked) == ["a", "b", "c"]


def test_some_of_them_are_no_others() -> None:
    asked: list[str] = []
    found = lazy.among(made_of(asked), ["c", "b"])
    assert (list(found), "a" in found, lazy.updated(found)) == (["c", "b"], False, {"c": 3, "b": None})
    with pytest.raises(KeyError):
        found["a"]
    assert asked == []
    assert dict(found) == {key: EVERY[key] for key in ("c", "b")} == lazy.among(EVERY, ["c", "b"])


def test_those_that_are_changed_stand_in_place_of_themselves() -> None:
    asked: list[str] = []
    instead = {"b": EVERY["b"].but(bound=True)}
    before = made_of(asked)
    found = lazy.changed(before, instead)
    assert found["b"].bound
    assert asked == []
    assert not before["b"].bound
    assert dict(found) == {**EVERY, **instead} == lazy.changed(EVERY, instead)
    assert list(found) == list(lazy.among(found, TIMES)) == list(EVERY)
    assert lazy.among(found, ["b"])["b"].bound
    assert lazy.changed(found, {"c": EVERY["c"].but(orphaned=True)})["b"].bound


def test_times_are_known_of_any_store() -> None:
    assert lazy.updated(EVERY) == TIMES
