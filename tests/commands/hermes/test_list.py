"""list-sessions of a Hermes: every session with what it has left, what is nobody's, and what takes the disk."""

from __future__ import annotations

import json
import os

import psutil
import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run, run_json
from support.hermes import DAY
from support.leavings import FREE, OPEN, OVER, Leavings
from support.terminal import on_terminal

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


def test_every_session_has_a_row_with_what_it_has_left_and_why_that_stays(home: Leavings) -> None:
    home.lay_all(optional=True)
    home.session("waits", age=5 * DAY, title="Budget 2027", source="telegram", handoff_state="pending")
    size = len(home.lay("sessions/session_another name.json", json.dumps({"session_id": "waits"})).read_bytes())
    before = home.tree()
    answer = home.run(ListSessions)
    rows = {row["sessionId"]: row for row in answer.data["sessions"]}
    assert next(iter(rows)) == "waits"
    assert set(rows) == {OVER, OPEN, "waits"}
    assert (rows[OPEN]["state"], rows[OPEN]["protected"], rows[OPEN]["artifacts"]) == ("open", "open", 0)
    assert (rows[OVER]["state"], rows[OVER]["protected"], rows[OVER]["artifacts"]) == ("cli_close", None, 6)
    waits = rows["waits"]
    assert (waits["title"], waits["source"], waits["protected"]) == ("Budget 2027", "telegram", "handoff")
    assert (waits["artifacts"], waits["artifactBytes"], waits["running"]) == (1, size, False)
    assert 5 * DAY <= waits["ageSeconds"] < 5 * DAY + 3600
    assert (answer.data["totalCount"], answer.data["hasMore"], answer.data["orphans"]) == (3, False, [])
    assert home.tree() == before
    assert not home.has("session-closer")


def test_a_session_that_a_living_process_has_open_is_running(home: Leavings) -> None:
    home.running(OVER, os.getpid(), psutil.Process().create_time())
    rows = {row["sessionId"]: row for row in home.run(ListSessions).data["sessions"]}
    assert (rows[OVER]["protected"], rows[OVER]["running"]) == ("running", True)
    assert (rows[OPEN]["protected"], rows[OPEN]["running"]) == ("open", False)


def test_what_no_session_has_is_counted_in_one_row(home: Leavings) -> None:
    home.lay("sessions/session_nobodys.json", "12345")
    home.lay("sessions/nobodys.jsonl", "123")
    home.lay_kind("checkpoint_v1", FREE["checkpoint_v1"])
    orphans = [{"agent": "default", "kind": "orphans", "count": 2, "bytes": 8}]
    assert home.run(ListSessions).data["orphans"] == orphans
    assert "orphans  2 files of default, 8 B: no session has them" in run(ListSessions, state=home.path).stdout


def test_older_than_reports_those_that_are_open_for_ever(home: Leavings) -> None:
    home.session("young", ended_at=None, age=DAY)
    rows = home.run(ListSessions, "--older-than", "30d").data["sessions"]
    assert [row["sessionId"] for row in rows] == [OPEN]


def test_words_and_a_limit_find_some(home: Leavings) -> None:
    home.session("s1", title="The Kelly dashboard", age=2 * DAY)
    home.session("s2", title="kelly again", age=3 * DAY)
    answer = home.run(ListSessions, "kelly", "--limit", "1")
    assert [row["sessionId"] for row in answer.data["sessions"]] == ["s1"]
    assert (answer.data["totalCount"], answer.data["hasMore"], answer.data["limitApplied"]) == (2, True, 1)
    shown = run(ListSessions, "kelly", "--limit", "1", state=home.path).stdout
    assert shown.startswith("2 sessions, 1 of them shown\n")
    assert "1 more: --limit all shows them" in shown


def test_a_title_is_shown_whole(home: Leavings) -> None:
    title = "photographs-of-the-journey-that-nobody-has-looked-at-since-it-ended"
    home.session("s1", title=title, age=2 * DAY)
    heads, row = run(ListSessions, state=home.path).stdout.splitlines()[1:3]
    assert row.endswith(f"  {title}")
    assert heads.index("TITLE") == row.index(title)
    shown = on_terminal("list-sessions", state=home.path, width=110, NO_COLOR="1").words
    assert title in "".join(shown.split())
    assert title not in shown


