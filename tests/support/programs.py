"""Command lines of processes that run our code or a part of this package."""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
LIB = ROOT / "lib"
# How a Python starts that is told where to import from: what is installed beside it may take long to set up.
BARE = ("-S",)


def importable() -> str:
    """Return a PYTHONPATH with all that can be imported here."""
    return os.pathsep.join([str(LIB), *filter(None, sys.path)])


def put_python(folder: Path) -> None:
    """Put a bare `python3` into a folder, for scripts that find theirs on PATH; `importable` is what it needs."""
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" {" ".join(BARE)} "$@"\n')
    python.chmod(0o755)


def command_line(module: str, *words: str, python: str = sys.executable) -> list[str]:
    """Return the command line that calls `main` of a module of this package with these words."""
    start = f"import sys; sys.path[:0] = {[str(TESTS), *sys.path]}; from support.{module} import main"
    return [python, *BARE, "-P", "-B", "-c", f"{start}; main(*sys.argv[1:])", *words]
