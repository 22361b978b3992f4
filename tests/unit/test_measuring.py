"""Whether a file still holds what was read of it."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from session_closer.artifacts import measuring
from session_closer.core.budget import FILE_BYTES, HashBudget
from session_closer.core.durable import Move


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 20])
def test_a_file_holds_its_own_bytes_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(measuring, "_COMPARED", 3)
    raw = bytes(range(size))
    path = tmp_path / "store"
    path.write_bytes(raw)
    assert measuring.holds(str(path), raw)
    others = [raw + b"x", *(raw[:at] + b"x" + raw[at + 1 :] for at in range(size)), *([raw[:-1]] if raw else [])]
    assert not any(measuring.holds(str(path), other) for other in others)


def test_what_is_no_regular_file_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "link", "pipe", "."):
        assert not measuring.holds(str(tmp_path / name), b"")


def test_of_a_long_list_of_files_so_many_are_hashed(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_text("x" * number)
    with measuring.Folder(str(tmp_path), HashBudget(files=2)) as folder:
        moves = [folder.live(Move(f"{number}.jsonl", "")) for number in range(4)]
    assert [move.size for move in moves] == [0, 1, 2, 3]
    assert [move.sha256 is not None for move in moves] == [True, True, False, False]
    assert all(move.mtime_ns for move in moves)


def test_so_many_bytes_are_hashed_and_no_large_file() -> None:
    budget = HashBudget()
    assert not budget.takes(FILE_BYTES + 1)
    taken = [budget.takes(FILE_BYTES) for _ in range(20)]
    assert taken == [True] * 16 + [False] * 4
    assert budget.takes(0)


def test_a_file_that_was_written_on_is_measured_again_and_no_other(tmp_path: Path) -> None:
    archive = tmp_path / "a.jsonl.deleted.x"
    archive.write_text("as it was")
    with measuring.Folder(str(tmp_path), HashBudget(files=2)) as folder:
        before = folder.archived(Move("a.jsonl", archive.name))
        assert folder.archived(before) is before
        with archive.open("a") as file:
            file.write(", and more")
        after = folder.archived(before)
    assert (after.size, after.sha256) == (19, hashlib.sha256(b"as it was, and more").hexdigest())


def test_a_folder_is_not_measured_and_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    budget, move = HashBudget(files=1), Move("checkpoint", "checkpoint.bak.x", folder=True)
    with measuring.Folder(str(tmp_path), budget) as folder:
        assert folder.live(move) is move
    assert budget.takes(1)


@pytest.mark.parametrize("way", ["open", "cannot be opened", "gone", "beside an index"])
def test_a_file_is_measured_however_its_folder_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    (tmp_path / "a.jsonl").write_text("some words")
    move = Move(str(tmp_path / "a.jsonl") if way == "beside an index" else "a.jsonl", "b")
    if way == "cannot be opened":
        monkeypatch.setattr(os, "open", Mock(side_effect=PermissionError(errno.EACCES, "no")))
    where = tmp_path / "elsewhere" if way in ("gone", "beside an index") else tmp_path
    with measuring.Folder(str(where), HashBudget(files=0)) as folder:
        found = folder.live(move)
    assert (found.size, bool(found.mtime_ns)) == ((0, False) if way == "gone" else (10, True))


def test_a_folder_is_open_only_while_its_files_are_measured(tmp_path: Path) -> None:
    def opened() -> list[str]:
        found = (os.path.realpath(f"/dev/fd/{each}") for each in os.listdir("/dev/fd"))
        return [path for path in found if path == str(tmp_path)]

    with measuring.Folder(str(tmp_path), HashBudget()):
        assert opened() == [str(tmp_path)]
    assert opened() == []