def test_usage_says_what_takes_the_disk_ours_included(home: Leavings) -> None:
    home.lay_all(optional=True)
    home.run(CleanupSessions)
    home.lay_all()
    answer = home.run(ListSessions, "--usage")
    used = {row["kind"]: row for row in answer.data["usage"]}
    assert {kind: used[kind]["count"] for kind in (*FREE, "spawn_tree", "archives", "receipts")} == {
        **dict.fromkeys(FREE, 1), "spawn_tree": 1, "archives": 1, "receipts": 1,
    }  # fmt: skip
    assert used["archives"]["bytes"] == sum(used[kind]["bytes"] for kind in FREE)
    assert used["session_json"]["bytes"] == (home.path / FREE["session_json"]).stat().st_size
    database = sum((home.path / f"state.db{side}").stat().st_size for side in ("", "-wal"))
    assert used["state.db"]["bytes"] == database > 0
    assert "sessions" not in answer.data
    assert "total" in run(ListSessions, "--usage", state=home.path).stdout


def test_a_receipt_that_is_a_link_is_no_larger_for_it(home: Leavings) -> None:
    home.lay_all()
    home.run(CleanupSessions)
    before = {row["kind"]: row for row in home.run(ListSessions, "--usage").data["usage"]}
    (home.path / "session-closer" / "receipts" / "gone.json").symlink_to("nowhere")
    answer = home.run(ListSessions, "--usage")
    (receipts,) = [row for row in answer.data["usage"] if row["kind"] == "receipts"]
    assert (answer.code, receipts["count"]) == (0, before["receipts"]["count"] + 1)
    assert receipts["bytes"] == before["receipts"]["bytes"] + len("nowhere")


def test_a_home_that_others_may_write_to_is_said_once(home: Leavings) -> None:
    home.path.chmod(0o777)
    (warning,) = home.run(ListSessions).data["warnings"]
    assert warning.startswith(f"{home.path}: others may write to it")


def test_free_pages_come_with_the_command_that_gives_them_back(home: Leavings) -> None:
    home.database.execute("create table large (text text)")
    home.database.executemany("insert into large values (?)", [("x" * 4000,)] * 50)
    home.database.execute("drop table large")
    answer = home.run(ListSessions, "--usage")
    free = next(row for row in answer.data["usage"] if row["kind"] == "state.db free pages")
    assert free["bytes"] > 50 * 4000
    assert "hermes sessions optimize" in answer.data["notes"][0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--kind", "cron"), "--kind means nothing for hermes"),
        (("--sort", "size"), "--sort means nothing for hermes"),
        (("--usage", "word"), "--usage counts everything"),
        (("--usage", "--older-than", "3d"), "--usage counts everything"),
    ],
)
def test_words_that_mean_nothing_there_are_usage(home: Leavings, words: tuple[str, ...], said: str) -> None:
    result = run(ListSessions, *words, state=home.path)
    assert (result.code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_home_that_cannot_be_read_is_said(home: Leavings) -> None:
    home.close()
    (home.path / "state.db").write_bytes(b"")
    answer = run_json(ListSessions, state=home.path)
    assert (answer.code, answer.error) == (3, "empty_database")


@pytest.mark.parametrize("at", [float("inf"), float("-inf"), 1e306])
def test_a_session_with_a_time_that_is_none_has_no_age(home: Leavings, at: float) -> None:
    home.session("odd", messages=0, started_at=at)
    answer = home.run(ListSessions)
    [row] = [row for row in answer.data["sessions"] if row["sessionId"] == "odd"]
    assert (answer.code, row["updatedAt"], row["ageSeconds"]) == (0, None, None)


@pytest.mark.parametrize("started", ["1e999", "1" + "0" * 400])
def test_a_start_of_a_process_that_is_none_proves_nothing(home: Leavings, started: str) -> None:
    home.running(OVER, os.getpid(), 1.25)
    path = home.path / "runtime" / "active_sessions.json"
    path.write_text(path.read_text().replace("1.25", started))
    answer = home.run(ListSessions)
    assert {row["sessionId"]: row["running"] for row in answer.data["sessions"]}[OVER] is True
