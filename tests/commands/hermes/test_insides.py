"""What lies in a folder may keep it: what is mounted there, cannot be looked at or removed, or lies too deep."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from session_closer.artifacts import removal, scan
from session_closer.artifacts.aside import Aside
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.system import mounts
from session_closer.system.disk import Disk
from support.leavings import FREE, Leavings, by_status
from support.programs import BARE, ROOT, importable

LOG, LEGACY = FREE["delegation_log"], FREE["checkpoint_legacy"]
UNSHARE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
WAYS = pytest.mark.parametrize("words", [(), ("--delete",)], ids=["archive", "delete"])
Mount = Callable[[Path], None]


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Return what has the table of mounts name a folder, as it names a part of the same file system."""
    table = tmp_path / "mountinfo"

    def mounted(folder: Path) -> None:
        name = os.fsencode(folder).replace(b" ", rb"\040")
        table.write_bytes(b"36 35 98:0 /elsewhere " + name + b" rw,noatime master:1 - ext3 /dev/root rw\n")

    mounted(tmp_path / "nowhere")
    monkeypatch.setattr(mounts, "_TABLE", str(table))
    return mounted


def check_stays(home: Leavings, paths: list[str], *words: str, stays: str, why: str) -> None:
    """A dry run, and the run, keep one and take the others; the next run has nothing to do."""
    rest = sorted(set(paths) - {stays})
    before = {path: entry for path, entry in home.tree().items() if mounts.is_in(path, stays)}
    verb = "delete" if "--delete" in words else "archive"
    for more, status in ((("--dry-run",), f"would_{verb}"), ((), f"{verb}d")):
        answer = home.run(CleanupSessions, "--verbose", *words, *more)
        assert (answer.code, by_status(answer)) == (0, {status: rest, "kept": [stays]})
        assert answer.data["spared"] == {why: 1}
    assert {path: entry for path, entry in home.tree().items() if mounts.is_in(path, stays)} == before
    assert home.run(CleanupSessions, *words).data["receipt"] is None


@WAYS
@pytest.mark.parametrize("inside", ["", "deep/er", "a blank"])
def test_a_folder_in_which_something_is_mounted_stays(
    home: Leavings, mount: Mount, words: tuple[str, ...], inside: str
) -> None:
    paths = home.lay_all()
    (home.path / LOG / "a blank").mkdir()
    home.age(LOG, 60 * 86400)
    mount(home.path / LOG / inside)
    check_stays(home, paths, *words, stays=LOG, why="other_filesystem")


def test_an_archive_in_which_something_is_mounted_is_not_freed(home: Leavings, mount: Mount) -> None:
    home.lay_all()
    assert home.run(CleanupSessions).code == 0
    home.age_receipts(30 * 86400)
    [archive] = (home.path / "session-closer" / "archives").iterdir()
    held = home.archived()
    mount(archive / LOG / "deep")
    for words in (("--dry-run",), ()):
        answer = home.run(CleanupSessions, "--expire-archives", "7d", *words)
        [row] = answer.data["results"]
        assert (answer.code, row["status"], row["reason"]) == (0, "kept", "other_filesystem")
        assert answer.data["spared"] == {"other_filesystem": 1}
    home.lay_all()
    answer = home.run(
        CleanupSessions, "--expire-archives", "7d", "--export", str(home.path.parent / "out"), "--dry-run"
    )
    assert [row["status"] for row in answer.data["results"] if row["kind"] == "archive"] == ["kept"]
    shutil.rmtree(home.path / "sessions")
    for path in (*FREE.values(),):
        shutil.rmtree(home.path / path, ignore_errors=True)
    assert home.archived() == held
    assert home.run(RestoreSessions, "last").code == 0


