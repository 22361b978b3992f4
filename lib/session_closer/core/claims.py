"""Who uses a file: the session ids and file names that sessions call their own (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from . import names
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .model import Session


def user_of(name: str, lent: Mapping[str, Claims]) -> str | None:
    """Return the other agent that uses a file."""
    return next((agent for agent, claims in lent.items() if claims.cover(name)), None)


class Claims(NamedTuple):
    """The session ids and file names that sessions call their own."""

    ids: frozenset[str]
    files: frozenset[str]

    @classmethod
    def of(cls, sessions: Iterable[Session]) -> Claims:
        """Return what these sessions claim."""
        ids: set[str] = set()
        files: set[str] = set()
        for session in sessions:
            if session.session_id:
                ids.add(session.session_id)
            if session.session_file:
                name = names.parted(session.session_file)[1]
                files.add(name)
                ids.add(name.removesuffix(".jsonl"))
        return cls(frozenset(ids), frozenset(files))

    @classmethod
    def together(cls, claims: Sequence[Claims]) -> Claims:
        """Return what any of these claim."""
        if len(claims) == 1:
            return claims[0]
        ids, files = (frozenset(chain.from_iterable(each)) for each in zip(*claims, strict=True))
        return cls(ids, files)

    def cover(self, name: str) -> bool:
        """Tell whether one of the sessions could call this file its own."""
        if name in self.files or ("/" in name and names.base(name) in self.files):
            return True
        owner = names.only_owner(name)
        if owner is not None:
            return owner in self.ids and names.is_session_id(owner)
        return not self.ids.isdisjoint(names.owners(name))
