"""Exports from a home of files on a disk that fails: what has a final name is whole, the home as it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from faults.exports import ERRORS, Disturbed
from faults.injection import Counting, nothing
from session_closer.artifacts import bundle
from session_closer.core.export import manifest
from session_closer.core.export.result import Export, ExportReport
from session_closer.core.wish import Options
from session_closer.operations import export_homes, runtimes
from session_closer.system.disk import Disk
from support.clock import Brisk
from support.leavings import OVER, Leavings
from support.nanoclaw import ACTIVE, USED, V2Home


class Scenario(NamedTuple):
    """A session of a runtime, exported as a bundle, a page, or without secrets."""

    name: str
    runtime: str
    what: str


SCENARIOS = tuple(
    Scenario(f"{runtime}, {what}", runtime, what)
    for runtime in ("hermes", "nanoclaw")
    for what in ("bundle", "page", "redacted")
)
_LEAST = {"bundle": 20, "page": 10, "redacted": 15}


def _laid(runtime: str, place: Path) -> tuple[Leavings | V2Home, str]:
    """Make a home with a session that has something of all; return it, and the session's name."""
    if runtime == "hermes":
        hermes = Leavings(place)
        hermes.lay_all()
        return hermes, OVER
    nanoclaw = V2Home(place)
    nanoclaw.lay_used()
    said = '{"type": "user", "message": {"role": "user", "content": "Water, please"}}\n'
    nanoclaw.lay(f"{nanoclaw.claude}/projects/{nanoclaw.projects}/{USED}.jsonl", said)
    nanoclaw.lay(f"data/v2-sessions/ag-main/{ACTIVE}/inbox/m1/photo.png")
    return nanoclaw, ACTIVE


class Bench(Disturbed):
    """A home, and the folder that its session is exported to; `tried` points, and what was `broken`."""

    def __init__(self, scenario: Scenario, place: Path) -> None:
        self.scenario = scenario
        self._home, self.name = _laid(scenario.runtime, place / "home")
        self._home.close()
        self.out = place / "out"
        self._taking = runtimes.exporting(scenario.runtime)
        found = self._taking.parts(str(self._home.path), self.name, Brisk())
        assert found is not None
        self._wanted = {stream.name: b"".join(stream.chunks()) for stream in found.streams}
        self._before = self._home.tree()
        self._done: dict[str, bytes] = {}
        self.tried, self.broken = 0, list[str]()

    def _act(self, disk: Disk) -> ExportReport:
        what = self.scenario.what
        where = runtimes.homes({}, runtime=self.scenario.runtime, named=str(self._home.path), profile=None)
        assert where is not None
        ask = Export(str(self.out), what != "page", redact=what == "redacted")
        return export_homes.execute(where, self._taking, [self.name], ask, Options(), disk=disk, clock=Brisk())

    def steps(self) -> int:
        """Return how many steps it has, once it has gone well."""
        disk = Counting(nothing)
        [row] = self._act(disk).exported
        self._done = _read(Path(row.path))
        self._check("undisturbed")
        assert disk.calls > _LEAST[self.scenario.what], f"{self.scenario.name}: only {disk.calls} steps"
        assert any(b"## 1 \xc2\xb7 user" in text for name, text in self._done.items() if name.endswith(".md"))
        return disk.calls

    def _fresh(self) -> None:
        shutil.rmtree(self.out, ignore_errors=True)

    def _judge(self, how: str) -> None:
        self._check(how)
        self._fresh()
        if len(self._act(Disk()).exported) != 1:
            self.broken.append(f"{self.scenario.name}: {how}, done again: it was not exported")

    def _check(self, how: str) -> None:
        """Look at what has a final name, and at the home."""
        self.tried += 1
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


def _read(path: Path) -> dict[str, bytes]:
    found = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {each.relative_to(path).as_posix() if path.is_dir() else each.name: each.read_bytes() for each in found}


def sweep(bench: Bench, points: Callable[[int], list[int]]) -> None:
    """Kill at some steps, and fail at them."""
    for point in points(bench.steps()):
        for when in ("before", "after"):
            bench.kill(point, when)
            for number in ERRORS:
                bench.fail(point, when, number)
