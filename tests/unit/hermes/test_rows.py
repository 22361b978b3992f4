"""Rows go only when asked for, never those in use, never without a copy, and Hermes alone deletes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults.injection import Counting, in_child, kill_at
from session_closer.core.errors import Refused
from session_closer.hermes import protection, rows
from session_closer.hermes.removal import Removal, Removed, settle
from session_closer.system.disk import Disk
from support import fake_hermes
from support.clock import Brisk
from support.hermes import DAY, EVERY, WAYS, HermesHome, Way

AGES = {"cron": 7 * DAY}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HermesHome]:
    """A home, and the command of its Hermes on PATH."""
    monkeypatch.setenv("PATH", fake_hermes.install(tmp_path / "bin"))
    made = HermesHome(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Where exports go."""
    path = tmp_path / "home" / "session-closer" / "rows"
    path.mkdir(parents=True)
    return str(path)


@contextmanager
def removing(home: HermesHome, disk: Disk | None = None) -> Iterator[tuple[protection.Protection, Removal]]:
    """Look at a home, and give what is in use in it, and what removes the rest."""
    with (
        closing(protection.look(str(home.path), Brisk())) as known,
        Removal(str(home.path), known, disk or Disk(), Brisk()) as removal,
    ):
        yield known, removal


def planned(home: HermesHome, ages: Mapping[str, float] = AGES) -> tuple[list[str], dict[str, str]]:
    """Return what goes, in this order, and why the rest stays."""
    with removing(home) as (_, removal):
        found = removal.plan(dict(ages))
    return [row.id for row in found.going], {row.id: why for row, why in found.kept}


def removed(home: HermesHome, name: str, folder: str, disk: Disk | None = None) -> Removed:
    """Look, and remove what is to go of one id."""
    with removing(home, disk) as (known, removal):
        removal.check(looking=False)
        return removal.remove(known.rows[name], folder)


def settled(home: HermesHome, name: str, folder: str) -> bool:
    """Tell after a kill whether the rows of an id are gone."""
    return settle(str(home.path), name, folder, Disk(), Brisk())


def there(home: HermesHome) -> set[str]:
    return {name for (name,) in home.database.execute("select id from sessions")}


def read(home: HermesHome, name: str) -> list[tuple[str, Any]]:
    return [(row.table, dict(row.values)) for row in rows.read(str(home.path), name, Brisk())]


def test_only_sources_that_are_named_go_and_only_where_they_are_old(home: HermesHome) -> None:
    home.session("old", source="cron")
    home.session("young", source="cron", age=6 * DAY)
    home.session("other", source="cli")
    home.session("-odd", source="cron")
    home.session("../up", source="cron")
    home.session("star*", source="cron")
    assert planned(home) == (["old"], {"young": "young", "-odd": "name", "../up": "name", "star*": "name"})
    assert planned(home, {"cli": DAY}) == (["other"], {})


@pytest.mark.parametrize(
    "way", [way for way in WAYS if 22 in way.versions and "no row" not in way.name], ids=lambda way: way.name
)
def test_no_row_goes_that_is_in_use(home: HermesHome, way: Way) -> None:
    way.make(home, "it")
    home.database.execute("update sessions set source = 'cron'")
    going, kept = planned(home, {"cron": 0.0})
    assert "it" not in going
    assert kept["it"] == way.word


def test_an_id_with_which_another_begins_stays(home: HermesHome) -> None:
    home.session("foo", source="cron")
    home.session("Foo_bar", source="cli")
    home.session("fo", source="cron")
    home.session("fz", source="cron")
    assert planned(home) == (["fz"], {"foo": "prefix", "fo": "prefix"})


def test_what_others_come_from_goes_after_them_or_not_at_all(home: HermesHome) -> None:
    home.session("top", source="cron")
    home.session("middle", source="cron", parent_session_id="top")
    home.session("leaf", source="cron", parent_session_id="middle")
    going, _ = planned(home)
    assert going == ["leaf", "middle", "top"]
    home.session("stays", source="cli", parent_session_id="leaf")
    assert planned(home) == ([], {"top": "children", "middle": "children", "leaf": "children"})


def test_a_file_that_has_more_than_the_rows_is_the_truth(home: HermesHome) -> None:
    for name, lines in (("same", 2), ("longer", 3), ("cut", 2)):
        home.session(name, source="cron", messages=2)
        (home.path / "sessions" / f"{name}.jsonl").write_text("{}\n" * lines)
    with (home.path / "sessions" / "cut.jsonl").open("a") as file:
        file.write("{")
    assert planned(home) == (["same"], {"longer": "unsaved", "cut": "unsaved"})


def test_what_was_delegated_counts_as_a_child(home: HermesHome) -> None:
    home.session("boss", source="cron")
    home.session("worker", source="cli", model_config=json.dumps({"_delegate_from": "boss"}))
    home.session("odd", source="cli", model_config="{")
    assert planned(home) == ([], {"boss": "children"})


def test_sessions_that_come_from_each_other_stay(home: HermesHome) -> None:
    home.session("one", source="cron")
    home.session("two", source="cron", parent_session_id="one")
    home.database.execute("update sessions set parent_session_id = 'two' where id = 'one'")
    assert planned(home) == ([], {"one": "children", "two": "children"})


