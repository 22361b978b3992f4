"""Exports from a home of files on a disk that fails: what has a final name is whole, the home as it was."""

from __future__ import annotations

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import NamedTuple

from faults.exports import Disturbed
from faults.injection import Counting, nothing
from session_closer.artifacts import bundle
from session_closer.core import retention
from session_closer.core.export import manifest
from session_closer.core.export.result import Export, ExportReport
from session_closer.core.report import Report
from session_closer.core.wish import Options
from session_closer.operations import export_homes, export_put_away, prune, runtimes
from session_closer.ports.artifacts import Away, Place
from session_closer.ports.context import Console
from session_closer.system.disk import Disk
from support.aged import DAY
from support.clock import Brisk
from support.leavings import OVER, Leavings
from support.nanoclaw import ACTIVE, CLOSED, LOST, USED, V2Home


class Scenario(NamedTuple):
    """A session of a runtime, exported as a bundle, a page, without secrets, from an archive, or ahead of a cleanup."""

    name: str
    runtime: str
    what: str


SCENARIOS = tuple(
    Scenario(f"{runtime}, {what}", runtime, what)
    for runtime in ("hermes", "nanoclaw")
    for what in ("bundle", "page", "redacted", "from", "cleanup")
)
_LEAST = {"bundle": 20, "page": 10, "redacted": 15, "from": 20, "cleanup": 40}


def _laid(runtime: str, place: Path, *, over: bool = False) -> tuple[Leavings | V2Home, str]:
    """Make a home with a session that has something of all; return it, and the session's name.

    `over`: a cleanup takes what it has.
    """
    if runtime == "hermes":
        hermes = Leavings(place)
        hermes.lay_all()
        return hermes, OVER
    nanoclaw = V2Home(place)
    if over:
        folder = nanoclaw.lay_free()["session_dir"]
        nanoclaw.lay(f"{folder}/inbox/m1/photo.png", "png of a session that is over")
        nanoclaw.age(folder, 60 * DAY)
        return nanoclaw, CLOSED
    nanoclaw.lay_used()
    said = '{"type": "user", "message": {"role": "user", "content": "Water, please"}}\n'
    nanoclaw.lay(f"{nanoclaw.claude}/projects/{nanoclaw.projects}/{USED}.jsonl", said)
    nanoclaw.lay(f"data/v2-sessions/ag-main/{ACTIVE}/inbox/m1/photo.png")
    return nanoclaw, ACTIVE


