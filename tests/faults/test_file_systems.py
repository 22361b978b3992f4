"""File systems that lack something: links, flags of rename, locks, rights, exact times. It works, or is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.injection import Bare, Plain, in_child, nothing
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import Busy, StorageFailed
from session_closer.openclaw.files.lock import HOLDER, lock_path, store_lock
from session_closer.system import clock, files, processes
from session_closer.system.disk import Disk
from support.commands import run_json
from support.interrupted import perform
from support.programs import BARE, LIB, importable
from support.stores import Store
from support.trees import tree

TARGET = "kelly-dashboard"
LACKING = [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EINVAL]
# Which calls fail with which errno; named after where that was seen.
KINDS = {
    "Termux": {"SHIM_LINK": errno.EACCES},
    "SMB": {"SHIM_LINK": errno.EOPNOTSUPP, "SHIM_EXCHANGE": errno.EINVAL},
    "exFAT through FUSE": {"SHIM_LINK": errno.EPERM, "SHIM_EXCHANGE": errno.EINVAL, "SHIM_NOREPLACE": errno.EINVAL},
    "NFS": {"SHIM_EXCHANGE": errno.EINVAL, "SHIM_NOREPLACE": errno.EINVAL},
}
SHIM = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static int refused(const char *name) { const char *code = getenv(name); if (code) errno = atoi(code); return !!code; }
int renameat2(int a, const char *b, int c, const char *d, unsigned int flags) {
    if ((flags & 1 && refused("SHIM_NOREPLACE")) || (flags & 2 && refused("SHIM_EXCHANGE"))) return -1;
    return syscall(SYS_renameat2, a, b, c, d, flags);
}
int linkat(int a, const char *b, int c, const char *d, int flags) {
    return refused("SHIM_LINK") ? -1 : syscall(SYS_linkat, a, b, c, d, flags);
}
int link(const char *a, const char *b) { return linkat(-100, a, -100, b, 0); }
"""


def failing(number: int) -> Callable[..., Any]:
    def fail(*_arguments: Any, **_words: Any) -> Any:
        raise OSError(number, os.strerror(number), "a path")

    return fail


