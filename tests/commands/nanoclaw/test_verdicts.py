"""What a cleanup of a NanoClaw makes of each kind, by its age and by the state of its session or group."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from session_closer.core import retention
from session_closer.core.status import Status
from session_closer.core.wish import Options
from session_closer.nanoclaw import kinds
from session_closer.operations import prune
from session_closer.ports.context import Console
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk
from support.nanoclaw_ways import DAY, GOES, LIMITS, WAYS, YOUNG, Way, made, table

PAGE = Path(__file__).parents[3] / "docs" / "nanoclaw.md"


@pytest.mark.parametrize("is_old", [False, True], ids=["young", "old"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.version} {way.kinds[0]} {way.state}")
def test_each_kind_has_the_verdict_that_the_table_says(way: Way, tmp_path: Path, is_old: bool) -> None:
    home, paths = made(way, tmp_path / "home", is_old=is_old)
    limits = retention.limits(retention.Asked(), home.place().rules)
    found = prune.perform(home.place(), limits, Options(dry_run=True), told="", console=Console())
    home.close()
    root = os.path.realpath(home.path)
    said = {
        os.path.relpath(row.path, root): GOES if row.status is Status.WOULD_ARCHIVE else row.why
        for row in found.artifacts or ()
    }
    assert {kind: said[paths[kind]] for kind in way.kinds} == dict.fromkeys(way.kinds, way.verdict(is_old=is_old))


@pytest.mark.parametrize("way", [way for way in WAYS if way.word not in ("", YOUNG)], ids=lambda way: f"{way.state}")
def test_what_is_in_use_since_the_look_stays(way: Way, tmp_path: Path) -> None:
    home, paths = made(way._replace(make=lambda _: None, fresh=""), tmp_path / "home", is_old=True)
    there = home.place().opened(home.place().profiles()[0], Disk(), REAL)
    limits = retention.limits(retention.Asked(), home.place().rules)
    going = [one for one in there.look(limits) if one.path in {paths[kind] for kind in way.kinds}]
    assert [there.objection(one) for one in going] == [""] * len(way.kinds)
    way.make(home)
    if way.fresh:
        home.age(way.fresh, 1200.0)
    assert [there.objection(one) for one in going] == [way.word] * len(way.kinds)
    there.close()
    home.close()


def test_ages_are_those_of_the_table() -> None:
    for version, layout in ((1, kinds.V1), (2, kinds.V2)):
        assert {rule.name: rule.age / DAY for rule in layout.rules} == LIMITS[version]
        assert {kind for way in WAYS if way.version == version for kind in way.kinds} == set(LIMITS[version])


def test_the_page_has_the_table_as_it_is_tried_here() -> None:
    _, _, rest = PAGE.read_text().partition("<!-- verdicts -->\n")
    assert rest.partition("<!-- /verdicts -->")[0].strip().splitlines() == table()
