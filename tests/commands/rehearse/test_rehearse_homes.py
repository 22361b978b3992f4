"""--rehearse of what Hermes and NanoClaw have left: put away and brought back in a copy, the home is not touched."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.operations import bring_back
from support.commands import Answer, run_json
from support.leavings import FREE, Leavings
from support.nanoclaw import V1Home, V2Home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Leavings]:
    """A home of Hermes with all that its sessions can leave."""
    made = Leavings(tmp_path / "home")
    made.lay_all()
    yield made
    made.close()


def rehearse(home: Any, *words: str) -> Answer:
    """Rehearse; nothing of the home is touched, and nothing is left elsewhere."""
    before = _shapes(home.path)
    answer = run_json(CleanupSessions, "--rehearse", *words, state=home.path)
    assert _shapes(home.path) == before
    assert list(Path(tempfile.gettempdir()).iterdir()) == []
    return answer


def _shapes(root: Path) -> dict[str, tuple[int, ...]]:
    # SQLite keeps its own account of who reads in the -shm.
    paths = [path for path in root.rglob("*") if not path.name.endswith("-shm")]
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_mode) for path in paths}


def test_what_hermes_left_comes_back_exactly(home: Leavings) -> None:
    os.chmod(home.path / FREE["session_json"], 0o640)
    answer = rehearse(home)
    found = answer.data["rehearsal"]
    assert (answer.code, found["exact"], found["differences"]) == (0, True, [])
    assert found["files"] == answer.data["putAway"]["count"] - sum(int(line.split()[0]) for line in found["leftOut"])
    assert found["files"] > 3
    assert answer.data["dryRun"]
    assert not home.has("session-closer")


@pytest.mark.parametrize("version", [V1Home, V2Home])
def test_what_nanoclaw_left_comes_back_exactly(tmp_path: Path, version: type[V1Home] | type[V2Home]) -> None:
    home = version(tmp_path / "claw")
    free = home.lay_free()
    answer = rehearse(home)
    assert answer.data["rehearsal"] | {"bytes": 0, "sessions": 0} == {
        "exact": True, "sessions": 0, "files": len(free), "bytes": 0, "differences": [], "leftOut": [],
    }  # fmt: skip
    home.close()


def test_pipes_and_sockets_come_back_as_such(tmp_path: Path) -> None:
    """A process that has ended leaves them, and a folder takes them along."""
    home = V1Home(tmp_path / "claw")
    folder = home.path / home.lay_free()["tool_results"]
    times = folder.stat().st_mtime
    os.mkfifo(folder / "pipe", 0o640)
    os.mknod(folder / "socket", 0o755 | stat.S_IFSOCK)
    for name in ("pipe", "socket", ""):
        os.utime(folder / name, (times, times))
    answer = rehearse(home)
    assert (answer.code, answer.error, answer.data["rehearsal"]["exact"]) == (0, None, True), answer
    home.close()


def test_what_does_not_come_back_is_named_and_is_the_exit_code(home: Leavings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = bring_back.perform

    def forgetful(*given: Any, **more: Any) -> Any:
        report = real(*given, **more)
        (Path(given[0].profiles()[0].root) / FREE["session_json"]).unlink()
        return report

    monkeypatch.setattr(bring_back, "perform", forgetful)
    answer = rehearse(home)
    assert answer.code == 1
    assert [line for line in answer.data["rehearsal"]["differences"] if f"{FREE['session_json']}: is gone" in line]


def test_what_is_deleted_cannot_be_rehearsed(home: Leavings) -> None:
    answer = rehearse(home, "--delete")
    assert (answer.code, answer.error) == (2, "usage")


def test_no_copy_is_made_within_the_home(home: Leavings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(home.path))
    before = _shapes(home.path)
    assert run_json(CleanupSessions, "--rehearse", state=home.path).code == 2
    assert _shapes(home.path) == before
