"""Which sessions of a Hermes home are in use: each way on its own, all together, and when nothing can be told."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from session_closer.core.errors import CloserError, Refused
from session_closer.hermes import protection
from session_closer.hermes.protection import Protection, Terms
from support.clock import Brisk
from support.hermes import DAY, FREE, WAYS, HermesHome, Way


@pytest.fixture
def home(tmp_path: Path) -> Iterator[HermesHome]:
    made = HermesHome(tmp_path / "home")
    yield made
    made.close()


def look(home: HermesHome, terms: Terms = Terms()) -> Protection:  # noqa: B008
    return protection.look(str(home.path), Brisk(), terms)


@pytest.mark.parametrize(
    ("way", "version"),
    [pytest.param(way, version, id=f"{way.name} {version}") for way in WAYS + FREE for version in way.versions],
)
def test_a_session_is_in_use_by_each_reason_alone(way: Way, version: int, tmp_path: Path) -> None:
    home = HermesHome(tmp_path / "home", version)
    home.session("nobodys")
    way.make(home, "it")
    seen = look(home)
    assert (seen.why("it"), seen.why("nobodys")) == (way.word, "")
    assert {"it", "nobodys"} <= seen.known
    seen.close()
    home.close()


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_a_session_that_has_come_into_use_since_is_found_before_it_goes(way: Way, tmp_path: Path) -> None:
    home = HermesHome(tmp_path / "home", way.versions[-1])
    home.session("nobodys")
    seen = look(home)
    assert (seen.changed(), seen.why_now("it"), seen.why_now("nobodys")) == (False, "", "")
    way.make(home, "it")
    assert (seen.changed(), seen.why("it")) == (True, "")
    assert (seen.why_now("it"), seen.why_now("nobodys"), seen.why_now("x", "it")) == (way.word, "", way.word)
    seen.close()
    home.close()


def test_a_session_is_protected_by_its_safe_name_too(home: HermesHome) -> None:
    home.session("client@example.com:42", ended_at=None)
    seen = look(home)
    for name in ("client@example.com:42", "client_example_com_42_6e6061ee291a"):
        assert (seen.why(name), seen.why_now(name)) == ("open", "open")
    # Never a part of a name.
    for name in ("client", "client@example.com", "client_example_com_42", "client@example.com:421"):
        assert seen.why(name) == ""
    seen.close()


def test_a_safe_name_leads_to_its_session_also_while_nothing_holds_that(home: HermesHome) -> None:
    session_id, name = "client@example.com:42", "client_example_com_42_6e6061ee291a"
    home.session(session_id)
    seen = look(home)
    assert [seen.owner(each) for each in (session_id, name, "client")] == [session_id, session_id, None]
    assert (seen.why(name), seen.why_now(name)) == ("", "")
    home.running(session_id, os.getpid(), None)
    assert (seen.why(name), seen.why_now(name)) == ("", "running")
    seen.close()


def test_of_several_sessions_with_one_name_it_leads_to_the_one_in_use(home: HermesHome) -> None:
    free, used = "client_example_com_42_6e6061ee291a", "client@example.com:42"
    home.session(free)
    home.session(used, ended_at=None)
    seen = look(home)
    assert (seen.owner(free), seen.why(free)) == (used, "open")
    seen.close()


def test_a_row_that_only_the_wal_has_protects(home: HermesHome) -> None:
    home.database.execute("pragma wal_checkpoint(truncate)")
    home.session("late", ended_at=None)
    assert os.path.getsize(home.path / "state.db-wal") > 0
    assert b"late" not in (home.path / "state.db").read_bytes()
    seen = look(home)
    assert seen.why("late") == "open"
    seen.close()


def test_sessions_that_are_archived_go_where_that_is_asked_for(home: HermesHome) -> None:
    home.session("archived", archived=1)
    seen = look(home, Terms(archived=False))
    assert seen.why("archived") == ""
    seen.close()


def test_a_result_holds_as_long_as_was_asked(home: HermesHome) -> None:
    home.session("waits")
    home.delegate("waits", age=10 * DAY, parent_session_id="waits", delivery_state="pending")
    for days, word in ((9, ""), (11, "pending")):
        seen = look(home, Terms(pending=days * DAY))
        assert seen.delegations == {"deleg_waits": word}
        assert bool(seen.why("waits")) is bool(word)
        seen.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', "\x00"])
@pytest.mark.parametrize("where", ["sessions/sessions.json", "gateway.json", "runtime/active_sessions.json"])
def test_an_index_that_cannot_be_read_protects_everything(home: HermesHome, where: str, text: str) -> None:
    if where.startswith("runtime") and text == "[]":
        text = '{"entries": 5}'
    home.session("over")
    seen = look(home)
    assert seen.why("over") == ""
    (home.path / where).parent.mkdir(exist_ok=True)
    (home.path / where).write_text(text)
    assert seen.why_now("over") == "index"
    seen.close()
    seen = look(home)
    assert (seen.why("over"), seen.why("never heard of"), seen.why_now("over")) == ("index", "index", "index")
    assert seen.holds_folder("/any", DAY)
    assert where in seen.unreadable
    seen.close()


def test_a_route_that_is_no_json_protects_everything(home: HermesHome) -> None:
    home.session("over")
    home.database.execute("insert into gateway_routing values ('', 'k', '{', 0)")
    seen = look(home)
    assert seen.why("over") == "index"
    assert "gateway_routing" in seen.unreadable
    seen.close()


@pytest.mark.parametrize("named", ["sessions", "", 5])
def test_a_folder_of_the_gateway_that_could_be_anywhere_protects_everything(home: HermesHome, named: object) -> None:
    home.session("over")
    (home.path / "gateway.json").write_text(json.dumps({"sessions_dir": named}))
    seen = look(home)
    assert seen.why("over") == "index"
    seen.close()


def test_an_index_that_is_a_link_protects_everything(home: HermesHome) -> None:
    home.session("over")
    home.index("x").rename(home.path / "moved")
    (home.path / "sessions" / "sessions.json").symlink_to(home.path / "moved")
    seen = look(home)
    assert seen.why("over") == "index"
    seen.close()


def test_a_process_that_has_ended_or_is_another_has_nothing_open(home: HermesHome) -> None:
    home.session("it")
    for pid, started in ((2**30, None), (os.getpid(), 1000.0)):
        home.running("it", pid, started)
        seen = look(home)
        assert seen.why("it") == ""
        seen.close()


def test_what_is_open_for_ever_and_held_by_nothing_is_told(home: HermesHome) -> None:
    home.session("old", ended_at=None, age=91 * DAY)
    home.session("comes-from-old", ended_at=None, age=92 * DAY, parent_session_id="old")
    home.session("without-messages", ended_at=None, age=100 * DAY, messages=0)
    home.session("young", ended_at=None, age=89 * DAY)
    home.session("above-young", ended_at=None, age=100 * DAY)
    home.database.execute("update sessions set parent_session_id = 'above-young' where id = 'young'")
    home.session("routed", ended_at=None, age=100 * DAY)
    home.route("routed")
    home.session("over", age=100 * DAY)
    seen = look(home)
    assert {row.id for row in seen.forgotten()} == {"old", "comes-from-old", "without-messages"}
    # It is in use all the same.
    assert seen.why("old") == "open"
    seen.close()


def test_messages_are_counted_where_there_is_a_row(home: HermesHome) -> None:
    home.session("three", messages=3)
    home.session("none", messages=0)
    seen = look(home)
    assert [seen.messages(name) for name in ("three", "none", "nobody")] == [3, 0, None]
    assert seen.last(seen.rows["three"]) == pytest.approx(home.now - 60 * DAY)
    seen.close()


@pytest.mark.parametrize("column", ["cwd", "git_repo_root"])
def test_an_open_session_holds_its_folder_what_is_above_it_and_below_it(home: HermesHome, column: str) -> None:
    home.session("here", ended_at=None, age=2 * DAY, **{column: "/srv/project"})
    home.session("over", age=2 * DAY, **{column: "/finished"})
    seen = look(home)
    for place in ("/srv/project", "/srv/project/", "/srv", "/", "/srv/project/below"):
        assert seen.holds_folder(place, 3 * DAY), place
        assert not seen.holds_folder(place, DAY), place
    for place in ("/srv/projec", "/srv/project2", "/srv/other", "/finished"):
        assert not seen.holds_folder(place, 3 * DAY), place
    seen.close()


def test_a_folder_is_held_by_the_name_that_a_link_gives_it(home: HermesHome, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    home.session("here", ended_at=None, age=0, cwd=str(tmp_path / "link"))
    seen = look(home)
    assert seen.holds_folder(str(tmp_path / "real"), DAY)
    seen.close()


def test_a_line_that_comes_from_itself_ends(home: HermesHome) -> None:
    home.session("a", parent_session_id="b")
    home.session("b", parent_session_id="a", ended_at=None)
    seen = look(home)
    assert (seen.why("a"), seen.why("b")) == ("ancestor", "open")
    home.session("c")
    assert (seen.why_now("a"), seen.why_now("c")) == ("ancestor", "")
    seen.close()


def test_a_look_leaves_nothing_but_what_sqlite_leaves(home: HermesHome) -> None:
    home.session("over")
    home.close()
    before = (home.path / "state.db").read_bytes()
    assert not (home.path / "state.db-wal").exists()
    seen = look(home)
    seen.why_now("over")
    seen.close()
    assert (home.path / "state.db").read_bytes() == before
    left = {path.name: path.stat().st_size for path in home.path.iterdir() if path.name.startswith("state.db-")}
    assert left == {"state.db-wal": 0, "state.db-shm": 32768}
    assert {path.name for path in home.path.iterdir()} == {"sessions", "state.db", *left}


@pytest.fixture(params=["missing", "empty", "a folder", "no database", "other tables", "no parent", "a view", "cut"])
def unreadable(request: pytest.FixtureRequest, home: HermesHome) -> Path:
    """Give a home whose database tells nothing."""
    home.session("x", messages=200)
    home.close()
    path = home.path / "state.db"
    kind = request.param
    if kind in ("missing", "a folder"):
        path.unlink()
    if kind == "a folder":
        path.mkdir()
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "no database":
        path.write_bytes(b"What Hermes would call a database is none. " * 100)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:9000])
    edits = {
        "other tables": "drop table messages",
        "no parent": "drop index idx_sessions_parent; alter table sessions rename column parent_session_id to parent",
        "a view": "alter table messages rename to m; create view messages as select * from m",
    }
    if kind in edits:
        connection = sqlite3.connect(path)
        connection.executescript(edits[kind])
        connection.close()
    return home.path


def test_a_database_that_tells_nothing_is_an_error_in_one_line(unreadable: Path) -> None:
    with pytest.raises(CloserError) as told:
        protection.look(str(unreadable), Brisk())
    assert str(unreadable / "state.db") in told.value.message
    assert "\n" not in told.value.message
    assert told.value.next_step()
    assert told.value.code in (3, 4)


def test_a_database_that_somebody_keeps_to_himself_is_locked(home: HermesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_closer.artifacts.database._BUSY_SECONDS", 0.01)
    home.session("x")
    home.close()
    other = sqlite3.connect(home.path / "state.db", isolation_level=None)
    other.execute("pragma journal_mode = delete")
    other.execute("begin exclusive")
    other.execute("update sessions set title = 'x'")
    with pytest.raises(CloserError) as told:
        look(home)
    assert (told.value.name, told.value.code) == ("locked_database", 4)
    other.close()


def test_an_error_that_passes_is_waited_for(home: HermesHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.session("x", ended_at=None)
    connect, left = sqlite3.connect, [sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_CANTOPEN]

    def fail_twice(*arguments: Any, **more: Any) -> sqlite3.Connection:
        if left:
            problem = sqlite3.OperationalError("beside a writer")
            problem.sqlite_errorcode = left.pop()
            raise problem
        return connect(*arguments, **more)

    monkeypatch.setattr(sqlite3, "connect", fail_twice)
    seen = look(home)
    assert seen.why("x") == "open"
    seen.close()


def test_the_size_of_a_database_and_its_free_pages_are_told(home: HermesHome) -> None:
    home.session("x", messages=2000)
    home.database.execute("delete from messages")
    seen = look(home)
    figures = seen.figures()
    sizes = sum(os.path.getsize(home.path / name) for name in ("state.db", "state.db-wal"))
    assert (figures.size, figures.command) == (sizes, "hermes sessions optimize")
    assert figures.free == home.database.execute("pragma freelist_count").fetchone()[0] * 4096 > 0
    seen.close()


@pytest.mark.parametrize(("room", "name"), [(0, "no_room"), (1 << 30, "damaged_database")])
def test_a_database_that_cannot_be_read_on_a_full_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, name: str
) -> None:
    home = HermesHome(tmp_path)
    home.session("one")
    home.close()

    def failed(*_: object, **__: object) -> None:
        problem = sqlite3.OperationalError("disk I/O error")
        problem.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise problem

    monkeypatch.setattr(sqlite3, "connect", failed)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=room // 4096, f_frsize=4096))
    with pytest.raises(Refused) as refused:
        protection.look(str(tmp_path), Brisk())
    assert refused.value.name == name
    assert ("disk is full" in refused.value.message) == (name == "no_room")
