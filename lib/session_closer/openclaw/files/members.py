"""Where each entry of a sessions.json stands in its text (pure)."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from ...core.tuples import NamedTuple

Row = TypeVar("Row")


class Member(msgspec.Struct, Generic[Row], frozen=True, gc=False):
    """One top-level member: `start` at the key's quote, `value` at its value, `end` behind it; byte offsets."""

    start: int
    value: int
    end: int
    row: Row


class Document(NamedTuple, Generic[Row]):
    """A store's bytes and the spans of its members, in file order."""

    raw: bytes
    inside: int
    close: int
    members: dict[str, Member[Row]]

    def member_bytes(self, key: str) -> bytes:
        """Return `"key": value` as it stands in the file."""
        member = self.members[key]
        return self.raw[member.start : member.end]

    def value_bytes(self, key: str) -> bytes | None:
        """Return the value as it stands in the file, None where the key is absent."""
        member = self.members.get(key)
        return None if member is None else self.raw[member.value : member.end]
