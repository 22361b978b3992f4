"""A command that is called in a folder which is gone by then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import one_document
from support.programs import ROOT, importable
from support.stores import Store
from support.trees import tree


@pytest.mark.parametrize(
    "words",
    [
        ("close-project", "topics", "--export", "kept"),
        ("close-project", "topics", "--dry-run", "--export", "kept"),
        ("close-project", "topics", "--dry-run", "--report", "page.html"),
        ("export-sessions", "topics", "--output", "kept"),
        ("cleanup-sessions", "--export", "kept", "--yes"),
        ("restore-sessions", "bundles/topics"),
    ],
)
def test_a_path_below_a_folder_that_is_gone_is_said_to_be_so(
    store: Store, tmp_path: Path, words: tuple[str, ...]
) -> None:
    gone, before = str(tmp_path / "gone"), tree(store.state)
    command, *rest = words
    # Its own name is a whole path: no more than what is named begins there.
    script = [sys.executable, str(ROOT / "bin" / command), "--json", "--state-dir", str(store.state), *rest]
    done = subprocess.run(
        ["sh", "-c", f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$@"', "sh", *script],
        env={**os.environ, "PYTHONPATH": importable()}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    error = one_document(done.stdout)["error"]
    assert (done.returncode, error["name"]) == (2, "usage")
    assert error["message"] == "the folder where this was called is gone, and a path begins there"
    assert tree(store.state) == before
