"""NanoClaw: what is in use is told from what is not, there at the first look or come since."""

from __future__ import annotations

from pathlib import Path

from session_closer.core import retention
from session_closer.core.artifacts import decided
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk
from support.nanoclaw_ways import GOES, WAYS, YOUNG, Way, made

from .parts import Given, Tally


def in_use(given: Given) -> Tally:
    """Make a home in each state, an hour before the age of all that is in it and behind it, and ask what goes."""
    return given.spread([way for way in WAYS if given.only in way.state], _one_way)


def _one_way(way: Way, place: str) -> Tally:
    tally = Tally()
    for is_old in (False, True):
        wanted = way.verdict(is_old=is_old)
        said = _verdicts(way, Path(place, f"old-{is_old}"), is_old=is_old)
        tally.points += 1
        if said != dict.fromkeys(way.kinds, wanted):
            tally.broken.append(f"{way.version} {way.state}, {'old' if is_old else 'young'}: {said}, not {wanted}")
    if way.word not in ("", YOUNG):
        late = _late(way, Path(place, "late"))
        tally.points += 1
        if late != [way.word] * len(way.kinds):
            tally.broken.append(f"{way.version} {way.state}, since the look: {late}")
    return tally


def _verdicts(way: Way, path: Path, *, is_old: bool) -> dict[str, str]:
    made_home, paths = made(way, path, is_old=is_old)
    place = made_home.place()
    home = place.opened(place.profiles()[0], Disk(), REAL)
    limits = retention.limits(retention.Asked(), place.rules)
    found = decided(home.look(limits), limits, REAL.seconds())
    home.close()
    made_home.close()
    said = {one.path: GOES for one, _ in found.going} | {one.path: why for one, why in found.kept}
    return {kind: said.get(paths[kind], "nothing") for kind in way.kinds}


def _late(way: Way, path: Path) -> list[str]:
    made_home, paths = made(way._replace(make=lambda _: None, fresh=""), path, is_old=True)
    place = made_home.place()
    home = place.opened(place.profiles()[0], Disk(), REAL)
    limits = retention.limits(retention.Asked(), place.rules)
    going = [one for one in home.look(limits) if one.path in {paths[kind] for kind in way.kinds}]
    way.make(made_home)
    if way.fresh:
        made_home.age(way.fresh, 1200.0)
    said = [home.objection(one) for one in going]
    home.close()
    made_home.close()
    return said
