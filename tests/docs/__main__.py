"""Record the terminal sessions of the pages anew: `make record`."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from entry.checkout import ROOT

from .recording import PAGES, World, renewed, text


def main() -> None:
    """Write each page whose commands print something else by now, and say which."""
    for page in PAGES:
        before = text(page)
        with tempfile.TemporaryDirectory() as scratch, contextlib.closing(World(Path(scratch))) as world:
            after = renewed(before, world)
        if after != before:
            (ROOT / page).write_text(after, encoding="utf-8")
        sys.stdout.write(f"{page}: {'as it was' if after == before else 'recorded anew'}\n")


main()
