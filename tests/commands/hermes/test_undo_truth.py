"""What an undo of a Hermes says of archives that are not what they were, of what is in its way, and of its own end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from session_closer.artifacts.aside import Aside
from session_closer.artifacts.engine import Became
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import StorageFailed
from session_closer.journal.journal import Journal
from session_closer.system.disk import Disk
from support.checkpoints import Checkpoints
from support.commands import Answer
from support.hermes import DAY
from support.leavings import FREE, Leavings, by_status

pytestmark = pytest.mark.usefixtures("no_power_is_cut")
SNAPSHOT, FOLDER = FREE["session_json"], FREE["delegation_log"]


def put_away(home: Leavings) -> Path:
    """Put all away that goes; return the folder that has it."""
    home.lay_all()
    assert home.run(CleanupSessions).code == 0
    return next((home.path / "session-closer" / "archives").iterdir())


def errors(answer: Answer) -> dict[str, Any]:
    return {row["path"]: row["error"] for row in answer.data["results"] if row["status"] != "restored"}


def looked_and_done(home: Leavings) -> Answer:
    """Return an undo that says what the dry run said, also by its exit code."""
    dry = home.run(RestoreSessions, "last", "--check")
    done = home.run(RestoreSessions, "last")
    assert dry.code == done.code
    assert {row["path"]: row["error"] for row in dry.data["results"]} == {
        row["path"]: row["error"] for row in done.data["results"]
    }
    return done


def emptied(archive: Path) -> str:
    (archive / SNAPSHOT).write_bytes(b"")
    return SNAPSHOT


def replaced_by_a_link(archive: Path) -> str:
    size = (archive / SNAPSHOT).stat().st_size
    (archive / SNAPSHOT).unlink()
    (archive / SNAPSHOT).symlink_to("x" * size)
    return SNAPSHOT


def without_a_file(archive: Path) -> str:
    (archive / FOLDER / "one").unlink()
    return FOLDER


def a_file_for_a_folder(archive: Path) -> str:
    size = sum(each.stat().st_size for each in (archive / FOLDER).rglob("*") if each.is_file())
    os.rename(archive / FOLDER, archive / "aside")
    (archive / FOLDER).write_bytes(b"x" * size)
    return FOLDER


@pytest.mark.parametrize("changed", [emptied, replaced_by_a_link, without_a_file, a_file_for_a_folder])
def test_an_archive_that_is_not_what_was_put_there_stays_where_it_is(home: Leavings, changed: Any) -> None:
    archive = put_away(home)
    path = changed(archive)
    answer = looked_and_done(home)
    assert answer.code == 1
    assert errors(answer) == {
        f"{home.path}/{path}": f"its archive is not what was put there: it stays in {archive}/{path}"
    }
    assert os.path.lexists(archive / path)
    assert not home.has(path)


@pytest.mark.parametrize("barred", ["link", "file"])
def test_what_stands_in_the_place_of_a_folder_is_in_the_way(home: Leavings, tmp_path: Path, barred: str) -> None:
    archive = put_away(home)
    sessions = home.path / "sessions"
    sessions.rename(tmp_path / "moved")
    if barred == "link":
        sessions.symlink_to(tmp_path / "moved")
    else:
        sessions.write_bytes(b"")
    answer = looked_and_done(home)
    assert answer.code == 1
    there = [path for path in FREE.values() if path.startswith("sessions/")]
    assert errors(answer) == {f"{home.path}/{path}": "something else is there by now" for path in there}
    assert all((archive / path).exists() for path in there)
    # Where nothing is, the folder is made.
    sessions.unlink()
    assert home.run(RestoreSessions, "last").code == 0
    assert all(map(home.has, FREE.values()))


@pytest.fixture
def project(home: Leavings) -> str:
    """The path of a project that was put away, with its checkpoints."""
    made = Checkpoints(home.path)
    made.add("old", touched=home.now - 20 * DAY)
    made.add("young", touched=home.now)
    assert home.run(CleanupSessions).code == 0
    return f"checkpoints/store/projects/{made.id('old')}.json"


def test_without_git_nothing_of_it_is_said_to_come_back(
    home: Leavings, project: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = looked_and_done(home)
    assert (answer.code, by_status(answer)) == (1, {"failed": [project]})
    assert "there is no git on PATH" in errors(answer)[f"{home.path}/{project}"]


def test_without_git_a_cleanup_warns_that_projects_stay(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert home.run(CleanupSessions).data["warnings"] == []
    Checkpoints(home.path).add("old", touched=home.now - 20 * DAY)
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = home.run(CleanupSessions)
    assert (answer.code, answer.data["spared"]) == (0, {"git": 1})
    assert answer.data["warnings"] == ["the checkpoints stay as they are: there is no git on PATH"]


def test_a_bundle_that_is_not_whole_is_said_to_be_so_ahead(home: Leavings, project: str) -> None:
    folder = next((home.path / "session-closer" / "archives").iterdir()) / project
    bundle = folder / "history.bundle"
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    answer = looked_and_done(home)
    assert (answer.code, by_status(answer)) == (1, {"failed": [project]})
    assert errors(answer) == {f"{home.path}/{project}": f"its archive is not whole: it stays in {folder}"}


@pytest.mark.parametrize("problem", [StorageFailed("the disk is full", "make room"), KeyboardInterrupt()])
def test_a_run_that_ends_as_its_receipt_is_written_says_what_it_did(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, problem: BaseException
) -> None:
    def end(*_: Any) -> None:
        raise problem

    home.lay_all()
    size = sum(home.path.joinpath(path).stat().st_size for path in FREE.values() if "." in path)
    for command, words, status, total in (
        (CleanupSessions, (), "archived", "putAway"),
        (RestoreSessions, ("last",), "restored", "broughtBack"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "finish", end)
            answer = home.run(command, *words)
        assert answer.code == (130 if isinstance(problem, KeyboardInterrupt) else 1)
        assert by_status(answer) == {status: sorted(FREE.values())}
        assert answer.data[total]["count"] == len(FREE)
        assert answer.data[total]["bytes"] > size
        assert Path(answer.data["receipt"]).parts[-3] == "open"
        # The next command finishes it.
        assert home.run(CleanupSessions, "--dry-run").code == 0
        if command is CleanupSessions:
            assert home.run(CleanupSessions).code == 0
            assert not any(map(home.has, FREE.values()))
    assert all(map(home.has, FREE.values()))


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(("command", "words", "name", "done"), [
    (CleanupSessions, (), "put_away", "archived"), (RestoreSessions, ("last",), "bring_back", "restored"),
])  # fmt: skip
def test_a_run_that_is_stopped_has_a_row_for_each_and_says_what_is_so_by_then(
    home: Leavings,
    monkeypatch: pytest.MonkeyPatch,
    command: type,
    words: tuple[str, ...],
    name: str,
    done: str,
    fails: bool,
) -> None:
    home.lay_all()
    if command is RestoreSessions:
        assert home.run(CleanupSessions).code == 0
    moved: list[str] = []
    move = getattr(Aside, name)

    def stopped(self: Aside, path: str) -> Became:
        became: Became = move(self, path)
        moved.append(path)
        if len(moved) == 2:
            # Where the disk fails from then on, what it cannot say any more is not known.
            patched.setattr(Aside, "place_of", failing if fails else Aside.place_of)
            raise OSError(errno.EIO, "Input/output error") if fails else KeyboardInterrupt
        return became

    def failing(*_: Any) -> Became:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(Aside, name, stopped)
        answer = home.run(command, *words)
    assert (answer.code, answer.error) == ((1, "storage") if fails else (130, "interrupted"))
    known = moved[:1] if fails else moved
    assert by_status(answer) == {done: sorted(known), "failed": sorted({*FREE.values()}.difference(known))}


def test_of_two_runs_that_put_one_path_away_the_list_says_which_is_back(home: Leavings) -> None:
    for _ in range(2):
        home.lay_kind("session_json", SNAPSHOT)
        assert home.run(CleanupSessions).code == 0
    first, second = sorted(one.stem for one in (home.path / "session-closer" / "receipts").iterdir())

    def back() -> dict[str, int]:
        listed = home.run(RestoreSessions, "--list").data["receipts"]
        return {one["id"]: one["restored"] for one in listed if one["operation"] == "cleanup-sessions"}

    assert back() == {first: 0, second: 0}
    assert home.run(RestoreSessions, first).code == 0
    assert back() == {first: 1, second: 0}
    # What is back is moved away, so that the other can come, and is what comes.
    (home.path / SNAPSHOT).unlink()
    since = home.run(RestoreSessions, "--since", "1h")
    assert (since.code, [run["id"] for run in since.data["runs"]]) == (0, [second])
    assert back() == {first: 1, second: 1}


def test_what_cannot_be_moved_is_named_by_its_whole_path(home: Leavings, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Disk, _old: int, name: str, *_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error", name)

    home.lay_kind("session_json", SNAPSHOT)
    monkeypatch.setattr(Disk, "move_new", fail)
    answer = home.run(CleanupSessions)
    assert (answer.code, answer.error) == (1, "storage")
    assert answer.data["error"]["message"] == f"{home.path}/{SNAPSHOT}: Input/output error"
