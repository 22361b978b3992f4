"""The tables of docs/performance.md, each between two marks that name its part of the benchmark."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from .side_by_side import REPOSITORY

PAGE = REPOSITORY / "docs" / "performance.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [f"| {' | '.join(line)} |" for line in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines) + "\n"


class Goal(NamedTuple):
    """What was to be reached, what was measured, and the most that it may be."""

    what: str
    measured: float
    most: float


def goals(reached: Iterable[Goal]) -> str:
    """Return a table that says of each goal whether it holds."""
    rows = ([goal.what, f"{goal.measured:.3g}", "met" if goal.measured <= goal.most else "missed"] for goal in reached)
    return table(["goal", "measured", ""], rows)


def machine() -> str:
    """Return what was measured on: processors, system, where the stores were, and how busy it was."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    words = ["stat", "-f", "-c", "%T", tempfile.gettempdir()]
    system = subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    with_what = f"{platform.system()} {platform.release()}, {system}, Python {platform.python_version()}"
    return textwrap.fill(f"Measured on {os.cpu_count()} processors, {model}, {with_what}; load {load:.1f} each.", 120)


def put(part: str, text: str) -> None:
    """Print a part's text and put it into the page, in place of what was measured before."""
    text = f"{text.rstrip()}\n\n{machine()}\n"
    print(text, flush=True)
    before, begin, rest = PAGE.read_text().partition(f"<!-- {part} -->\n")
    _, end, after = rest.partition(f"<!-- /{part} -->\n")
    assert begin, f"{PAGE.name} has no marks for {part}"
    assert end, f"{PAGE.name} has no marks for {part}"
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}")
