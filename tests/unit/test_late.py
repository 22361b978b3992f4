"""A pattern that is compiled late finds what it would find at once, and each of ours can be compiled."""

from __future__ import annotations

import copy
import importlib
import re

import pytest
from session_closer.core import late
from unit.test_layers import sources


def test_it_does_all_that_a_pattern_does_and_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[object] = []
    compiled = re.compile

    def noted(text: str, flags: int = 0) -> re.Pattern[str]:
        texts.append(text)
        return compiled(text, flags)

    monkeypatch.setattr(re, "compile", noted)
    found = late.pattern("(?P<id>A+)b", re.IGNORECASE)
    assert texts == []
    for _ in range(2):
        match = found.fullmatch("aaB")
        assert match is not None
        assert match["id"] == "aa"
    assert texts == ["(?P<id>A+)b"]
    assert found.sub("-", "xaby") == "x-y"
    assert (found.pattern, found.groups) == ("(?P<id>A+)b", 1)
    assert late.pattern(rb"\d").search(b"a1") is not None


def test_a_copy_of_one_finds_the_same() -> None:
    assert copy.copy(late.pattern("a+")).sub("b", "caat") == "cbt"


def test_an_unknown_member_is_an_error() -> None:
    with pytest.raises(AttributeError):
        late.pattern("a").nonsense  # noqa: B018


def test_each_pattern_can_be_compiled() -> None:
    kind, count = type(late.pattern("")), 0
    for name in sources():
        module = importlib.import_module(f"session_closer.{name}".removesuffix("."))
        for found in vars(module).values():
            for one in found.values() if isinstance(found, dict) else [found]:
                if isinstance(one, kind):
                    count += bool(one.pattern)
    assert count > 50