class Bench(Disturbed):
    """A home, and the folder that its session is exported to; `tried` points, and what was `broken`."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        is_away = scenario.what == "from"
        self._home, self.name = _laid(scenario.runtime, place / "home", over=is_away)
        self._home.close()
        self.out = place / "out"
        self._taking = runtimes.exporting(scenario.runtime)
        away = None
        if is_away:
            _cleaned(scenario.runtime, self._home.path, Disk())
            [archive] = (self._home.path / "session-closer" / "archives").iterdir()
            away = Away(str(archive))
        found = self._taking.parts(str(self._home.path), self.name, Brisk(), away)
        assert found is not None
        self._wanted = {stream.name: b"".join(stream.chunks()) for stream in found.streams}
        self._before = self._home.tree()
        self._done: dict[str, bytes] = {}
        self.tried, self.broken = 0, list[str]()

    def _act(self, disk: Disk) -> ExportReport:
        what = self.scenario.what
        where = _place(self.scenario.runtime, self._home.path)
        ask = Export(str(self.out), what != "page", redact=what == "redacted")
        if what == "from":
            return export_put_away.execute(where, "last", [self.name], ask, Options(), disk=disk, clock=Brisk())
        return export_homes.execute(where, self._taking, [self.name], ask, Options(), disk=disk, clock=Brisk())

    def steps(self) -> int:
        """Return how many steps it has, once it has gone well."""
        disk = Counting(nothing)
        [row] = self._act(disk).exported
        self._done = _read(Path(row.path))
        self._check("undisturbed")
        assert disk.calls > _LEAST[self.scenario.what], f"{self.scenario.name}: only {disk.calls} steps"
        assert any(b"## 1 \xc2\xb7 " in text for name, text in self._done.items() if name.endswith(".md"))
        return disk.calls

    def _fresh(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)

    def _judge(self, how: str) -> None:
        self.tried += 1
        self._check(how)
        self._fresh()
        if len(self._act(Disk()).exported) != 1:
            self.broken.append(f"{self.scenario.name}: {how}, done again: it was not exported")

    def _check(self, how: str) -> None:
        """Look at what has a final name, and at the home."""
        finals = [path for path in self.out.glob("*/*") if not path.name.startswith(bundle.BEFORE)]
        wrong = [why for why in map(self._wrong_with, finals) if why]
        wrong += ["the home was changed"] if self._home.tree() != self._before else []
        self.broken += [f"{self.scenario.name}: {how}: {why}" for why in wrong]

    def _wrong_with(self, path: Path) -> str:
        found = _read(path)
        if path.is_file():
            return "" if found == self._done else "half a page"
        if manifest.SUMS not in found:
            return "a folder without hashes"
        sums = manifest.summed(found.pop(manifest.SUMS))
        if {name: hashlib.sha256(text).hexdigest() for name, text in found.items()} != sums:
            return "half a folder"
        made = {name for name in self._done if name != manifest.SUMS}
        is_same = {name: found.get(name) for name in self._wanted} == self._wanted
        return "" if set(found) == made and (is_same or self.scenario.what == "redacted") else "another session"


class OfCleanup(Disturbed):
    """A cleanup that deletes, each session once it has a copy; `tried` points, and what was `broken`."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario, self._place = scenario, place
        self.tried, self.broken = 0, list[str]()
        # What is of a session and is a copy of itself, by its path.
        self._owned: dict[str, bytes] = {}

    def _fresh(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir()
        home, _ = _laid(self.scenario.runtime, self._place / "home", over=True)
        home.close()
        named = partial(runtimes.exporting(self.scenario.runtime).named, str(self._place / "home"))
        self._owned = {
            path: data
            for path, data in _read(self._place / "home").items()
            if any(map(named, (path, *_above(path)))) and not path.endswith((".db", ".heartbeat")) and LOST not in path
        }
        assert len(self._owned) > 2

    def _act(self, disk: Disk, out: str = "out") -> Report:
        return _cleaned(self.scenario.runtime, self._place / "home", disk, self._place / out)

    def steps(self) -> int:
        """Return how many steps it has, once it has gone well."""
        self._fresh()
        disk = Counting(nothing)
        self._act(disk)
        self._check("undisturbed", done=True)
        assert disk.calls > _LEAST["cleanup"], f"{self.scenario.name}: only {disk.calls} steps"
        return disk.calls

    def _judge(self, how: str) -> None:
        self.tried += 1
        self._check(how, done=False)
        self._act(Disk(), "again")
        self._check(f"{how}, done again", done=True)

    def _check(self, how: str, *, done: bool) -> None:
        """Look at what has a final name, and whether all that is gone is in it."""
        made = [path for out in ("out", "again") for path in (self._place / out).glob("*/*")]
        finals = [path for path in made if not path.name.startswith(bundle.BEFORE)]
        wrong = [f"{path.name} has no hashes" for path in finals if not (path / manifest.SUMS).is_file()]
        copied: set[bytes] = set()
        for path in finals:
            found = _read(path)
            sums = manifest.summed(found.pop(manifest.SUMS, b""))
            is_whole = {name: hashlib.sha256(text).hexdigest() for name, text in found.items()} == sums
            wrong += [] if is_whole else [f"{path.name} is not whole"]
            copied |= set(found.values()) if is_whole else set()
        left = _read(self._place / "home")
        gone = [path for path in self._owned if path not in left]
        wrong += [f"{path} is gone without a copy" for path in gone if self._owned[path] not in copied]
        wrong += ["not all has gone"] if done and len(gone) < len(self._owned) else []
        self.broken += [f"{self.scenario.name}: {how}: {why}" for why in wrong]


def made(scenario: Scenario, place: Path) -> Bench | OfCleanup:
    """Return what a scenario is tried with, in an empty folder."""
    return OfCleanup(scenario, place / "bench") if scenario.what == "cleanup" else Bench(scenario, place)


def _place(runtime: str, path: Path) -> Place:
    where = runtimes.homes({}, runtime=runtime, named=str(path), profile=None)
    assert where is not None
    return where


def _cleaned(runtime: str, path: Path, disk: Disk, out: Path | None = None) -> Report:
    """Put away what is old; with a folder for copies delete it, once it has one."""
    where = _place(runtime, path)
    limits = retention.limits(retention.Asked(), where.rules)
    options = Options(yes=True, delete=out is not None, export=str(out) if out is not None else None)
    return prune.perform(where, limits, options, told="", console=Console(), clock=Brisk(), disk=disk)


def _above(path: str) -> list[str]:
    """Return the folders above a path."""
    return [each.as_posix() for each in Path(path).parents]


def _read(path: Path) -> dict[str, bytes]:
    found = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {each.relative_to(path).as_posix() if path.is_dir() else each.name: each.read_bytes() for each in found}
