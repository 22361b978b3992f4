"""Sessions that are made when somebody asks for one: of a large store only few are looked at (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .model import Session


class Lazy(Mapping[str, "Session"]):
    """Sessions by key, each made when it is asked for, and then kept.

    `updated` is when each was last updated, in ms since 1970, None where that is not usable; its order is theirs.
    """

    def __init__(self, updated: Mapping[str, int | None], make: Callable[[str], Session]) -> None:
        self.updated, self._make = updated, make
        self._made: dict[str, Session] = {}

    def __getitem__(self, key: str) -> Session:
        found = self._made.get(key)
        if found is None:
            if key not in self.updated:
                raise KeyError(key)
            found = self._made[key] = self._make(key)
        return found

    def __contains__(self, key: object) -> bool:
        return key in self.updated

    def __iter__(self) -> Iterator[str]:
        return iter(self.updated)

    def __len__(self) -> int:
        return len(self.updated)

    def among(self, keys: Iterable[str]) -> Lazy:
        """Return those of these keys."""
        return Lazy({key: self.updated[key] for key in keys}, self.__getitem__)

    def changed(self, instead: Mapping[str, Session]) -> Lazy:
        """Return all of them, these in place of those of their keys."""
        found = Lazy(self.updated, self.__getitem__)
        found._made.update(instead)
        return found


def among(sessions: Mapping[str, Session], keys: Iterable[str]) -> Mapping[str, Session]:
    """Return the sessions of these keys."""
    return sessions.among(keys) if isinstance(sessions, Lazy) else {key: sessions[key] for key in keys}


def changed(sessions: Mapping[str, Session], instead: Mapping[str, Session]) -> Mapping[str, Session]:
    """Return sessions with some of them changed, which keep their keys and times."""
    return sessions.changed(instead) if isinstance(sessions, Lazy) else {**sessions, **instead}


def updated(sessions: Mapping[str, Session]) -> Mapping[str, int | None]:
    """Return by key when each session was last updated, in ms since 1970, None where that is not usable."""
    if isinstance(sessions, Lazy):
        return sessions.updated
    return {key: session.updated_at for key, session in sessions.items()}
