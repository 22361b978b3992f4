"""Whether a file still holds what was read of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from session_closer import measuring


@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 20])
def test_a_file_holds_its_own_bytes_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(measuring, "_PIECE", 3)
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
