"""Rows that a real Hermes deletes for us: those of nobody alone, each of them kept, and nothing else changed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.core.errors import Refused
from session_closer.hermes import protection, rows
from session_closer.hermes.removal import Removal, Removed
from session_closer.system.clock import REAL
from session_closer.system.disk import Disk

from . import story, upstream
from .age import DAY
from .install import NEW, OLD, provide
from .lab import Lab
from .picture import differences, picture
from .story import OVER, SHORT, Told

pytestmark = pytest.mark.live
OLDER = 30 * DAY
SOURCES = ("cli", "cron", "subagent", "telegram")


def all_rows(lab: Lab) -> dict[str, list[str]]:
    """Return all that the database has of each session, by id."""
    names = [name for (name,) in lab.rows("select id from sessions")]
    return {name: [str(row.line) for row in rows.read(str(lab.home), name, REAL)] for name in names}


def files(lab: Lab) -> set[str]:
    return set(os.listdir(lab.sessions))


def _place(folder: Path, name: str) -> str:
    place = folder / name
    place.mkdir()
    return str(place)


def cleaned(lab: Lab, folder: Path) -> tuple[dict[str, Removed], dict[str, str]]:
    """Remove the rows of all sources; what became of each, and why the rest stays."""
    known = protection.look(str(lab.home), REAL)
    with Removal(str(lab.home), known, Disk(), REAL) as removal:
        plan = removal.plan({str(row.source): OLDER for row in known.sessions})
        removal.check(looking=False)
        done = {row.id: removal.remove(row, _place(folder, row.id)) for row in plan.going}
    known.close()
    return done, {row.id: why for row, why in plan.kept}


@pytest.fixture
def folder(told: Told) -> Path:
    made = told.lab.home / "session-closer" / "rows"
    made.mkdir(parents=True)
    return made


def environment(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.environ().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def removal(told: Told, monkeypatch: pytest.MonkeyPatch) -> Iterator[Removal]:
    """What removes rows of a home, by the Hermes that has made it."""
    environment(told.lab, monkeypatch)
    home = str(told.lab.home)
    known = protection.look(home, REAL)
    with Removal(home, known, Disk(), REAL) as made:
        yield made
    known.close()


@pytest.mark.depth(OLD)
def test_rows_of_those_go_that_are_over_and_that_nothing_holds(told: Told, removal: Removal) -> None:
    plan = removal.plan(dict.fromkeys(SOURCES, OLDER))
    there = upstream.sessions(told)
    # Hermes would take `foo` for the beginning of `foo_bar`; what Hermes had written longer than its rows is the truth.
    reasons = {story.SHORT: rows.PREFIX} | ({} if told.lab.hermes.is_new else {story.LONGER: rows.UNSAVED})
    kept = {row.id: why for row, why in plan.kept}
    assert {row.id for row in plan.going} == (told.free & there) - reasons.keys()
    assert {session: kept.get(session) for session in reasons} == reasons
    assert {*kept} == (told.kept.keys() & there) | reasons.keys()


@pytest.mark.depth(OLD)
def test_what_hermes_deletes_was_kept_and_is_all_that_changes(told: Told, removal: Removal, folder: Path) -> None:
    lab = told.lab
    removal.check(looking=True)
    removal.check(looking=False)
    before, there = picture(lab), upstream.sessions(told)
    asked = [
        row
        for row in removal.plan(dict.fromkeys(SOURCES, OLDER)).going
        if row.id in (story.CRON, story.ODD, story.ODD_TOO, story.DUMPED)
    ]
    assert len(asked) == 4
    kept: Counter[str] = Counter()
    beside = set()
    for row in asked:
        done = removal.remove(row, _place(folder, row.id))
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


@pytest.mark.depth
def test_rows_of_nobody_go_through_hermes_and_nothing_else_does(
    told: Told, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = told.lab
    environment(lab, monkeypatch)
    before, there = all_rows(lab), files(lab)
    known = protection.look(str(lab.home), REAL)
    done, kept = cleaned(lab, folder)
    assert OVER in done
    assert {name: one for name, one in done.items() if not one.is_gone or one.others} == {}
    assert set(done) <= told.free
    assert not set(done) & set(known.reasons)
    # Hermes would take one for another, and delete files of another along with it.
    assert kept[SHORT] == "prefix"
    assert all_rows(lab) == {name: found for name, found in before.items() if name not in done}
    for name, one in done.items():
        place = Path(one.export)
        told_rows = [str(line) for line in (place / "rows.jsonl").read_bytes().splitlines(keepends=True)]
        assert told_rows == before[name]
        exported: dict[str, Any] = json.loads((place / "session.jsonl").read_bytes())
        assert exported["id"] == name
        there -= set(os.listdir(place / "files"))
    assert files(lab) == there
    assert lab.command("sessions", "list").returncode == 0


@pytest.mark.hermes(OLD)
@pytest.mark.depth
def test_a_newer_hermes_does_not_touch_an_older_home(told: Told, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = told.lab
    environment(lab, monkeypatch)
    monkeypatch.setenv("PATH", f"{provide(NEW).shims}{os.pathsep}{os.environ['PATH']}")
    before = all_rows(lab)
    with pytest.raises(Refused) as refused:
        cleaned(lab, folder)
    assert refused.value.name == "other_schema"
    assert lab.rows("select version from schema_version") == [(11,)]
    assert all_rows(lab) == before


@pytest.mark.hermes(NEW)
@pytest.mark.depth
def test_a_sticky_profile_leads_to_no_other_home(told: Told, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = told.lab
    environment(lab, monkeypatch)
    (lab.home / "profiles" / "other").mkdir(parents=True, exist_ok=True)
    (lab.home / "active_profile").write_text("other\n")
    done, _ = cleaned(lab, folder)
    assert done[OVER].is_gone
    assert not (lab.home / "profiles" / "other" / "state.db").exists()


@pytest.mark.depth(OLD)
def test_the_command_deletes_rows_of_the_source_that_is_named_alone(told: Told) -> None:
    lab, there = told.lab, upstream.sessions(told)
    answer = lab.ours("cleanup-sessions", "--profile", "default", "--kind", "moa_trace", "--rows", "cron=30d")
    assert answer.code == 0, answer
    (row,) = (one for one in answer.json["results"] if one["kind"] == "row")
    assert (row["sessionId"], row["status"]) == (story.CRON, "deleted")
    assert (Path(row["export"]) / "session.jsonl").is_file()
    assert upstream.sessions(told) == there - {story.CRON}
