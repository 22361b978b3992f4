"""The published skill, built once for all tests of a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from entry.checkout import ROOT
from support.patience import PATIENCE_SECONDS

# Any day; the same for every build.
EPOCH = 1_000_000_000


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make skill` writes to, made elsewhere, by another time zone and umask."""
    output = tmp_path_factory.mktemp("dist")
    environ = {"SOURCE_DATE_EPOCH": str(EPOCH), "TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7"}
    words = f'umask 077; exec "{sys.executable}" -B -m publish "{output}"'
    done = subprocess.run(
        ["sh", "-c", words],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output
