"""A named tuple of ours is what typing makes: the same names, defaults, texts and errors."""

from __future__ import annotations

import pickle
import typing

import pytest
from session_closer.core.tuples import NamedTuple


class Ours(NamedTuple):
    """A key and what is known of it."""

    key: str
    size: int | None = None
    names: tuple[str, ...] = ()

    @property
    def weight(self) -> int:
        """How much it is."""
        return self.size or 0

    @classmethod
    def of(cls, key: str) -> Ours:
        """Return one of a size."""
        return cls(key, 7)


class Typed(typing.NamedTuple):
    """The same, of typing."""

    key: str
    size: int | None = None
    names: tuple[str, ...] = ()


def test_it_has_the_fields_defaults_and_text_of_typing() -> None:
    for name in ("_fields", "_field_defaults", "__match_args__"):
        assert getattr(Ours, name) == getattr(Typed, name) != ()
    one, other = Ours("a", names=("b",)), Typed("a", names=("b",))
    assert one == other == ("a", None, ("b",))
    assert repr(one) == repr(other).replace("Typed", "Ours")
    assert one._replace(size=3)._asdict() == {"key": "a", "size": 3, "names": ("b",)}
    assert (Ours.__module__, Ours.__doc__) == (__name__, "A key and what is known of it.")


def test_its_own_members_stay() -> None:
    assert Ours.of("a").weight == 7
    assert isinstance(Ours("a")._replace(size=2), Ours)
    assert pickle.loads(pickle.dumps(Ours.of("a"))) == Ours.of("a")


@pytest.mark.parametrize(("words", "named"), [((), {}), (("a", 1, (), 4), {}), (("a",), {"other": 1})])
def test_what_it_has_no_field_for_is_refused(words: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Ours(*words, **named)


def test_a_field_without_a_default_stands_ahead_of_those_with_one() -> None:
    with pytest.raises(TypeError, match="Wrong: a field without a default"):

        class Wrong(NamedTuple):
            """What typing refuses, too."""

            size: int = 1
            key: str


def test_a_field_cannot_be_set_and_nothing_added() -> None:
    with pytest.raises(AttributeError):
        Ours("a").size = 3
    with pytest.raises(AttributeError):
        Ours("a").another = 3
