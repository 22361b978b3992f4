"""Runs over several profiles of which one is not meant, or is not there, when they are finished, undone or exported."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from session_closer.artifacts.aside import Aside
from session_closer.artifacts.engine import Became
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.wish import Options
from session_closer.hermes import entrance
from session_closer.operations import bring_back
from session_closer.ports.context import Console
from session_closer.system.disk import Disk
from support.interrupted import Killed
from support.leavings import FOLDERS, FREE, OVER, Leavings
from support.users import ROOT, STRANGER

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


@pytest.fixture
def work(home: Leavings) -> Path:
    """The folder of a profile beside the home that has left the same as that one."""
    made = Leavings(home.path / "profiles" / "work")
    made.lay_all()
    made.close()
    home.lay_all()
    return made.path


def moved(work: Path) -> None:
    work.rename(work.with_name("Elsewhere"))


def linked(work: Path) -> None:
    moved(work)
    work.symlink_to(work.with_name("Elsewhere"))


WAYS = [moved, linked, shutil.rmtree]


def lies(place: Path) -> set[str]:
    return {path for path in FREE.values() if (place / path).exists()}


def interrupt(
    home: Leavings,
    work: Path,
    run: Callable[[], object] | None = None,
    *,
    how: str = "put_away",
    moves: int = len(FREE) + 2,
) -> None:
    """Kill a cleanup, or another run, when it has moved something of the second profile: after so many moves."""
    moved, move = [], getattr(Aside, how)

    def until_killed(self: Aside, path: str) -> Became:
        became = move(self, path)
        moved.append(path)
        if len(moved) == moves:
            raise Killed
        return became

    with mock.patch.object(Aside, how, until_killed), pytest.raises(Killed):
        (run or (lambda: home.clean(Disk())))()
    assert lies(home.path) == (set() if how == "put_away" else set(FREE.values()))
    assert set(FREE.values()) > lies(work) > set()


def test_a_run_over_two_profiles_is_finished_by_a_command_over_one(home: Leavings, work: Path) -> None:
    before = home.tree()
    interrupt(home, work)
    answer = home.run(RestoreSessions, "--profile", "default", "last")
    assert (answer.code, lies(home.path)) == (0, set(FREE.values()))
    assert "is finished now" in answer.data["warnings"][0]
    assert not list((home.path / "session-closer" / "open").iterdir())
    assert home.run(RestoreSessions, "last").code == 0
    assert {path: entry for path, entry in home.tree().items() if "session-closer" not in path} == before


@pytest.mark.parametrize("away", WAYS)
def test_a_run_over_a_profile_that_is_gone_is_finished_and_undone_without_it(
    home: Leavings, work: Path, away: Callable[[Path], None]
) -> None:
    interrupt(home, work)
    left = lies(work)
    away(work)
    answer = home.run(CleanupSessions)
    assert answer.code == 0
    assert f"of {work} is not known: no such home is there now" in answer.data["warnings"][1]
    undone = home.run(RestoreSessions, "last")
    assert (undone.code, lies(home.path)) == (1, set(FREE.values()))
    assert {row["error"] for row in undone.data["results"] if row["agent"] == "work"} == {
        f"there is no home {work} any more"
    }
    if away is shutil.rmtree:
        return
    # It is back: what was put away comes back, and what had not been is where it was.
    work.unlink(missing_ok=True)
    work.with_name("Elsewhere").rename(work)
    assert lies(work) == left
    again = home.run(RestoreSessions, "last")
    assert (again.code, lies(work)) == (0, set(FREE.values()))


@pytest.mark.parametrize("away", WAYS)
def test_an_undo_says_of_each_file_of_a_profile_that_is_gone_that_it_stays(
    home: Leavings, work: Path, away: Callable[[Path], None], tmp_path: Path
) -> None:
    assert home.run(CleanupSessions).code == 0
    away(work)
    for words in (("last", "--check"), ("last",), ("last",)):
        answer = home.run(RestoreSessions, *words)
        assert answer.code == 1
        assert not any("is back already" in line for line in answer.data["warnings"])
        failed = [row["path"] for row in answer.data["results"] if row["status"] == "failed"]
        assert sorted(failed) == sorted(f"{work}/{path}" for path in FREE.values())
    named = home.run(RestoreSessions, "last", f"{work}/{FREE['session_json']}")
    assert [(row["status"], row["agent"]) for row in named.data["results"]] == [("failed", "work")]
    # Who means the other alone is told nothing of it.
    assert home.run(RestoreSessions, "--profile", "default", "last").code == 0
    exported = home.run(ExportSessions, "--from", "last", "--output", str(tmp_path / "out"))
    told = {(row["agent"], row["status"]): row["error"] for row in exported.data["failed"]}
    assert told["work", "refused"] == f"there is no home {work} any more"


def test_what_was_put_away_of_a_profile_that_was_emptied_since_comes_back(home: Leavings, work: Path) -> None:
    assert home.run(CleanupSessions).code == 0
    for each in work.iterdir():
        if each.name != "session-closer":
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    answer = home.run(RestoreSessions, "last")
    assert (answer.code, lies(work)) == (0, set(FREE.values()))


def test_a_profile_that_was_emptied_since_is_nothing_that_a_cleanup_fails_on(home: Leavings, work: Path) -> None:
    assert home.run(CleanupSessions).code == 0
    for each in work.iterdir():
        if each.name != "session-closer":
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    home.lay_kind("session_json", FREE["session_json"])
    for words in (("--dry-run",), ()):
        answer = home.run(CleanupSessions, *words)
        assert (answer.code, answer.data["warnings"]) == (0, [])
        assert {row["agent"] for row in answer.data["results"]} == {"default"}


@pytest.mark.skipif(os.geteuid() != ROOT, reason="only root can give a folder to another user")
def test_a_run_over_a_profile_of_somebody_else_by_now_is_not_finished_there(home: Leavings, work: Path) -> None:
    interrupt(home, work)
    left = lies(work)
    os.chown(work, STRANGER, STRANGER)
    answer = home.run(RestoreSessions, "--profile", "default", "last")
    assert (answer.code, answer.error) == (3, "owner")
    assert (lies(home.path), lies(work)) == (set(), left)


def test_an_undo_that_was_cut_short_is_gone_on_with_once_its_profile_is_back(home: Leavings, work: Path) -> None:
    assert home.run(CleanupSessions).code == 0
    place = entrance.find({}, named=str(home.path), profile=None)
    undo = partial(bring_back.perform, place, "last", [], Options(), console=Console(), disk=Disk())
    interrupt(home, work, undo, how="bring_back")
    moved(work)
    assert home.run(CleanupSessions, "--profile", "default", "--kind", "moa_trace").code == 0
    listed = {one["operation"]: one for one in home.run(RestoreSessions, "--list").data["receipts"]}
    assert listed["cleanup-sessions"]["restored"] == len(FREE)
    work.with_name("Elsewhere").rename(work)
    assert home.run(RestoreSessions, "last").code == 0
    assert lies(work) == set(FREE.values())


def test_what_a_deletion_that_was_cut_short_left_of_a_profile_that_is_gone_is_no_archive(
    home: Leavings, work: Path
) -> None:
    # Files are removed where they are.
    interrupt(home, work, lambda: home.clean(Disk(), delete=True), moves=len(FOLDERS.intersection(FREE)) + 1)
    moved(work)
    assert home.run(CleanupSessions).code == 0
    listed = home.run(RestoreSessions, "--list").data["receipts"]
    assert {one["closed"] for one in listed} == {0}


def test_a_row_of_a_profile_that_is_gone_is_nothing_that_an_undo_could_bring_back(home: Leavings, work: Path) -> None:
    interrupt(home, work)
    moved(work)
    [part] = [each for each in (home.path / "session-closer" / "open").rglob("*") if f'"{work}"' in _text(each)]
    store = json.loads(part.read_text())
    store["artifacts"].append({"kind": "row", "path": f"state.db/{OVER}", "sessionId": OVER})
    part.write_text(json.dumps(store))
    assert home.run(CleanupSessions).code == 0
    work.with_name("Elsewhere").rename(work)
    assert home.run(RestoreSessions, "last").code == 0
    assert lies(work) == set(FREE.values())


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""
