"""The clock that `make test-any-day` hands out is the whole of what a command knows of the time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from support.commands import run_process
from support.keys import LEAD
from support.moments import DAY
from support.stores import Store

from .clock import FILE, Clock, build

NIGHTLY = LEAD + "subagent:2b1c"

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None, reason="the clock is built by cc, for Linux"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that moves the clock."""
    return build(tmp_path_factory.mktemp("clock"))


def moved(library: Path, folder: Path, days: int) -> dict[str, str]:
    """Return the environment of a process whose clock is so many days ahead of this one's."""
    clock = Clock(folder / f"{days}-days")
    handed = Clock(Path(os.environ[FILE])).offset if FILE in os.environ else 0
    clock.offset = handed + days * DAY * 10**9
    return {"LD_PRELOAD": str(library), FILE: str(clock.path)}


@pytest.mark.long
@pytest.mark.parametrize("days", [-400, 0, 40])
def test_a_session_is_as_old_as_the_clock_says(library: Path, tmp_path: Path, store: Store, days: int) -> None:
    """It was used three days ago."""
    words = ("--stale", "subagent=7d", "--dry-run", "--json")
    done = run_process("cleanup-sessions", *words, state=store.state, env=moved(library, tmp_path, days))
    taken = [row["key"] for row in json.loads(done.stdout)["results"] if row["status"] == "would_close"]
    assert taken == ([NIGHTLY] if days == 40 else [])


@pytest.mark.long
def test_files_are_written_when_the_clock_says(library: Path, tmp_path: Path, store: Store) -> None:
    """A close in 40 days; a clean-up right after it, and one for which the machine was not up for as long."""
    closed = run_process("close-project", "topics", state=store.state, env=moved(library, tmp_path, 40))
    assert closed.code == 0, closed.stderr
    (archive,) = store.folder().glob("*topic-42.jsonl.deleted.*")
    ahead = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 40 * DAY - 3600))
    assert ahead <= archive.name.partition(".deleted.")[2][:10]
    for days, code, reasons in ((40, 0, set()), (69, 0, set()), (71, 3, {"clock"})):
        words = ("--only", "expire-archives", "--expire-archives", "30d", "--yes", "--json")
        done = run_process("cleanup-sessions", *words, state=store.state, env=moved(library, tmp_path, days))
        rows = json.loads(done.stdout)["results"]
        assert (done.code, {row["reason"] for row in rows} - {None}) == (code, reasons), done
        assert archive.exists(), days
