"""The tables of docs/performance.md, each between two marks that name its part of the benchmark."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

# Two runs of a ratio on a quiet machine are to be as near to each other as this.
STABLE = 0.1
PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


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


def goals(part: str, reached: Iterable[Goal]) -> str:
    """Return a table that says of each goal whether it holds, and what was measured in the run that the page shows."""
    before = _measured(part)
    rows = []
    for goal in reached:
        said, held = f"{goal.measured:.3g}", "met" if goal.measured <= goal.most else "missed"
        rows.append([goal.what, said, _against(said, before.get(_named(goal.what))), held])
    return table(["goal", "measured", "run before", ""], rows)


def _measured(part: str) -> dict[str, str]:
    """Return what the page says was measured of each goal of a part."""
    found = {}
    for line in _apart(part)[1].partition("| goal |")[2].splitlines():
        what, *said = line.strip("| ").split(" | ")
        if said:
            found[_named(what)] = said[0]
    return found


def _named(what: str) -> str:
    """Return a goal without what was measured beside it, which stands in brackets."""
    return re.sub(r" \(.*?\)", "", what)


def _against(measured: str, before: str | None) -> str:
    """Return what was measured before, and whether it is more than a tenth away."""
    if before is None:
        return ""
    away = abs(float(measured) / float(before) - 1)
    return f"{before}, {away:.0%} away" if away > STABLE else before


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
    before, _, after = _apart(part)
    PAGE.write_text(f"{before}\n{text}\n{after}")


def _apart(part: str) -> tuple[str, str, str]:
    """Return the page up to a part's first mark, what stands between its marks, and the rest from the second on."""
    first, last = f"<!-- {part} -->\n", f"<!-- /{part} -->\n"
    before, begin, rest = PAGE.read_text().partition(first)
    within, end, after = rest.partition(last)
    assert begin, f"{PAGE.name} has no marks for {part}"
    assert end, f"{PAGE.name} has no marks for {part}"
    return before + first, within, last + after
