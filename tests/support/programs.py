"""Command lines of processes that run our code or a part of this package."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
LIB = ROOT / "lib"


def command_line(module: str, *words: str, python: str = sys.executable) -> list[str]:
    """Return the command line that calls `main` of a module of this package with these words."""
    start = f"import sys; sys.path.insert(0, {str(TESTS)!r}); from support.{module} import main; main(*sys.argv[1:])"
    return [python, "-P", "-B", "-c", start, *words]