def test_what_is_mounted_after_the_look_is_not_emptied(
    home: Leavings, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.lay_all()
    real = Aside.tidy

    def late(self: Aside) -> None:
        [archive] = (home.path / "session-closer" / "archives").iterdir()
        mount(archive / LOG / "deep")
        real(self)

    monkeypatch.setattr(Aside, "tidy", late)
    answer = home.run(CleanupSessions, "--delete")
    assert (answer.code, by_status(answer)["failed"]) == (1, [LOG])
    assert home.archived() == [f"{LOG}/deep/er/two", f"{LOG}/one"]


def test_what_is_really_mounted_is_seen_by_the_command(home: Leavings, tmp_path: Path) -> None:
    home.lay_all()
    outside, inside = tmp_path / "outside", home.path / LOG / "mine"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    os.utime(outside / "precious", (0, 0))
    inside.mkdir()
    bind = [*UNSHARE, "sh", "-c", f"mount --bind '{outside}' '{inside}' && exec \"$@\"", "sh"]
    try:
        subprocess.run([*bind, "true"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nothing can be mounted here")
    tool = [sys.executable, "-B", str(ROOT / "bin" / "cleanup-sessions"), "--runtime", "hermes", "--home"]
    done = subprocess.run(
        [*bind, *tool, str(home.path), "--delete"], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "1 other_filesystem" in done.stdout
    assert (outside / "precious").read_text() == "precious"


@pytest.mark.usefixtures("mortal", "no_power_is_cut")
def test_a_folder_with_one_that_may_not_be_written_goes_but_is_not_deleted(home: Leavings) -> None:
    paths = home.lay_all()
    inner = home.path / LOG / "deep"
    inner.chmod(0o500)
    try:
        check_stays(home, paths, "--delete", stays=LOG, why="immovable")
        assert by_status(home.run(CleanupSessions)) == {"archived": [LOG]}
        [archive] = (home.path / "session-closer" / "archives").iterdir()
        inner = archive / LOG / "deep"
        home.age_receipts(30 * 86400)
        for words in (("--dry-run",), (), ()):
            answer = home.run(CleanupSessions, "--expire-archives", "7d", *words)
            assert (answer.code, [row["status"] for row in answer.data["results"]]) == (0, ["kept"])
            assert answer.data["spared"] == {"immovable": 1}
    finally:
        inner.chmod(0o700)
    [row] = home.run(CleanupSessions, "--expire-archives", "7d").data["results"]
    assert row["status"] == "expired"


@WAYS
@pytest.mark.usefixtures("mortal", "no_power_is_cut")
def test_a_folder_that_may_not_be_written_itself_stays(home: Leavings, words: tuple[str, ...]) -> None:
    paths = home.lay_all()
    folder = home.path / LOG
    mode = folder.stat().st_mode
    folder.chmod(0o500)
    check_stays(home, paths, *words, stays=LOG, why="immovable")
    folder.chmod(mode)
    assert home.run(CleanupSessions, *words).code == 0


@pytest.mark.parametrize("mode", [0, 0o400], ids=["not listed", "listed alone"])
@WAYS
@pytest.mark.usefixtures("mortal", "no_power_is_cut")
def test_a_folder_with_one_that_may_not_be_read_stays(home: Leavings, words: tuple[str, ...], mode: int) -> None:
    paths = home.lay_all()
    inner = home.path / LOG / "deep"
    inner.chmod(mode)
    try:
        for command in (ListSessions, CleanupSessions):
            assert home.run(command, *(("--usage",) if command is ListSessions else ("--dry-run",))).code == 0
        rest = sorted(set(paths) - {LOG})
        answer = home.run(CleanupSessions, "--verbose", *words)
        assert (answer.code, answer.data["spared"]) == (0, {"unreadable": 1})
        assert by_status(answer) == {"deleted" if words else "archived": rest, "kept": [LOG]}
    finally:
        inner.chmod(0o700)


@pytest.mark.usefixtures("mortal", "no_power_is_cut")
def test_a_profile_that_cannot_be_read_does_not_keep_the_others(home: Leavings) -> None:
    home.lay_all()
    other = Leavings(home.path / "profiles" / "work")
    path = other.path / "checkpoints"
    other.lay_all()
    path.chmod(0)
    try:
        answer = home.run(CleanupSessions)
        said = f"{path}: Permission denied"
        assert answer.code == 1
        assert any(said in warning for warning in answer.data["warnings"])
        assert by_status(answer)["archived"]
        listed = home.run(ListSessions)
        assert (listed.code, len(listed.data["sessions"])) == (0, 2)
        assert any(said in warning for warning in listed.data["warnings"])
    finally:
        path.chmod(0o700)
        other.close()


@pytest.mark.parametrize("words", [("--delete",), ("--expire-archives", "7d")])
@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES, errno.EBUSY])
def test_what_cannot_be_removed_after_all_is_told_and_blocks_nothing(
    home: Leavings, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], number: int
) -> None:
    home.lay_all()
    if "--delete" not in words:
        assert home.run(CleanupSessions).code == 0
        home.age_receipts(30 * 86400)
    real = Disk.unlink_in

    def hold(self: Disk, folder: int, name: str) -> None:
        if name == "b":
            raise OSError(number, os.strerror(number), name)
        real(self, folder, name)

    with monkeypatch.context() as patched:
        patched.setattr(Disk, "unlink_in", hold)
        answer = home.run(CleanupSessions, *words)
    assert answer.code == 1
    [archive] = (home.path / "session-closer" / "archives").iterdir()
    [left] = [path for path in archive.rglob("*") if path.is_file()]
    assert left == archive / FREE["checkpoint_v1"] / "objects" / "aa" / "b"
    [failed] = [row for row in answer.data["results"] if row["status"] == "failed"]
    assert failed["reason"] == "immovable"
    assert f"{left}: {os.strerror(number)}" in f"{failed['error']} {answer.data['warnings']}"
    # Neither the run nor what it has left is in anybody's way.
    assert not any((home.path / "session-closer" / "open").iterdir())
    home.lay(FREE["session_json"], "{}", age=60 * 86400)
    assert home.run(CleanupSessions).code == 0
    home.age_receipts(30 * 86400)
    assert home.run(CleanupSessions, "--expire-archives", "7d").code == 0
    assert not any((home.path / "session-closer" / "archives").iterdir())


def test_what_cannot_be_removed_of_a_run_that_was_cut_off_is_told_by_the_one_that_finishes_it(
    home: Leavings, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.lay_all()

    def cut_off(_: Aside) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Aside, "tidy", cut_off)
        assert home.run(CleanupSessions, "--delete").code == 130
    real = Disk.unlink_in

    def hold(self: Disk, folder: int, name: str) -> None:
        if name == "b":
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), name)
        real(self, folder, name)

    monkeypatch.setattr(Disk, "unlink_in", hold)
    said = home.run(CleanupSessions, "--delete").data["warnings"]
    assert any("some of it could not be removed" in line and "/objects/aa/b: " in line for line in said), said
    assert not any((home.path / "session-closer" / "open").iterdir())


