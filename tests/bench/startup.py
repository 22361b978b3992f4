"""Time the start of a command against a bare Python and against what its command line is made with."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import plumbum

from .made import AGENT, build, place
from .page import Goal, goals, put, table
from .side_by_side import Case, closer_environ, measure, ours

ROUNDS = 15
SESSIONS, ENTRY_BYTES = 100, 4 << 10
# Times of the import of plumbum.cli.
MOST = {"help": 0.95, "close": 1.6}


def main() -> int:
    """Put the table into the page."""
    site = str(Path(plumbum.__file__).parents[1])
    # Byte code from where the commands have theirs: to compile is not to start.
    python = [sys.executable, "-X", f"pycache_prefix={sys.pycache_prefix}"]
    imported = f"import sys; sys.path.insert(1, {site!r}); import plumbum.cli"
    words = {
        "plumbum": [*python, "-c", imported],
        "pass": [*python, "-c", "pass"],
        "version": [*ours("close-project"), "--version"],
        "help": [*ours("close-project"), "--help"],
    }
    cases = [Case(name, command, _nothing, _nothing) for name, command in words.items()]
    with tempfile.TemporaryDirectory(prefix="session-closer-bench-") as scratch:
        made, state = Path(scratch, "made"), Path(scratch, "state")
        build(made, state, SESSIONS, ENTRY_BYTES)
        close = [*ours("close-project-batch"), "--state-dir", str(state), "--agent", AGENT]
        cases.append(
            Case("close", [*close, "--json", f"agent:{AGENT}:project-1"], lambda: place(made, state), _nothing)
        )
        taken = measure(cases, ROUNDS, Path(scratch), closer_environ(Path(scratch)))
    shown = {
        "pass": "`python -c pass`",
        "plumbum": '`python -c "import plumbum.cli"`',
        "version": "`close-project --version`",
        "help": "`close-project --help`",
        "close": f"`close-project-batch`, 1 of {SESSIONS}",
    }
    rows = [
        [
            title,
            f"{taken[name].median * 1000:.0f} ms",
            f"{taken[name].against(taken['pass']):.2f}",
            f"{taken[name].against(taken['plumbum']):.2f}",
        ]
        for name, title in shown.items()
    ]
    reached = [
        Goal(f"{shown[name]}: ≤ {most} of the import", taken[name].against(taken["plumbum"]), most)
        for name, most in MOST.items()
    ]
    head = ["process", "time", "against `pass`", "against `plumbum.cli`"]
    put("startup", f"{table(head, rows)}\n{goals('startup', reached)}")
    return 0


def _nothing() -> None:
    """Prepare nothing, check nothing: a start changes nothing."""
