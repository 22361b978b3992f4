"""What cannot be written is refused before anything is begun, by a dry run and by the real one in the same words."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import by_store
from session_closer.system import mounts
from support.cleanup import fill
from support.commands import Answer, one_document, run_json
from support.interrupted import interrupt
from support.keys import LEAD
from support.leavings import Leavings
from support.programs import BARE, importable
from support.stores import Store
from support.trees import tree

TOPICS = LEAD + "topics"


@pytest.fixture
def ours(store: Store, mortal: None) -> Store:
    """The sample store, of such a user."""
    del mortal
    return store


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    mode = folder.stat().st_mode
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(mode)


def check_refused(answer: Answer, folder: Path, why: str = "Permission denied") -> None:
    assert (answer.code, answer.error) == (3, "unwritable")
    assert answer.data["error"]["message"] == f"nothing was changed: {folder} cannot be written: {why}"
    assert answer.data["error"]["remedy"].endswith("then run the same command again")
    assert (answer.data["receipt"], answer.data["undo"]) == (None, None)


@pytest.mark.parametrize(
    "where", ["sessions", "state", "session-closer", "session-closer/open", "session-closer/receipts"]
)
def test_a_close_is_refused_where_it_could_not_be_written(ours: Store, where: str) -> None:
    folder = {"sessions": ours.folder(), "state": ours.state}.get(where, ours.state / where)
    if where.startswith("session-closer"):
        (ours.state / "session-closer").mkdir(mode=0o700)
        folder.mkdir(mode=0o700, exist_ok=True)
    before = tree(ours.state)
    with locked(folder):
        tried = [run_json(CloseProject, "topics", *words, state=ours.state) for words in (["--dry-run"], [], [])]
    for answer in tried:
        check_refused(answer, folder)
    assert tree(ours.state) == before
    assert run_json(CloseProject, "topics", state=ours.state).rows == [(TOPICS, "closed")]


@pytest.mark.parametrize("most", [by_store.MOST, 0], ids=["a plan of all", "store by store"])
def test_a_run_that_could_not_be_put_in_order_is_refused(
    ours: Store, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a dry run, too: which run is the last one is told by all receipts."""
    monkeypatch.setattr(by_store, "MOST", most)
    receipt = Path(run_json(CloseProject, "topics", state=ours.state).data["receipt"])
    fill(ours)
    receipt.chmod(0)
    before = sorted(path for path in ours.state.rglob("*") if path.name != "open")
    for words in (["--dry-run"], []):
        answer = run_json(CleanupSessions, *words, state=ours.state)
        assert (answer.code, answer.error) == (3, "unreadable")
        assert answer.data["error"]["message"] == f"{receipt} cannot be read: Permission denied"
        assert (answer.data["receipt"], answer.data["undo"]) == (None, None)
    assert sorted(path for path in ours.state.rglob("*") if path.name != "open") == before


def test_where_there_is_nothing_to_do_nothing_has_to_be_written(ours: Store) -> None:
    run_json(CloseProject, "topics", state=ours.state)
    with locked(ours.folder()), locked(ours.state / "session-closer" / "open"):
        for words in (["--dry-run"], []):
            answer = run_json(CloseProject, "topics", *words, state=ours.state)
            assert (answer.code, answer.rows) == (0, [(TOPICS, "already_closed")])


def test_a_restore_is_refused_where_it_could_not_be_written(ours: Store) -> None:
    run_json(CloseProject, "topics", state=ours.state)
    before = tree(ours.state)
    with locked(ours.folder()):
        for words in (["--dry-run"], []):
            check_refused(run_json(RestoreSessions, "last", *words, state=ours.state), ours.folder())
    assert tree(ours.state) == before
    assert run_json(RestoreSessions, "last", state=ours.state).rows == [(TOPICS, "restored")]


def test_a_cleanup_of_files_is_refused_where_it_could_not_be_written(ours: Store) -> None:
    stray = ours.transcript("stray.jsonl")
    os.utime(stray, (1, 1))
    before = tree(ours.state)
    with locked(ours.folder()):
        for words in (["--dry-run"], []):
            orphans = ["--agent", "project-lead", "--only", "orphans", "--orphans", "1h", *words]
            check_refused(run_json(CleanupSessions, *orphans, state=ours.state), ours.folder())
    assert tree(ours.state) == before


@pytest.mark.parametrize("most", [by_store.MOST, 0], ids=["a plan of all", "store by store"])
def test_a_cleanup_begins_with_no_store_where_another_could_not_be_written(
    ours: Store, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_store, "MOST", most)
    fill(ours)
    before = tree(ours.state)
    with locked(ours.folder("researcher")):
        for words in (["--dry-run"], []):
            check_refused(run_json(CleanupSessions, *words, state=ours.state), ours.folder("researcher"))
    assert tree(ours.state) == before


