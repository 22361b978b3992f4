"""Named tuples that are made in half the time: what their annotations mean is for a type checker alone."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _Fields(type):
        """Makes of a class whose annotations are fields a tuple of them; typing compiles each of them for that."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            given = tuple(field for field in fields if field in body)
            if given != fields[len(fields) - len(given) :]:
                raise TypeError(f"{name}: a field without a default stands behind one that has one")
            defaults = [body.pop(field) for field in given]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            return type(name, (made, *bases[1:]), {"__slots__": (), **body})

    class NamedTuple(metaclass=_Fields):
        """A tuple whose members have names, as of typing."""
