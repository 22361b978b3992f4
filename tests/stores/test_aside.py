"""A large backup is written past the page cache: the same bytes in the file, whatever the disk does meanwhile."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from pathlib import Path

import pytest
from session_closer.system import files, replica
from session_closer.system.disk import Disk

BLOCK = files._BLOCK
PIECE = 4 * BLOCK
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="O_DIRECT is of Linux")


class Watching(Disk):
    """A disk that notes whether each write passed by the page cache, and puts down so many bytes of it at most."""

    def __init__(self, most: int = sys.maxsize, refuses: int = 0) -> None:
        self.most = most
        self.refuses = refuses
        self.direct: list[bool] = []
        self.sizes: list[int] = []

    def write(self, descriptor: int, data: memoryview) -> int:
        direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)
        if direct and self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        self.direct.append(direct)
        self.sizes.append(len(data))
        return super().write(descriptor, data[: self.most])


@pytest.fixture(autouse=True)
def all_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LARGE", 0)
    monkeypatch.setattr(files, "_DIRECT", PIECE)


def supported(folder: Path) -> bool:
    probe = folder / "probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, PIECE, PIECE + BLOCK + 7, 3 * PIECE - 1])
def test_every_byte_is_there_and_whole_blocks_pass_by_the_cache(tmp_path: Path, size: int) -> None:
    data, disk = os.urandom(size), Watching()
    files.put(disk, str(tmp_path / "backup"), data, aside=True)
    assert (tmp_path / "backup").read_bytes() == data
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    if supported(tmp_path):
        past = sum(size for size, direct in zip(disk.sizes, disk.direct, strict=True) if direct)
        assert past == size - size % BLOCK
    assert not any(disk.direct[-1:]) or size % BLOCK == 0


@pytest.mark.parametrize("most", [3, 1000, BLOCK, BLOCK + 1, 2 * BLOCK])
def test_a_disk_that_writes_less_than_it_was_given_loses_nothing(tmp_path: Path, most: int) -> None:
    data = os.urandom(2 * PIECE + 5)
    # A write of less than a block leaves a place where the next one could not start.
    files.put(Watching(most), str(tmp_path / "backup"), data, aside=True)
    assert (tmp_path / "backup").read_bytes() == data


def test_a_file_system_that_wants_larger_blocks_is_written_to_the_usual_way(tmp_path: Path) -> None:
    data, disk = os.urandom(PIECE + 5), Watching(refuses=errno.EINVAL)
    files.put(disk, str(tmp_path / "backup"), data, aside=True)
    assert (tmp_path / "backup").read_bytes() == data
    assert not any(disk.direct)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    if not supported(tmp_path):
        pytest.skip("this file system knows no O_DIRECT")
    with pytest.raises(OSError, match="No space left"):
        files.put(Watching(refuses=errno.ENOSPC), str(tmp_path / "backup"), os.urandom(PIECE), aside=True)
    assert not (tmp_path / "backup").exists()


def test_a_file_system_without_such_a_way_takes_the_usual_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fcntl.fcntl

    def refusing(descriptor: int, command: int, value: int = 0) -> int:
        if command == fcntl.F_SETFL and value & os.O_DIRECT:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return real(descriptor, command, value)

    monkeypatch.setattr(fcntl, "fcntl", refusing)
    data, disk = os.urandom(PIECE + 5), Watching()
    files.put(disk, str(tmp_path / "backup"), data, aside=True)
    assert (tmp_path / "backup").read_bytes() == data
    assert not any(disk.direct)


@pytest.mark.parametrize("most", [3, sys.maxsize])
def test_pieces_are_written_one_behind_the_other(tmp_path: Path, most: int) -> None:
    files.put(Watching(most), str(tmp_path / "record"), [b"first", b"", b"second\n"])
    assert (tmp_path / "record").read_bytes() == b"firstsecond\n"


def test_what_is_read_again_soon_stays_in_the_cache(tmp_path: Path) -> None:
    disk = Watching()
    files.put(disk, str(tmp_path / "store"), os.urandom(PIECE))
    assert not any(disk.direct)


@pytest.mark.parametrize("way", ["put", "put in parts", "copy"])
def test_what_the_cache_is_to_take_is_written_in_small_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A virtual machine has to fetch the memory for a large one from its host."""
    data, disk, target = os.urandom((320 << 10) + 7), Watching(), tmp_path / "target"
    monkeypatch.setattr(Watching, "clone", lambda *_: False)
    if way == "copy":
        (tmp_path / "source").write_bytes(data)
        replica.copy(disk, str(tmp_path / "source"), str(target))
    else:
        files.put(disk, str(target), [data[:7], data[7:]] if way == "put in parts" else data)
    assert target.read_bytes() == data
    assert max(disk.sizes) <= 64 << 10
