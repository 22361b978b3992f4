"""Pieces of files: the same bytes whatever was asked for before."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from session_closer.artifacts import measuring
from session_closer.system.pieces import Pieces

SIZE = 300_000
PLACES = st.tuples(st.sampled_from([0, 1]), st.integers(0, SIZE + 10), st.sampled_from([0, 1, 4_000, 65_536, 200_000]))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, bytes]]:
    """Two files, and what is in them."""
    folder = tmp_path_factory.mktemp("pieces")
    made = []
    for name in ("one", "two"):
        raw = hashlib.shake_128(name.encode()).digest(SIZE)
        (folder / name).write_bytes(raw)
        made.append((folder / name, raw))
    return made


@given(places=st.lists(PLACES, max_size=8))
def test_a_piece_is_what_stands_there(pair: list[tuple[Path, bytes]], places: list[tuple[int, int, int]]) -> None:
    with Pieces() as pieces:
        for which, offset, length in places:
            path, raw = pair[which]
            assert bytes(pieces.shown(str(path), offset, length)) == raw[offset : offset + length]
            assert pieces.of(str(path), offset, length) == raw[offset : offset + length]


@pytest.mark.parametrize("offset", [-1, -(1 << 62)])
def test_there_is_nothing_ahead_of_a_file(pair: list[tuple[Path, bytes]], offset: int) -> None:
    with Pieces() as pieces:
        for ask in (pieces.of, pieces.shown):
            with pytest.raises(OSError, match="Invalid argument"):
                ask(str(pair[0][0]), offset, 10)


def test_only_a_regular_file_has_pieces(tmp_path: Path, pair: list[tuple[Path, bytes]]) -> None:
    (tmp_path / "link").symlink_to(pair[0][0])
    os.mkfifo(tmp_path / "pipe")
    with Pieces() as pieces:
        for name in ("link", "pipe", "absent", "."):
            with pytest.raises(OSError, match=r"."):
                pieces.shown(str(tmp_path / name), 0, 1)


def test_the_hash_of_a_large_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for size in (0, 1, measuring.ROOM, measuring.ROOM + 1):
        raw = b"x" * size
        (tmp_path / "file").write_bytes(raw)
        assert measuring.sum_of(str(tmp_path / "file"), size) == hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("size", [0, 9, 11, 1 << 40])
def test_a_large_file_of_another_size_has_no_hash(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", size)
    with pytest.raises(OSError, match="another size"):
        measuring.sum_of(str(tmp_path / "file"), 10)


def test_a_file_that_grows_without_end_has_no_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, real, asked = tmp_path / "file", os.fstat, []
    file.write_bytes(b"x" * 10)

    def grown(descriptor: int) -> os.stat_result:
        asked.append(descriptor)
        if len(asked) > 2:
            os.truncate(file, 1 << 40)
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(OSError, match="another size"):
        measuring.sum_of(str(file), 10)
