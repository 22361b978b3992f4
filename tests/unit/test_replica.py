"""Copies for a rehearsal: whatever may lie in a folder is copied as what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from session_closer.system import replica
from session_closer.system.disk import Disk


def test_whatever_lies_in_a_folder_is_copied_as_what_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir(mode=0o750)
    (source / "file").write_text("x")
    (source / "link").symlink_to("file")
    os.mkfifo(source / "pipe")
    os.mknod(source / "socket", stat.S_IFSOCK)
    for name, mode in (("file", 0o640), ("pipe", 0o622), ("socket", 0o755)):
        (source / name).chmod(mode)
    replica.copy(Disk(), str(source), str(target))
    modes = {path.name: path.lstat().st_mode for path in (source, *source.iterdir())}
    assert {path.name: path.lstat().st_mode for path in (target, *target.iterdir())} == {
        name.replace("source", "target"): mode for name, mode in modes.items()
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_said_to_be_one(tmp_path: Path) -> None:
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    with pytest.raises(OSError, match="is a device") as raised:
        replica.copy(Disk(), str(tmp_path / "null"), str(tmp_path / "copy"))
    assert not replica.is_gone(raised.value), "nobody has changed it"
