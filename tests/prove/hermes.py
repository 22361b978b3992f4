"""Hermes: each way in which a session can be in use, found at the first look, or at the one before it would go."""

from __future__ import annotations

from pathlib import Path

from session_closer.hermes import protection
from support.clock import Brisk
from support.hermes import FREE, WAYS, HermesHome, Way

from .parts import Given, Tally


def in_use(given: Given) -> Tally:
    """Make a session that is in use, or is not, before a look or behind it; it has to be told apart from another."""
    ways = [way for way in WAYS + FREE if given.only in way.name]
    return given.spread([(way, version) for way in ways for version in way.versions], _one_way)


def _one_way(item: tuple[Way, int], place: str) -> Tally:
    way, version = item
    tally = Tally()
    for late in (False, True):
        home = HermesHome(Path(place, f"late-{late}"), version)
        home.session("nobodys")
        if not late:
            way.make(home, "it")
        seen = protection.look(str(home.path), Brisk())
        if late:
            way.make(home, "it")
        told = {name: seen.why_now(name) for name in ("it", "nobodys")}
        if told != {"it": way.word, "nobodys": ""}:
            tally.broken.append(f"{way.name}, schema {version}, {'late' if late else 'at once'}: {told}")
        tally.points += 1
        seen.close()
        home.close()
    return tally
