"""The hostile inputs, what a close takes along, sweeps at more points: the tests that hold them, run and counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import session_closer

from .parts import Given, Skipped, Tally

ROOT = Path(__file__).resolve().parents[2]
_TESTS = (
    "tests/stores/hostile",
    "tests/stores/test_outside.py",
    "tests/faults/test_hardening.py",
    "tests/faults/test_lost_backup.py",
    "tests/faults/test_record.py",
    "tests/unit/test_journal.py",
)


_EXPORTS = ("tests/commands/export", "tests/unit/test_redaction.py", "tests/unit/test_export_page.py")
# What is real is asked by `make live`.
_REAL = ("live", "ansible")
_OF_HOMES = (
    "tests/commands/hermes/test_export.py",
    "tests/commands/hermes/test_copies.py",
    "tests/commands/hermes/test_from_receipt.py",
    "tests/commands/nanoclaw/test_export.py",
    "tests/commands/nanoclaw/test_copies.py",
)
_RACES = ("tests/unit/hermes/test_checkpoints.py", "tests/commands/hermes/test_cleanup.py")
# What a part of its own does more often, with the same benches; with everything these do, too.
_SWEPT = tuple(
    f"tests/faults/test_{name}.py" for name in ("artifacts", "claims", "exports", "exports_of_homes", "power", "sweep")
)
_ROWS = ("tests/unit/hermes/test_rows.py", "tests/commands/hermes/test_rows.py")
# How often each process that runs tests is given some.
_TURNS = 4
_EFFECTS = ("tests/commands/close/test_effects.py", "tests/commands/close/test_effects_in_files.py")


def hostile(given: Given) -> Tally:
    """Give the commands every hostile store, record, lock and configuration of the reference."""
    return _tests(given, _TESTS)


def effects(given: Given) -> Tally:
    """Look whether dry run, result, receipt and undo name what a close takes along."""
    return _tests(given, _EFFECTS)


def exports(given: Given) -> Tally:
    """Export what grows, what is damaged and what may not be read, and bring back folders that are not whole."""
    return _tests(given, _EXPORTS)


def exports_of_homes(given: Given) -> Tally:
    """Export sessions of Hermes and NanoClaw that go on, lie elsewhere, or hold what containers have planted."""
    return _tests(given, _OF_HOMES)


def checkpoints(given: Given) -> Tally:
    """Clean up Hermes while its sessions go on or others commit, with what git may find, and with damaged archives."""
    return _tests(given, _RACES)


def rows(given: Given) -> Tally:
    """Delete rows through a Hermes that is another home's, fails, lies, or says more meanwhile; kill what does it."""
    return _tests(given, _ROWS)


def tests(given: Given) -> Tally:
    """Run some of what `make test` leaves out, and sweeps at their points; what another part runs is left to that."""
    swept = () if given.everything or given.only else _SWEPT
    others = {ROOT / path for path in (*_TESTS, *_EFFECTS, *_EXPORTS, *_ROWS, *swept)}
    found = sorted(path for place in folders() for path in (ROOT / "tests" / place).rglob("test_*.py"))
    files = [str(path) for path in found if others.isdisjoint((path, *path.parents))]
    rest = [] if given.everything or given.only else ["--rest"]
    # To start pytest takes longer than most of the files.
    count = given.jobs * _TURNS
    shares = [share for share in (tuple(files[number::count]) for number in range(count)) if share]
    return given.spread(shares, lambda share, _: _tests(given, share, *rest))


def folders() -> list[str]:
    """Return the folders of tests in which something may be left out by `make test`."""
    there = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    return sorted(there.difference(_REAL))


def _tests(given: Given, tests: tuple[str, ...], *more: str) -> Tally:
    with given.folder() as place:
        report = os.path.join(place, "report.xml")
        # The program that is on the path, which is a mutant at times.
        lib = Path(session_closer.__file__).resolve().parents[1]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:xdist",
            "--junitxml",
            report,
            "-o",
            f"pythonpath={lib} tests",
        ]
        words = ["-k", given.only] if given.only else []
        words += ["-x"] * given.first + ["--everything"] * given.everything
        done = subprocess.run(
            [*command, *words, *more, *tests],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": place},
            capture_output=True,
            text=True,
            check=False,
        )
        if not os.path.exists(report):
            raise Skipped(f"pytest did not run: {(done.stdout + done.stderr)[-300:]}")
        tally = Tally()
        for case in ElementTree.parse(report).iter("testcase"):
            if case.find("skipped") is None:
                tally.points += 1
            if case.find("failure") is not None or case.find("error") is not None:
                tally.broken.append(f"{case.get('classname')}::{case.get('name')}")
        return tally
