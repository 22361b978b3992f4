"""Checkpoints of version 2: one project at a time goes and comes back whole, and the store stays what Hermes takes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.checkpoints import NOTHING, Checkpoints, git
from support.hermes import DAY
from support.interrupted import killed
from support.leavings import BeforeChanging, Leavings, by_status
from support.shares import Share

pytestmark = pytest.mark.usefixtures("no_power_is_cut")


@pytest.fixture
def store(home: Leavings) -> Checkpoints:
    """A store with a project that is old, and one that is young."""
    made = Checkpoints(home.path)
    made.add("old", touched=home.now - 20 * DAY)
    made.add("young", touched=home.now - 13 * DAY)
    return made


def path_of(project: str) -> str:
    return f"checkpoints/store/projects/{project}.json"


def test_an_old_project_goes_whole_and_comes_back_as_it_was(home: Leavings, store: Checkpoints) -> None:
    old, young = store.id("old"), store.id("young")
    before = store.facts(old), store.facts(young)
    dry = home.run(CleanupSessions, "--dry-run")
    assert by_status(dry) == {"would_archive": [path_of(old)]}
    assert [row["kind"] for row in dry.data["results"]] == ["checkpoint_v2"]
    assert (store.facts(old), store.facts(young)) == before
    answer = home.run(CleanupSessions)
    assert (answer.code, by_status(answer)) == (0, {"archived": [path_of(old)]})
    assert (store.facts(old), store.facts(young)) == (NOTHING, before[1])
    assert store.is_whole()
    assert by_status(home.run(RestoreSessions, "last", "--check")) == {"would_restore": [path_of(old)]}
    back = home.run(RestoreSessions, "last")
    assert (back.code, by_status(back)) == (0, {"restored": [path_of(old)]})
    assert (store.facts(old), store.facts(young)) == before
    assert store.is_whole()
    assert home.archived() == []
    again = home.run(RestoreSessions, home_run(home))
    assert (again.code, by_status(again)) == (0, {"already_restored": [path_of(old)]})


def home_run(home: Leavings) -> str:
    return min((home.path / "session-closer" / "receipts").iterdir()).stem


def test_a_project_that_an_open_session_works_in_stays(home: Leavings, store: Checkpoints) -> None:
    home.session("at-work", ended_at=None, age=DAY, cwd=str(home.path.parent / "work"))
    answer = home.run(CleanupSessions, "--verbose")
    assert {row["reason"] for row in answer.data["results"]} == {"workdir"}
    assert store.history(store.id("old"))


def test_a_project_that_went_on_since_it_was_looked_at_stays(
    home: Leavings, store: Checkpoints, before_changing: BeforeChanging
) -> None:

    def meanwhile() -> None:
        (home.path.parent / "work" / "old" / "file.txt").write_text("more")
        store.commit("old", home.now)

    before_changing(meanwhile)
    answer = home.run(CleanupSessions, "--verbose")
    kept = [row["reason"] for row in answer.data["results"] if store.id("old") in row["path"]]
    assert (answer.code, kept) == (0, ["changed"])
    assert len(store.history(store.id("old"))) == 3
    assert home.archived() == []


def test_what_has_begun_anew_is_never_overwritten(home: Leavings, store: Checkpoints) -> None:
    old = store.id("old")
    home.run(CleanupSessions)
    store.commit("old", home.now)
    anew = store.facts(old)
    back = home.run(RestoreSessions, "last")
    assert (back.code, by_status(back)) == (1, {"conflict": [path_of(old)]})
    assert store.facts(old) == anew
    assert home.archived()


def test_delete_frees_a_project_for_good(home: Leavings, store: Checkpoints) -> None:
    old, young = store.id("old"), store.facts(store.id("young"))
    assert by_status(home.run(CleanupSessions, "--delete")) == {"deleted": [path_of(old)]}
    assert (store.facts(old), store.facts(store.id("young"))) == (NOTHING, young)
    assert (home.archived(), store.is_whole()) == ([], True)


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_what_no_project_needs_any_more_is_freed_once_it_is_old(
    home: Leavings, store: Checkpoints, words: tuple[str, ...]
) -> None:
    tip, kept = store.history(store.id("old"))[0], store.history(store.id("young"))[0]
    for each in (store.store / "objects").rglob("*"):
        os.utime(each, (home.now - DAY, home.now - DAY))
    home.run(CleanupSessions, *words)
    assert git(store.store, "cat-file", "-t", tip, check=False) == ""
    assert git(store.store, "cat-file", "-t", kept) == "commit"


def test_without_git_projects_stay_and_all_else_goes(
    home: Leavings, store: Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.lay("sessions/session_x.json")
    before = store.facts(store.id("old"))
    empty = tmp_path / "no-programs"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    answer = home.run(CleanupSessions, "--verbose")
    monkeypatch.undo()
    assert answer.code == 0
    assert by_status(answer)["archived"] == ["sessions/session_x.json"]
    assert {row["reason"] for row in answer.data["results"] if row["status"] == "kept"} == {"git"}
    assert store.facts(store.id("old")) == before


def test_usage_has_the_whole_store(home: Leavings, store: Checkpoints) -> None:
    used = {row["kind"]: row for row in home.run(ListSessions, "--usage").data["usage"]}
    sizes = [each.lstat().st_size for each in store.store.rglob("*") if each.is_file()]
    assert (used["checkpoint_v2"]["count"], used["checkpoint_v2"]["bytes"]) == (2, sum(sizes))


@pytest.mark.long
@pytest.mark.parametrize("delete", [False, True])
def test_a_cleanup_that_is_killed_anywhere_is_finished(tmp_path: Path, some: Share, delete: bool) -> None:
    home = Leavings(tmp_path / "home")
    store = Checkpoints(home.path)
    old, young = store.add("old", touched=home.now - 20 * DAY), store.add("young", touched=home.now - 13 * DAY)
    home.close()
    facts = store.facts(old), store.facts(young)
    shutil.copytree(home.path, tmp_path / "as it was")
    for point in some(range(400), each=6):
        shutil.rmtree(home.path)
        shutil.copytree(tmp_path / "as it was", home.path)
        hit = killed(lambda disk: home.clean(disk, delete=delete), point)
        answer = home.run(CleanupSessions, *(["--delete"] if delete else []))
        assert answer.code == 0, point
        assert (store.facts(old), store.facts(young)) == (NOTHING, facts[1]), point
        assert store.is_whole(), point
        if not delete:
            for receipt in sorted((home.path / "session-closer" / "receipts").iterdir(), reverse=True):
                home.run(RestoreSessions, receipt.stem)
            assert (store.facts(old), store.facts(young)) == facts, point
        assert home.archived() == [], point
        assert not os.listdir(home.path / "session-closer" / "open"), point
        if not hit:
            return
    pytest.fail("the run never ended")
