"""The undo that docs/undo.md describes, run as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from session_closer.commands.close_project_batch import CloseProjectBatch
from support import LEAD, Store, run_json

DOCUMENT = Path(__file__).parents[2] / "docs" / "undo.md"


def test_the_documented_undo_brings_entries_and_files_back(store: Store, tmp_path: Path) -> None:
    script = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert script is not None
    entries, names = store.entries(), store.names()
    answer = run_json(CloseProjectBatch, "kelly-dashboard", "topics", state=store.state)
    assert answer.code == 0
    assert LEAD + "topics" not in store.listed()

    undo = tmp_path / "undo.py"
    undo.write_text(script[1])
    subprocess.run([sys.executable, str(undo), answer.data["receipt"]], check=True, stdout=subprocess.DEVNULL)

    assert store.entries() == entries
    backup = {Path(found["backup"]).name for found in answer.data["stores"] if found["backup"]}
    assert set(store.names()) - backup == set(names)
