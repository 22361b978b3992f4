"""Checkpoints go as a whole and come back as a whole, whoever commits meanwhile, and whatever git finds."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from session_closer.core.errors import Refused, StorageFailed
from session_closer.hermes.checkpoints import Project, Store
from session_closer.system.disk import Disk
from support.checkpoints import DAY, NOTHING, Checkpoints, git

OLD = time.time() - 60 * DAY
NOW = time.time()


@pytest.fixture
def made(tmp_path: Path) -> Checkpoints:
    """A home with two projects, one of them to go."""
    made = Checkpoints(tmp_path / "home")
    made.add("old", touched=OLD)
    made.add("kept", touched=NOW)
    return made


@pytest.fixture
def folder(made: Checkpoints) -> str:
    """An archive of ours."""
    path = made.home / "session-closer" / "archive" / "one"
    path.mkdir(parents=True)
    return str(path)


def store_of(made: Checkpoints, disk: Disk | None = None) -> Store:
    return Store(str(made.home), disk or Disk())


def the(made: Checkpoints, name: str = "old") -> Project:
    (found,) = (one for one in store_of(made).projects() if one.id == made.id(name))
    return found


class Meanwhile(Disk):
    """A disk on which something happens before a step of git."""

    def __init__(self, step: int, work: Callable[[], object]) -> None:
        self.step, self.work = step, work

    def let(self, work):  # type: ignore[no-untyped-def]
        if self.step == 0:
            self.work()
        self.step -= 1
        return super().let(work)


def test_projects_say_where_and_when_they_were_worked_in(made: Checkpoints) -> None:
    found = the(made)
    assert (found.workdir, found.last_touch) == (str(made.home.parent / "work" / "old"), OLD)
    assert found.tip == made.history(found.id)[0]
    sizes = (made.meta("old").stat().st_size, (made.store / "indexes" / found.id).stat().st_size)
    assert found.size == sum(sizes)


def test_what_is_put_away_is_gone_and_comes_back_as_it_was(made: Checkpoints, folder: str) -> None:
    project, kept = the(made), made.facts(made.id("kept"))
    os.utime(made.meta("old"), (OLD, OLD))
    made.meta("old").chmod(0o640)
    before = made.facts(project.id)
    store = store_of(made)
    assert store.put_away(project, folder)
    assert store.collect_garbage() == ""
    assert made.facts(project.id) == NOTHING
    assert made.facts(made.id("kept")) == kept
    assert git(made.store, "cat-file", "-t", before.history[0], check=False) in ("", "commit")
    assert {path.stat().st_mode & 0o077 for path in Path(folder).glob("*.bundle")} == {0}
    assert store.bring_back(project.id, folder) == "live"
    assert made.facts(project.id) == before
    assert made.meta("old").stat().st_mtime == OLD
    assert made.meta("old").stat().st_mode & 0o777 == 0o640
    assert os.listdir(folder) == []
    assert made.is_whole()
    # Hermes goes on from there.
    commit = made.commit("old", NOW)
    assert made.history(project.id) == (commit, *before.history)


def test_objects_that_nothing_holds_are_freed_once_they_are_old(made: Checkpoints, folder: str) -> None:
    project = the(made)
    tip = str(project.tip)
    for path in (made.store / "objects").rglob("*"):
        os.utime(path, (OLD, OLD))
    assert store_of(made).put_away(project, folder)
    store_of(made).collect_garbage()
    assert git(made.store, "cat-file", "-t", tip, check=False) == ""
    assert store_of(made).bring_back(project.id, folder) == "live"
    assert made.history(project.id)[0] == tip
    assert made.is_whole()


def test_objects_of_a_moment_ago_stay_beside_an_agent(made: Checkpoints) -> None:
    loose = git(made.store, "commit-tree", f"{the(made).tip}^{{tree}}", "-m", "not yet at a ref")
    store_of(made).collect_garbage()
    assert git(made.store, "cat-file", "-t", loose) == "commit"


def test_folders_that_git_needs_are_made_again(made: Checkpoints, folder: str) -> None:
    store_of(made).collect_garbage()
    for name in ("branches", "refs/heads"):
        (made.store / name).rmdir()
    store_of(made).collect_garbage()
    assert (made.store / "branches").is_dir()
    assert (made.store / "refs" / "heads").is_dir()
    (made.store / "branches").rmdir()
    assert store_of(made).settle(made.id("old"), folder) == "live"
    assert (made.store / "branches").is_dir()


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("way", ["put_away", "delete"])
def test_a_checkpoint_taken_meanwhile_keeps_its_project(made: Checkpoints, folder: str, way: str, step: int) -> None:
    if (way, step) == ("delete", 1):
        pytest.skip("one step of git is all of it")
    project = the(made)
    (made.home.parent / "work" / "old" / "new.txt").write_text("new")
    store = store_of(made, Meanwhile(step, lambda: made.commit("old", NOW)))
    assert not (store.put_away(project, folder) if way == "put_away" else store.delete(project))
    assert len(made.history(project.id)) == 3
    assert made.facts(project.id).meta is not None
    assert os.listdir(folder) == []


def test_a_project_that_is_worked_in_again_is_another(made: Checkpoints, folder: str) -> None:
    project = the(made)
    made.touch("old", NOW)
    before = made.facts(project.id)
    assert not store_of(made).is_as(project)
    assert not store_of(made).put_away(project, folder)
    assert not store_of(made).delete(project)
    assert made.facts(project.id) == before


def test_a_project_that_hermes_begins_anew_keeps_what_is_new(made: Checkpoints, folder: str) -> None:
    project = the(made)
    before = made.facts(project.id)

    class Anew(Disk):
        def let(self, work):  # type: ignore[no-untyped-def]
            done = super().let(work)
            if not made.history(project.id):
                made.touch("old", NOW)
            return done

    assert store_of(made, Anew()).put_away(project, folder)
    assert json.loads(made.meta("old").read_bytes())["last_touch"] == NOW
    made.commit("old", NOW)
    now = made.facts(project.id)
    assert json.loads(now.meta or b"")["last_touch"] == NOW
    # The archive is all that there is of what was before.
    assert store_of(made).settle(project.id, folder) == "away"
    assert store_of(made).bring_back(project.id, folder) == "taken"
    assert made.facts(project.id) == now
    git(made.store, "update-ref", "-d", f"refs/hermes/{project.id}")
    made.meta("old").unlink()
    (made.store / "indexes" / project.id).unlink()
    assert store_of(made).bring_back(project.id, folder) == "live"
    assert made.facts(project.id) == before


def test_a_project_begun_anew_while_another_comes_back_is_not_overwritten(made: Checkpoints, folder: str) -> None:
    project = the(made)
    assert store_of(made).put_away(project, folder)
    store = store_of(made, Meanwhile(1, lambda: made.commit("old", NOW)))
    assert store.bring_back(project.id, folder) == "taken"
    assert len(made.history(project.id)) == 1
    assert json.loads(made.meta("old").read_bytes())["last_touch"] == NOW


def test_a_damaged_archive_of_a_project_begun_anew_is_kept(made: Checkpoints, folder: str) -> None:
    project = the(made)
    assert store_of(made).put_away(project, folder)
    made.commit("old", NOW)
    Path(folder, "project.json").unlink()
    assert store_of(made).settle(project.id, folder) == "live"
    assert Path(folder, "history.bundle").exists()


def test_one_without_a_checkpoint_goes_and_comes_back_too(made: Checkpoints, folder: str) -> None:
    project_id = made.add("empty", touched=OLD, commits=0)
    before = made.facts(project_id)
    project = the(made, "empty")
    assert project.tip is None
    assert store_of(made).put_away(project, folder)
    assert made.facts(project_id) == NOTHING
    assert store_of(made).settle(project_id, folder) == "away"
    assert store_of(made).bring_back(project_id, folder) == "live"
    assert made.facts(project_id) == before


def test_a_deleted_project_is_gone(made: Checkpoints) -> None:
    project = the(made)
    assert store_of(made).delete(project)
    assert made.facts(project.id) == NOTHING
    assert made.is_whole()


@pytest.mark.parametrize("harm", ["cut", "changed", "another's", "no bundle", "no metadata"])
def test_an_archive_that_is_not_whole_is_never_brought_back(made: Checkpoints, folder: str, harm: str) -> None:
    project = the(made)
    assert store_of(made).put_away(project, folder)
    bundle = Path(folder, "history.bundle")
    data = bundle.read_bytes()
    if harm == "cut":
        bundle.write_bytes(data[:-30])
    elif harm == "changed":
        bundle.write_bytes(data[:-40] + bytes([data[-40] ^ 1]) + data[-39:])
    elif harm == "another's":
        bundle.write_bytes(data.replace(project.id.encode(), made.id("kept").encode()))
    elif harm == "no metadata":
        Path(folder, "project.json").unlink()
    else:
        bundle.rename(bundle.with_suffix(".else"))
    left = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    assert store_of(made).bring_back(project.id, folder) == "gone"
    assert made.facts(project.id) == NOTHING
    assert made.is_whole()
    # Somebody may still make something of it.
    assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == left


@pytest.mark.parametrize(
    "said",
    [
        b"{", b"[]", b"{}", b'{"workdir": 5, "last_touch": 1}', b'{"workdir": "/elsewhere", "last_touch": 1}',
        b'{"last_touch": true}',
    ],
)  # fmt: skip
def test_metadata_that_are_none_are_nobodys(made: Checkpoints, said: bytes) -> None:
    made.meta("old").write_bytes(said)
    assert [one.id for one in store_of(made).projects()] == [made.id("kept")]


@pytest.mark.parametrize("touched", ["soon", None, float("nan"), float("inf"), -1, True])
def test_a_time_that_is_none_is_no_age(made: Checkpoints, touched: object) -> None:
    made.touch("old", OLD, last_touch=touched)
    assert [one.id for one in store_of(made).projects()] == [made.id("kept")]


@pytest.mark.parametrize("name", ["checkpoints", "checkpoints/store", "checkpoints/store/projects"])
def test_no_link_is_followed(made: Checkpoints, name: str) -> None:
    place = made.home / name
    place.rename(made.home / "away")
    place.symlink_to(made.home / "away")
    assert store_of(made).projects() == ()
    assert store_of(made).collect_garbage() == ""


def test_a_home_without_checkpoints_has_none(tmp_path: Path) -> None:
    store = Store(str(tmp_path), Disk())
    assert (store.projects(), store.objection(), store.collect_garbage()) == ((), "", "")


def test_without_git_nothing_goes(made: Checkpoints, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    project = the(made)
    before = made.facts(project.id)
    with monkeypatch.context() as without:
        without.setenv("PATH", folder)
        assert "no git" in store_of(made).objection()
        assert [one.tip for one in store_of(made).projects()] == [None, None]
        for work in (
            lambda: store_of(made).put_away(project, folder),
            lambda: store_of(made).delete(project),
            lambda: store_of(made).settle(project.id, folder),
        ):
            with pytest.raises(Refused, match="no git") as refused:
                work()
            assert refused.value.name == "git"
        assert "no git" in store_of(made).collect_garbage()
    assert made.facts(project.id) == before
    assert os.listdir(folder) == []


def test_a_history_that_is_not_whole_stays(made: Checkpoints, folder: str) -> None:
    project = the(made)
    blob = git(made.store, "rev-parse", f"{project.tip}:file.txt")
    (made.store / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(Refused):
        store_of(made).put_away(project, folder)
    assert made.history(project.id)[0] == project.tip
    assert os.listdir(folder) == []


def test_a_ref_that_cannot_be_moved_stays_and_the_run_ends(made: Checkpoints, folder: str) -> None:
    project = the(made)
    lock = made.store / "refs" / "hermes" / f"{project.id}.lock"
    lock.write_text("")
    with pytest.raises(StorageFailed, match="as it was"):
        store_of(made).put_away(project, folder)
    before = made.facts(project.id)
    lock.unlink()
    assert store_of(made).settle(project.id, folder) == "live"
    assert made.facts(project.id) == before
    assert os.listdir(folder) == []


def test_no_program_that_the_repository_names_is_run(made: Checkpoints, folder: str, tmp_path: Path) -> None:
    program, proof = tmp_path / "program", tmp_path / "proof"
    program.write_text(f"#!/bin/sh\ntouch {proof}\n")
    program.chmod(0o700)
    for hook in ("reference-transaction", "pre-auto-gc"):
        (made.store / "hooks").mkdir(exist_ok=True)
        (made.store / "hooks" / hook).write_text(program.read_text())
        (made.store / "hooks" / hook).chmod(0o700)
    project = the(made)
    assert store_of(made).put_away(project, folder)
    assert store_of(made).collect_garbage() == ""
    assert store_of(made).bring_back(project.id, folder) == "live"
    assert not proof.exists()


def test_another_repository_in_the_environment_is_none_of_ours(
    made: Checkpoints, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "nowhere"))
    project = the(made)
    assert store_of(made).put_away(project, folder)
    assert store_of(made).bring_back(project.id, folder) == "live"
