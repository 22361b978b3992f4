"""An interrupted run is finished only from a backup that is the one its record speaks of."""

from __future__ import annotations

import os
from pathlib import Path

from faults.oracle import backups
from faults.scenarios import BATCH
from faults.sweep import Bench
from session_closer.core import keys
from session_closer.core.wish import Options, Wish
from session_closer.journal import history
from session_closer.openclaw.home import Home
from session_closer.operations.close import execute


def test_a_backup_that_was_changed_finishes_nothing(tmp_path: Path) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    names = bench.run().steps
    assert bench.kill(names.index("exchange"), "after")
    index = bench.world.paths["project-lead"]
    (backup,) = map(Path, backups(index))
    raw = backup.read_bytes()
    backup.write_bytes(raw.replace(b"kelly", b"KELLY"))
    files = sorted(os.listdir(os.path.dirname(index)))
    wish = Wish("close-project", (keys.target("never-spoken", "main"),))
    report = execute(Home(bench.state, "demo", {}, isolated=True), wish, Options())
    assert any("is not what it was" in warning for warning in report.warnings)
    assert len(history.open_runs(bench.state)) == 1
    transcripts = [name for name in files if ".jsonl" in name]
    assert [name for name in sorted(os.listdir(os.path.dirname(index))) if ".jsonl" in name] == transcripts
    backup.write_bytes(raw)
    bench.finish("mended")
    assert bench.broken == []