def only_for_folders(real: Callable[[int], Any], number: int) -> Callable[[int], Any]:
    def call(descriptor: int) -> Any:
        if os.path.isdir(f"/dev/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        return real(descriptor)

    return call


def statuses(store: Store, *words: str, disk: Disk | None = None) -> set[str]:
    report = perform(store, *(words or (TARGET,)), disk=disk or Disk())
    assert report.error is None, report.error
    return {str(row.status) for row in report.results}


def pair(folder: Path) -> tuple[Path, Path]:
    one, other = folder / "one", folder / "other"
    one.write_text("one")
    other.write_text("other")
    return one, other


# The commands, on a kernel that answers as such a file system does


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler on Linux: nothing can stand between the program and the kernel")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    return str(folder / "shim.so")


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_close_and_its_undo_work_where_the_kernel_has_no_such_call(
    store: Store, shim: str, kind: dict[str, int]
) -> None:
    def run(program: str, *words: str) -> Any:
        lacking = {name: str(number) for name, number in kind.items()}
        place = {"PYTHONPATH": importable(), "OPENCLAW_STATE_DIR": str(store.state)}
        line = [sys.executable, *BARE, str(LIB.parent / "bin" / program), "--json", *words]
        environ = {**os.environ, **place, **lacking, "LD_PRELOAD": shim}
        done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    before, names, raw = store.entries(), store.names(), store.index().read_bytes()
    assert {row["status"] for row in run("close-project", "--dry-run", TARGET)["results"]} == {"would_close"}
    assert store.names() == names
    closed = {row["key"] for row in run("close-project", TARGET)["results"] if row["status"] == "closed"}
    assert closed
    assert set(store.entries()) == set(before) - closed
    assert {row["status"] for row in run("restore-sessions", "last")["results"]} == {"restored"}
    assert store.index().read_bytes() == raw
    assert {name for name in store.names() if ".bak-" not in name} == set(names)
    assert store.open_runs() == []


# Names: nothing is overwritten, and what is denied is told


@pytest.mark.parametrize("number", LACKING)
def test_a_link_that_is_denied_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    one, _ = pair(tmp_path)
    monkeypatch.setattr(os, "link", failing(number))
    Plain(nothing).rename_new(str(one), str(tmp_path / "new"))
    assert (tmp_path / "new").read_text() == "one"
    assert not one.exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_link_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    one, _ = pair(tmp_path)
    monkeypatch.setattr(os, "link", failing(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        Plain(nothing).rename_new(str(one), str(tmp_path / "new"))
    assert one.read_text() == "one"


@pytest.mark.parametrize("disk", [Disk(), Plain(nothing), Bare(nothing)], ids=["flags", "links", "neither"])
def test_a_rename_never_replaces(tmp_path: Path, disk: Disk) -> None:
    one, other = pair(tmp_path)
    with pytest.raises(FileExistsError):
        disk.rename_new(str(one), str(other))
    with pytest.raises(FileNotFoundError):
        disk.rename_new(str(tmp_path / "absent"), str(other))
    assert (one.read_text(), other.read_text()) == ("one", "other")


def test_two_files_with_one_made_up_inode_number_are_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = pair(tmp_path)
    monkeypatch.setattr(os.path, "samestat", lambda *_: True)
    with pytest.raises(FileExistsError):
        Disk().rename_new(str(one), str(other))
    assert (one.read_text(), other.read_text()) == ("one", "other")


@pytest.mark.parametrize("disk", [Disk(), Plain(nothing), Bare(nothing)], ids=["flags", "links", "neither"])
def test_a_folder_that_may_not_be_written_is_no_file_system_without_links(tmp_path: Path, disk: Disk) -> None:
    one, other = pair(tmp_path)

    def denied() -> None:
        os.chdir(tmp_path)
        os.chmod(tmp_path, 0o555)
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(PermissionError):
            disk.rename_new("one", "new")
        with pytest.raises(OSError, match=r"denied|exists"):
            disk.rename_new("one", "other")

    try:
        assert in_child(denied) == 0
    finally:
        tmp_path.chmod(0o755)
    assert sorted(tmp_path.iterdir()) == [one, other]
    assert (one.read_text(), other.read_text()) == ("one", "other")


def test_a_lock_that_may_not_be_made_is_told_as_denied(store: Store) -> None:
    class Denied(Bare):
        def create(self, path: str) -> int:
            if path.endswith(".lock"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
            return super().create(path)

    raw = store.index().read_bytes()
    error = perform(store, TARGET, disk=Denied(nothing)).error
    assert isinstance(error, StorageFailed)
    assert "sessions.json.lock: Permission denied" in error.message
    assert store.index().read_bytes() == raw
    assert not [name for name in store.names() if ".lock" in name]


# The lock, made in two steps


def half_made(store: Store) -> tuple[Path, Path]:
    """Leave the lock of a run of ours that was killed between its two steps."""
    path = Path(lock_path(str(store.index())))
    path.touch(0o600)
    fresh = path.with_name(path.name + ".0123456789abcdef")
    fresh.write_text(json.dumps({"pid": 1, "holder": HOLDER, "token": "0123456789abcdef"}))
    return path, fresh


@pytest.mark.long
@pytest.mark.parametrize("disk", [Disk(), Bare(nothing)], ids=["links", "none"])
def test_a_half_made_lock_of_ours_holds_nobody_up(store: Store, disk: Disk) -> None:
    path, fresh = half_made(store)
    assert statuses(store, disk=disk) == {"closed"}
    assert not path.exists()
    assert not fresh.exists()


def test_a_lock_that_a_kill_left_unpublished_is_gone_with_the_next_close(store: Store) -> None:
    path, fresh = half_made(store)
    path.unlink()
    assert statuses(store) == {"closed"}
    assert not fresh.exists()


def test_a_lock_that_is_just_being_written_is_not_taken(store: Store) -> None:
    path, _ = half_made(store)
    content = json.dumps({"pid": os.getpid(), "starttime": processes.start_ticks(os.getpid())})

    class Clock(clock.Clock):
        def sleep(self, seconds: float) -> None:
            path.write_text(content)

    with pytest.raises(Busy), store_lock(Bare(nothing), str(store.index()), wait=0.0, clock=Clock()):
        pass
    assert path.read_text() == content


def test_an_empty_lock_of_somebody_else_is_waited_for(store: Store) -> None:
    path = Path(lock_path(str(store.index())))
    path.touch()
    with pytest.raises(Busy), store_lock(Bare(nothing), str(store.index()), wait=0.2):
        pass
    assert path.exists()


def test_a_lock_of_two_steps_is_private_and_released(store: Store) -> None:
    path = Path(lock_path(str(store.index())))
    with store_lock(Bare(nothing), str(store.index())) as lock:
        assert lock.still_ours()
        assert path.stat().st_mode & 0o777 == 0o600
        assert [name for name in store.names() if ".lock" in name] == [path.name]
    assert not [name for name in store.names() if ".lock" in name]


# Rights, times, fsync, flock


def test_rights_and_times_that_nobody_can_set_hold_up_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "utime", failing(errno.EPERM))
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
    assert statuses(store) == {"closed"}


def test_a_mode_that_cannot_be_kept_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.index().chmod(0o640)
    raw = store.index().read_bytes()
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
    error = perform(store, TARGET).error
    assert error is not None
    assert "cannot have the mode 640 of the old one" in error.message
    assert store.index().read_bytes() == raw


def test_what_somebody_else_wrote_is_kept_though_its_mode_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = pair(tmp_path)
    synced: list[int] = []
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))
    monkeypatch.setattr(os, "fsync", synced.append)
    files.own(Disk(), str(one))
    assert synced


def test_the_new_store_is_younger_though_times_are_rounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenClaw 2026.2 sees that a store was changed by its time alone."""
    even = 2 * 10**9
    real = os.utime

    def rounded(path: str, *, ns: tuple[int, int]) -> None:
        real(path, ns=(ns[0] // even * even, ns[1] // even * even))

    ahead = (time.time_ns() // even + 1800) * even
    real(store.index(), ns=(ahead, ahead))
    monkeypatch.setattr(os, "utime", rounded)
    assert statuses(store) == {"closed"}
    assert store.index().stat().st_mtime_ns > ahead


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF])
def test_a_folder_that_cannot_be_synced_holds_up_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "fsync", only_for_folders(os.fsync, number))
    assert statuses(store) == {"closed"}


def test_a_folder_that_fails_to_be_synced_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", only_for_folders(os.fsync, errno.EIO))
    error = perform(store, TARGET).error
    assert error is not None
    assert os.strerror(errno.EIO) in error.message


@pytest.mark.parametrize(("number", "told"), [(errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_share_on_macos_is_synced_as_far_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: bool
) -> None:
    one, _ = pair(tmp_path)
    synced: list[int] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", failing(number))
    monkeypatch.setattr(os, "fsync", synced.append)
    with one.open() as file:
        if told:
            with pytest.raises(OSError, match=os.strerror(number)):
                Disk().sync(file.fileno())
        else:
            Disk().sync(file.fileno())
    assert bool(synced) is not told


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.EBADF])
def test_a_file_system_without_flock_is_refused_and_nothing_is_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    assert statuses(store, "topics") == {"closed"}
    before = tree(store.state)
    monkeypatch.setattr(fcntl, "flock", failing(number))
    for command, *words in ((CloseProject, TARGET), (RestoreSessions, "last")):
        for dry_run in (["--dry-run"], []):
            answer = run_json(command, *words, *dry_run, state=store.state)
            assert (answer.code, answer.error) == (3, "no_locks")
            assert f"{store.folder()} cannot be locked" in answer.data["error"]["message"]
            assert tree(store.state) == before


def test_a_name_that_is_let_go_of_in_this_moment_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by OpenClaw, which removes its lock just when we look whose it is: it is asked for again, and no error."""

    def taken(_disk: Disk, source: str, target: str) -> bool:
        raise FileExistsError(source, target)

    monkeypatch.setattr(Disk, "rename_exclusive", taken)
    (tmp_path / "fresh").write_text("ours")
    with pytest.raises(FileExistsError):
        Disk().take_name(str(tmp_path / "fresh"), str(tmp_path / "lock"))
    assert (tmp_path / "fresh").read_text() == "ours"