@WAYS
def test_a_folder_that_is_too_deep_stays_whatever_tells_its_age(home: Leavings, words: tuple[str, ...]) -> None:
    paths = home.lay_all()
    deep = home.path / LEGACY
    at = os.open(deep, os.O_RDONLY)
    for _ in range(scan.DEEPEST + 1):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    os.utime(deep, (0, 0))
    check_stays(home, paths, *words, stays=LEGACY, why="immovable" if words else "young")


@pytest.mark.parametrize(("owner", "fixed"), [(0, False), (os.geteuid() + 7, True)])
def test_in_a_sticky_folder_only_who_owns_a_file_may_remove_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, *, fixed: bool
) -> None:
    (tmp_path / "top" / "deep").mkdir(parents=True)
    (tmp_path / "top" / "deep" / "file").touch()
    (tmp_path / "top" / "deep").chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: owner)
    at = os.open(tmp_path, os.O_RDONLY)
    assert scan.weighed(at, "top").fixed is fixed
    os.close(at)


OTHER = """
import os, sys
from session_closer.artifacts import removal, scan
from session_closer.system import mounts
from session_closer.system.disk import Disk
mounts._TABLE = "/nowhere"
at = os.open(sys.argv[1], os.O_RDONLY)
print(scan.looked_into(sys.argv[1], "top", at).why, removal.removed(Disk(), at, "top", sys.argv[1] + "/top").errno)
"""


def test_another_file_system_is_left_alone_where_there_is_no_table_of_mounts(tmp_path: Path) -> None:
    inside = tmp_path / "top" / "deep"
    inside.mkdir(parents=True)
    (tmp_path / "top" / "file").touch()
    script = f"mount -t tmpfs none '{inside}' && touch '{inside}/precious' && \"$@\" && ls '{inside}'"
    words = [sys.executable, *BARE, "-B", "-c", OTHER, str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": importable()}
    bind = [*UNSHARE, "sh", "-c", script, "sh"]
    done = subprocess.run([*bind, *words], check=False, capture_output=True, text=True, env=environ)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert (done.stdout, done.stderr) == (f"other_filesystem {errno.EXDEV}\nprecious\n", "")
    assert not (tmp_path / "top" / "file").exists()


def test_no_more_is_removed_than_can_be_followed(tmp_path: Path) -> None:
    (tmp_path / "top" / "/".join("d" * (scan.DEEPEST + 1))).mkdir(parents=True)
    at = os.open(tmp_path, os.O_RDONLY)
    stays = removal.removed(Disk(), at, "top", str(tmp_path / "top"))
    os.close(at)
    assert stays is not None
    assert stays.errno == errno.ENAMETOOLONG
    assert str(stays.filename).startswith(f"{tmp_path}/top/d/")
