"""`make test-any-day`: run all tests by every clock, in every zone; end with 1 where one fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from .clock import FILE, MOMENT, SHARE, Clock, build

ROOT = Path(__file__).resolve().parents[2]
SECOND = 1_000_000_000


class Case(NamedTuple):
    """A zone, and either how many days the clock is ahead or the moment that every test crosses."""

    zone: str = "UTC"
    days: int = 0
    moment: datetime | None = None


def _first_sunday(year: int) -> datetime:
    """Return when summer time ends in New York: on the first Sunday of November, at 2 by its own clock."""
    first = datetime(year, 11, 1, 6, tzinfo=UTC)
    return first + timedelta(days=(6 - first.weekday()) % 7)


_YEAR = datetime.now(UTC).year
CASES = {
    "today": Case(),
    "in-40-days": Case(days=40),
    "in-400-days": Case(days=400),
    "kiritimati": Case("Pacific/Kiritimati"),
    "year-end": Case(moment=datetime(_YEAR + 1, 1, 1, tzinfo=UTC)),
    "summer-time-ends": Case("America/New_York", moment=_first_sunday(_YEAR + 1)),
}


def main() -> int:
    """Run what was asked for; return the exit code."""
    options = _options()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        library = build(Path(folder))
        for name in options.cases or CASES:
            begun = time.monotonic()
            code = _run(CASES[name], Path(folder), library, options)
            if code:
                failed.append(name)
            ended = "ok" if code == 0 else f"exit {code}"
            sys.stdout.write(f"{name:<18} {ended}, {time.monotonic() - begun:.0f} s\n")
            sys.stdout.flush()
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="anyday")
    parser.add_argument("cases", nargs="*", help="the cases to run, default: all")
    parser.add_argument("--jobs", type=int, default=2, help="tests at a time")
    parser.add_argument("--tests", nargs="+", default=[], help="not all, but these")
    found = parser.parse_args()
    if unknown := set(found.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}")
    return found


def _run(case: Case, folder: Path, library: Path, options: argparse.Namespace) -> int:
    if case.moment is None:
        environ = _environ(case, folder / "offset", library)
        return _pytest(["-n", str(options.jobs), "--dist", "worksteal", *options.tests], environ).wait()
    moment = int(case.moment.timestamp()) * SECOND
    begun = []
    for number in range(options.jobs):
        environ = _environ(case, folder / f"offset-{number}", library)
        environ |= {MOMENT: str(moment), SHARE: f"{number}/{options.jobs}"}
        begun.append(_pytest(["-n", "0", "-p", "anyday.plugin", *options.tests], environ))
    return max([abs(each.wait()) for each in begun])


def _pytest(words: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "pytest", "-q", *words], cwd=ROOT, env=environ)


def _environ(case: Case, path: Path, library: Path) -> dict[str, str]:
    """Return the environment with a clock and a zone; SystemExit where they have no effect."""
    clock = Clock(path)
    if case.moment is None:
        clock.offset = case.days * 24 * 60 * 60 * SECOND
    else:
        clock.set(int(case.moment.timestamp() - 60) * SECOND, time.time_ns)
    environ = {**os.environ, "TZ": case.zone, "LD_PRELOAD": str(library), FILE: str(path)}
    _check(case, clock, environ)
    return environ


def _check(case: Case, clock: Clock, environ: dict[str, str]) -> None:
    """Make sure that a process has this clock and this zone, its files, too: else the run would show nothing."""
    program = (
        "import os, sys, tempfile, time; file = tempfile.TemporaryFile();"
        "print(time.time_ns(), os.fstat(file.fileno()).st_mtime_ns, -time.timezone)"
    )
    told = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    now, written, east = map(int, told.stdout.split())
    wanted = {"UTC": 0, "Pacific/Kiritimati": 14, "America/New_York": -5}[case.zone] * 60 * 60
    if east != wanted:
        raise SystemExit(f"the zone {case.zone} is not known here")
    if any(abs(time.time_ns() + clock.offset - each) > 60 * SECOND for each in (now, written)):
        raise SystemExit("the clock of this Python cannot be moved by LD_PRELOAD")


sys.exit(main())
