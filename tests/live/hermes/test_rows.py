"""Rows that go through the real Hermes: kept first, those of nobody alone, and nothing else of the home changes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_closer.core.errors import Refused
from session_closer.hermes import protection, rows
from session_closer.hermes.removal import Removal
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk

from . import story, upstream
from .age import DAY
from .install import NEW, OLD, provide
from .lab import Lab
from .picture import differences, picture
from .story import Told

pytestmark = [pytest.mark.live, pytest.mark.depth(OLD)]

AGES = dict.fromkeys(("cli", "cron", "subagent", "telegram"), 30.0 * DAY)


@pytest.fixture
def removal(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Removal]:
    """What removes rows of a home, by the Hermes that has made it."""
    use(told.lab, monkeypatch)
    home = str(told.lab.home)
    known = protection.look(home, REAL)
    with Removal(home, known, Disk(), REAL) as made:
        yield made
    known.close()


def use(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a `hermes` on PATH, and no home but that of the lab."""
    for name, value in lab.environ().items():
        monkeypatch.setenv(name, value)


def folder_of(lab: Lab) -> str:
    path = lab.home / "session-closer" / "exports"
    path.mkdir(parents=True)
    return str(path)


def test_rows_of_those_go_that_are_over_and_that_nothing_holds(told: Told, removal: Removal) -> None:
    plan = removal.plan(AGES)
    there = upstream.sessions(told)
    # Hermes would take `foo` for the beginning of `foo_bar`; what Hermes had written longer than its rows is the truth.
    reasons = {story.SHORT: rows.PREFIX} | ({} if told.lab.hermes.is_new else {story.LONGER: rows.UNSAVED})
    kept = {row.id: why for row, why in plan.kept}
    assert {row.id for row in plan.going} == (told.free & there) - reasons.keys()
    assert {session: kept.get(session) for session in reasons} == reasons
    assert {*kept} == (told.kept.keys() & there) | reasons.keys()


def test_what_hermes_deletes_was_kept_and_is_all_that_changes(told: Told, removal: Removal) -> None:
    lab = told.lab
    removal.check(looking=True)
    removal.check(looking=False)
    before, there = picture(lab), upstream.sessions(told)
    asked = [row for row in removal.plan(AGES).going if row.id in (story.CRON, story.ODD, story.ODD_TOO, story.DUMPED)]
    assert len(asked) == 4
    folder = folder_of(lab)
    kept: Counter[str] = Counter()
    beside = set()
    for row in asked:
        done = removal.remove(row, folder)
        assert (done.is_gone, done.why, done.others) == (True, "", ()), done
        place = Path(done.export)
        said = [json.loads(line) for line in (place / "rows.jsonl").read_bytes().splitlines()]
        assert said[0]["row"]["id"] == json.loads((place / "session.jsonl").read_bytes())["id"] == row.id
        kept.update(f"state.db#{one['table']}" for one in said)
        beside |= {f"sessions/{path.name}" for path in (place / "files").iterdir()}
    assert upstream.sessions(told) == there - {row.id for row in asked}
    changed = differences(before, picture(lab))
    # Of each table what was kept is gone, and the rest is as it was.
    for place in {place for place in changed if "#" in place}:
        old, new = changed.pop(place)
        assert new.items() <= old.items(), place
        assert len(old) - len(new) == kept.pop(place)
    assert not kept
    assert changed.keys() == beside
    assert all(new is None for _, new in changed.values())


@pytest.mark.hermes(OLD)
@pytest.mark.depth(OLD)
def test_a_newer_hermes_is_not_let_near_an_older_home(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    use(Lab(provide(NEW), told.lab.root, told.lab.model), monkeypatch)
    known = protection.look(str(told.lab.home), REAL)
    with Removal(str(told.lab.home), known, Disk(), REAL) as removal, pytest.raises(Refused) as refused:
        removal.check(looking=False)
    known.close()
    assert refused.value.name == "other_schema"
    assert told.lab.rows("select version from schema_version") == [(11,)]
