"""cleanup-sessions --rows: rows of sources that are named go through Hermes, can be read afterwards, never return."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from faults.injection import Counting, in_child, kill_at
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import prune
from support import fake_hermes
from support.commands import Answer
from support.hermes import DAY
from support.leavings import OPEN, OVER, Leavings

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


@pytest.fixture(autouse=True)
def hermes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of this home's Hermes, on PATH."""
    monkeypatch.setenv("PATH", fake_hermes.install(tmp_path / "bin"))


def ids(home: Leavings) -> set[str]:
    return {name for (name,) in home.database.execute("select id from sessions")}


def rows(answer: Answer) -> dict[str, tuple[str, str | None]]:
    """Return what became of each session's rows, and why."""
    return {row["sessionId"]: (row["status"], row["reason"]) for row in answer.data["results"] if row["kind"] == "row"}


def exports(home: Leavings) -> list[str]:
    place = home.path / "session-closer" / "exports"
    return sorted(path.name for path in place.glob("*/state.db/*"))


def calls(home: Leavings) -> str:
    path = home.path / "calls"
    return path.read_text() if path.exists() else ""


def test_nothing_of_rows_is_done_or_said_where_nobody_asks(home: Leavings) -> None:
    home.lay_all()
    answer = home.run(CleanupSessions, "--verbose", "--delete")
    assert rows(answer) == {}
    assert ids(home) == {OVER, OPEN}
    assert calls(home) == ""


def test_a_dry_run_says_which_go_and_does_not_start_hermes_in_the_home(home: Leavings) -> None:
    home.session("young", age=DAY)
    home.session("of-cron", source="cron")
    answer = home.run(CleanupSessions, "--dry-run", "--verbose", "--rows", "cli=30d")
    assert answer.code == 0
    assert rows(answer) == {OVER: ("would_delete", "stale"), OPEN: ("kept", "open"), "young": ("kept", "young")}
    assert calls(home) == ""
    assert not home.has("session-closer")
    assert "rows of cli 30d" in answer.data["rules"]


def test_rows_go_and_can_be_read_and_the_receipt_says_where(home: Leavings) -> None:
    answer = home.run(CleanupSessions, "--rows", "cli=30d,cron=7d")
    assert (answer.code, rows(answer)) == (0, {OVER: ("deleted", "stale")})
    assert ids(home) == {OPEN}
    (row,) = answer.data["results"]
    assert row["path"] == str(home.path / "state.db" / OVER)
    exported = Path(row["export"])
    assert json.loads((exported / "session.jsonl").read_text())["id"] == OVER
    assert len((exported / "rows.jsonl").read_text().splitlines()) == 3
    receipt = json.loads(Path(answer.data["receipt"]).read_text())
    (told,) = receipt["stores"][0]["artifacts"]
    assert (told["kind"], told["status"], told["export"]) == ("row", "deleted", str(exported))
    assert any("Hermes has no import" in line and str(exported.parent) in line for line in answer.data["warnings"])
    assert answer.data["undo"] is None
    back = home.run(RestoreSessions, "last")
    assert ids(home) == {OPEN}
    assert back.data["results"] == []


def test_files_that_go_in_the_same_run_come_back_alone(home: Leavings) -> None:
    home.lay_all()
    answer = home.run(CleanupSessions, "--rows", "cli=30d")
    assert {row["status"] for row in answer.data["results"]} == {"archived", "deleted"}
    back = home.run(RestoreSessions, "last")
    assert {row["status"] for row in back.data["results"]} == {"restored"}
    assert ids(home) == {OPEN}


@pytest.mark.parametrize("words", [("--delete",), ("--keep-last", "3"), ("--max-disk", "1")])
def test_other_limits_neither_take_rows_nor_keep_them(home: Leavings, words: tuple[str, ...]) -> None:
    home.session("young", age=DAY)
    # More than --max-disk stays, as it is in use.
    home.lay(f"sessions/session_{OPEN}.json")
    answer = home.run(CleanupSessions, "--rows", "cli=30d", *words)
    assert rows(answer) == {OVER: ("deleted", "stale")}
    assert ids(home) == {OPEN, "young"}
    assert exports(home) == [OVER]


def test_what_is_kept_of_rows_is_said_where_it_takes_the_disk(home: Leavings) -> None:
    home.run(CleanupSessions, "--rows", "cli=30d")
    used = {one["kind"]: one for one in home.run(ListSessions, "--usage").data["usage"]}
    assert (used["exports"]["count"], used["exports"]["bytes"] > 100) == (1, True)


def test_no_run_frees_what_is_all_that_there_is(home: Leavings) -> None:
    home.run(CleanupSessions, "--rows", "cli=30d")
    home.age_receipts(90 * DAY)
    home.run(CleanupSessions, "--expire-archives", "1d")
    assert exports(home) == [OVER]


@pytest.mark.parametrize(
    "words",
    ["cli", "=7d", "cli=", "cli=0", "cli=-1d", "cli=5s", "cli=7d,", "cli=never"],
)
def test_a_rule_that_is_none_changes_nothing(home: Leavings, words: str) -> None:
    answer = home.run(CleanupSessions, "--rows", words)
    assert answer.code == 2
    assert ids(home) == {OVER, OPEN}


@pytest.mark.parametrize("fault", ["schema", "no hermes"])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_hermes_that_is_not_this_homes_touches_nothing_files_neither(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, words: tuple[str, ...]
) -> None:
    home.lay_all()
    if fault == "schema":
        home.database.execute("update schema_version set version = 11")
    else:
        (tmp_path / "bin" / "hermes").unlink()
    before = home.tree()
    answer = home.run(CleanupSessions, "--rows", "cli=30d", *words)
    assert (answer.code, answer.data["error"]["name"]) == (3, "other_schema" if fault == "schema" else "no_hermes")
    assert home.tree() == before
    assert calls(home) == ""


def test_rows_that_hermes_leaves_stay_with_a_reason_and_nothing_is_left(home: Leavings) -> None:
    (home.path / "fault").write_text("refuses")
    answer = home.run(CleanupSessions, "--verbose", "--rows", "cli=30d")
    assert rows(answer)[OVER] == ("kept", "hermes")
    assert ids(home) == {OVER, OPEN}
    assert exports(home) == []


@pytest.mark.long
def test_a_run_that_is_killed_is_finished_by_the_next_one(home: Leavings, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: set[Any] = set()
    for point in range(1, 80):
        if OVER not in ids(home):
            break
        with monkeypatch.context() as patched:
            patched.setattr(prune, "Disk", lambda point=point: Counting(kill_at(point, "before")))
            in_child(lambda: home.run(CleanupSessions, "--rows", "cli=30d"))
        is_there = OVER in ids(home)
        ends.add(is_there)
        home.run(CleanupSessions)
        assert (OVER in ids(home)) == is_there
        assert exports(home) == ([] if is_there else [OVER])
    assert ends == {True, False}


def test_rows_are_nothing_of_openclaws(home: Leavings, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    answer = home.run(CleanupSessions, "--runtime", "openclaw", "--rows", "cli=30d")
    assert answer.code == 2
