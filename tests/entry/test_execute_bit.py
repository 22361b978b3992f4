"""Some installers take the execute bit of the scripts away: a shell that is given one runs it all the same."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support.programs import LIB

BIN = LIB.parent / "bin"


@pytest.mark.parametrize("name", sorted(path.name for path in BIN.iterdir()))
def test_a_shell_runs_a_script_without_its_execute_bit(tmp_path: Path, name: str) -> None:
    (tmp_path / "lib").symlink_to(LIB)
    (tmp_path / "a b").mkdir()
    script = tmp_path / "a b" / name
    shutil.copyfile(BIN / name, script)
    assert not script.stat().st_mode & 0o111
    done = subprocess.run(["sh", script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, name, "")