def test_an_interrupted_run_is_left_where_it_could_not_be_finished(ours: Store) -> None:
    interrupt(ours, "topics", committed=True)
    before = tree(ours.state)
    with locked(ours.folder()):
        for words in (["--dry-run"], []):
            check_refused(run_json(CloseProject, "alpha", *words, state=ours.state), ours.folder())
    assert tree(ours.state) == before
    assert run_json(CloseProject, "topics", state=ours.state).rows == [(TOPICS, "already_closed")]


BOUND, READ_ONLY = 'mount --bind "$0" "$0"', 'mount -o remount,ro,bind "$0" "$0"'


def mounted(store: Store, place: Path, *words: str, how: str = BOUND) -> tuple[int, dict[str, Any]]:
    """Close `topics` where a folder or a file is mounted on itself; return the exit code, and what was answered."""
    privately = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    unshare = [*privately, "sh", "-c", f'{how} && exec "$@"', str(place)]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to mount")
    program = "import sys; from session_closer.cli.commands.close_project import main; sys.exit(main())"
    done = subprocess.run(
        [*unshare, sys.executable, *BARE, "-B", "-c", program, "--json", "topics", *words],
        env={**os.environ, "OPENCLAW_STATE_DIR": str(store.state), "PYTHONPATH": importable()},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, one_document(done.stdout)


def test_a_mount_that_is_read_only_is_refused_to_root_too(store: Store) -> None:
    before = tree(store.state)
    for words in (["--dry-run"], []):
        code, data = mounted(store, store.state, *words, how=f"{BOUND} && {READ_ONLY}")
        assert (code, data["error"]["name"]) == (3, "unwritable")
        assert data["error"]["message"].endswith(f"{store.state} cannot be written: Read-only file system")
    assert tree(store.state) == before


def test_an_index_that_is_mounted_by_itself_is_refused(store: Store) -> None:
    """As containers mount single files; nothing can be put in the place of one, by OpenClaw neither."""
    before = tree(store.state)
    for words in (["--dry-run"], []):
        code, data = mounted(store, store.index(), *words)
        assert (code, data["error"]["name"]) == (3, "unwritable")
        assert f"{store.index()} is mounted by itself" in data["error"]["message"]
        assert data["error"]["remedy"].startswith(f"mount {store.folder()} ")
    assert tree(store.state) == before


def test_a_file_of_the_same_name_that_is_mounted_elsewhere_is_in_nobody_s_way(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text("36 35 98:0 /x /elsewhere/sessions.json rw - ext3 /dev/root rw\n")
    monkeypatch.setattr(mounts, "_TABLE", str(tmp_path / "mountinfo"))
    assert run_json(CloseProject, "topics", state=store.state).rows == [(TOPICS, "closed")]


def test_receipts_that_are_mounted_from_elsewhere_are_written_all_the_same(store: Store) -> None:
    place = store.state / "session-closer" / "receipts"
    place.mkdir(mode=0o700, parents=True)
    place.parent.chmod(0o700)
    before = store.index().read_bytes()
    code, data = mounted(store, place)
    assert (code, data.get("error"), [row["status"] for row in data["results"]]) == (0, None, ["closed"])
    assert [path.name for path in place.iterdir()] == [Path(data["receipt"]).name]
    assert store.open_runs() == []
    assert run_json(RestoreSessions, "last", state=store.state).rows == [(TOPICS, "restored")]
    assert store.index().read_bytes() == before


@pytest.mark.parametrize("where", ["sessions", "session-closer", "session-closer/open", "session-closer/archives", ""])
@pytest.mark.usefixtures("mortal", "no_power_is_cut")
def test_a_cleanup_of_a_home_and_its_undo_are_refused_where_they_could_not_be_written(
    tmp_path: Path, where: str
) -> None:
    home = Leavings(tmp_path / "home")
    home.lay_all()
    (home.path / "session-closer").mkdir(mode=0o700)
    folder = home.path / where
    folder.mkdir(mode=0o700, exist_ok=True)
    if not where:
        (home.path / "session-closer").rmdir()
    before = home.tree()
    with locked(folder):
        for words in (("--dry-run",), (), ()):
            check_refused(home.run(CleanupSessions, *words), folder)
    assert home.tree() == before
    assert home.run(CleanupSessions).code == 0
    away = home.archived()
    with locked(folder):
        for words in (("--check",), (), ()):
            answer = home.run(RestoreSessions, "last", *words)
            if where in ("", "session-closer"):
                # All that is written to is below it, and is there by now.
                assert answer.code == 0
                break
            check_refused(answer, folder)
        else:
            assert home.archived() == away
    home.close()
