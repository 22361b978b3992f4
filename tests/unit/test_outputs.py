"""Folders that are made for what is written, beside other runs that make and remove the same ones."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from session_closer.operations.outputs import made
from session_closer.system.disk import Disk


class Busy(Disk):
    """A disk on which another run does something ahead of the first folder that is made."""

    def __init__(self, other: object = None) -> None:
        super().__init__()
        self.other = other

    def make_folder(self, path: str) -> None:
        other, self.other = self.other, None
        if callable(other):
            other()
        super().make_folder(path)


def test_what_was_made_for_nothing_is_gone_again_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with made(Disk(), str(tmp_path / "there" / "a" / "b")):
        assert (tmp_path / "there" / "a" / "b").is_dir()
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_what_holds_something_stays_with_all_above_it(tmp_path: Path) -> None:
    with made(Disk(), str(tmp_path / "a" / "b")):
        (tmp_path / "a" / "b" / "x").touch()
    assert (tmp_path / "a" / "b" / "x").exists()


def test_what_another_run_has_made_meanwhile_is_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with made(Busy(lambda: folder.mkdir(parents=True)), str(folder)):
        pass
    assert folder.is_dir()


def test_what_another_run_removes_meanwhile_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with made(Busy((tmp_path / "a").rmdir), str(tmp_path / "a" / "b")):
        assert (tmp_path / "a" / "b").is_dir()


def test_where_an_inner_one_cannot_be_made_the_outer_ones_are_gone_again(tmp_path: Path) -> None:
    class Full(Disk):
        def make_folder(self, path: str) -> None:
            if path.endswith("b"):
                raise OSError(errno.ENOSPC, "no room", path)
            super().make_folder(path)

    with pytest.raises(OSError, match="no room"), made(Full(), str(tmp_path / "a" / "b")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(FileExistsError), made(Disk(), str(tmp_path / "a")):
        pass