@pytest.mark.parametrize("version", EVERY)
def test_all_rows_of_a_session_are_read(tmp_path: Path, version: int) -> None:
    home = HermesHome(tmp_path / "home", version)
    home.session("it", messages=3)
    home.session("other")
    home.database.execute("update messages set content = ? where id = 2", (b"\xff\x00",))
    found = read(home, "it")
    assert [table for table, _ in found] == ["sessions", *["messages"] * 3]
    assert found[0][1]["id"] == "it"
    assert [values["id"] for _, values in found[1:]] == [1, 2, 3]
    lines = [json.loads(row.line) for row in rows.read(str(home.path), "it", Brisk())]
    assert lines[2]["row"]["content"] == {"base64": "/wA="}
    assert read(home, "nobody") == []
    home.close()


def test_what_goes_is_kept_with_its_files(home: HermesHome, folder: str) -> None:
    home.session("it", source="cron", messages=3)
    home.session("other", source="cron")
    files = {"it.json": "1", "it.jsonl": "{}\n", "request_dump_it_20200101_000000_abcdef.json": "3"}
    for name, text in files.items():
        (home.path / "sessions" / name).write_text(text)
    before = read(home, "it")
    done = removed(home, "it", folder)
    assert (done.is_gone, done.others, done.export) == (True, (), folder)
    assert there(home) == {"other"}
    place = Path(done.export)
    lines = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
    assert [(line["table"], line["row"]) for line in lines] == before
    assert json.loads((place / "session.jsonl").read_text())["id"] == "it"
    assert {path.name: path.read_text() for path in (place / "files").iterdir()} == files
    assert {path.stat().st_mode & 0o077 for path in (place / "rows.jsonl", place / "session.jsonl")} == {0}


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("nothing", "export"), ("lost", "export"), ("another", "export"), ("half", "export"), ("broken", "export"),
        ("says more", "changed"), ("resumes", "open"), ("refuses", "hermes"),
    ],
)  # fmt: skip
def test_what_is_not_kept_or_has_changed_or_that_hermes_leaves_stays(
    home: HermesHome, folder: str, fault: str, why: str
) -> None:
    home.session("it", source="cron", messages=2)
    (home.path / "fault").write_text(fault)
    done = removed(home, "it", folder)
    assert (done.is_gone, done.why, done.export) == (False, why, "")
    assert there(home) == {"it"}
    assert os.listdir(folder) == []
    deletes = "sessions delete" in (home.path / "calls").read_text()
    assert deletes == (fault == "refuses")


def test_a_dump_of_another_session_is_not_deleted_with_it(home: HermesHome, folder: str) -> None:
    home.session("foo", source="cron")
    dump = home.path / "sessions" / "request_dump_foo_bar_20200101_000000_abcdef.json"
    dump.write_text("{}")
    done = removed(home, "foo", folder)
    assert (done.is_gone, done.why) == (False, "prefix")
    assert dump.exists()
    assert there(home) == {"foo"}


def test_what_goes_at_the_same_moment_is_named(home: HermesHome, folder: str) -> None:
    home.session("it", source="cron")
    home.session("other", source="cli")
    (home.path / "fault").write_text("takes another")
    assert removed(home, "it", folder).others == ("other",)


def test_after_a_kill_the_row_says_what_became_of_it(home: HermesHome, folder: str) -> None:
    home.session("it", source="cron")
    Path(folder, "rows.jsonl").write_text("{")
    assert not settled(home, "it", folder)
    assert os.listdir(folder) == []
    done = removed(home, "it", folder)
    assert settled(home, "it", folder)
    assert Path(done.export, "rows.jsonl").exists()


@pytest.mark.long
def test_whenever_it_is_killed_a_session_is_there_or_kept_whole(home: HermesHome, folder: str) -> None:
    home.session("it", source="cron", messages=2)
    (home.path / "sessions" / "it.json").write_text("1")
    before = [json.dumps(one) for one in read(home, "it")]
    ends = set()
    for point in range(40):
        in_child(lambda point=point: removed(home, "it", folder, Counting(kill_at(point, "before"))))  # type: ignore[misc]
        is_gone = settled(home, "it", folder)
        ends.add(is_gone)
        if is_gone:
            break
        assert os.listdir(folder) == []
        assert [json.dumps(one) for one in read(home, "it")] == before
        assert (home.path / "sessions" / "it.json").exists()
    assert ends == {True, False}
    place = Path(folder)
    assert [json.loads(line)["table"] for line in (place / "rows.jsonl").read_text().splitlines()][1:] == [
        "messages"
    ] * 2
    assert (place / "files" / "it.json").read_text() == "1"
    assert len(json.loads((place / "session.jsonl").read_text())["messages"]) == 2


def test_a_hermes_of_another_schema_is_not_started_in_the_home(home: HermesHome) -> None:
    home.session("it", source="cron")
    home.database.execute("update schema_version set version = 11")
    for looking in (True, False):
        with removing(home) as (_, removal), pytest.raises(Refused) as refused:
            removal.check(looking=looking)
        assert refused.value.name == "other_schema"
    assert not (home.path / "calls").exists()


def test_a_look_does_not_start_hermes_in_the_home(home: HermesHome) -> None:
    with removing(home) as (_, removal):
        removal.check(looking=True)
    assert not (home.path / "calls").exists()


def test_a_hermes_that_works_in_another_home_is_refused(home: HermesHome) -> None:
    (home.path / "fault").write_text("home")
    with removing(home) as (_, removal), pytest.raises(Refused) as refused:
        removal.check(looking=False)
    assert refused.value.name == "other_home"


def test_without_hermes_no_row_goes(home: HermesHome, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with removing(home) as (_, removal), pytest.raises(Refused) as refused:
        removal.check(looking=True)
    assert refused.value.name == "no_hermes"
