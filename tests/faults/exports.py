"""Exports on a disk that fails: what has a final name is whole, and nothing is closed that there is no copy of."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from faults.injection import Counting, fail_at, in_child, kill_at, nothing
from session_closer.artifacts import bundle
from session_closer.core import keys
from session_closer.core.errors import CloserError, Refused
from session_closer.core.export import manifest
from session_closer.core.export.parts import TRANSCRIPT
from session_closer.core.export.result import Export, ExportReport
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.openclaw.home import Home
from session_closer.operations import close, export, restore
from session_closer.operations.bundles import REDACTED_PAGE, redacted
from session_closer.system.disk import Disk
from support.clock import Brisk
from support.keys import LEAD
from support.said import ERAS, KEY, InDatabase, Said, files_of
from support.stores import Store
from support.trees import tree

ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS)
OTHER = LEAD + "other-one"
# Nothing listens there, and nobody is asked.
_PORT = 9
# A scenario of fewer steps has not written by the disk that it was given.
_LEAST = 20


class Scenario(NamedTuple):
    """What is done to a session of an era: it is exported, as a bundle or a page, closed, or brought back."""

    name: str
    era: str
    what: str


SCENARIOS = (
    Scenario("bundle, files", "files", "bundle"),
    Scenario("bundle, database", "sqlite", "bundle"),
    Scenario("page", "files", "md"),
    Scenario("redacted", "files", "redact"),
    Scenario("close", "files", "close"),
    Scenario("restore", "files", "restore"),
)


class Disturbed(ABC):
    """An export that is killed, or fails, at one of its steps."""

    def kill(self, point: int, when: str) -> None:
        """Kill it at a step, look, and do it again."""
        self._fresh()
        status = in_child(lambda: self._act(Counting(kill_at(point, when))))
        assert os.WIFSIGNALED(status), f"step {point} was not reached"
        self._judge(f"killed {when} step {point}")

    def fail(self, point: int, when: str, number: int) -> None:
        """Fail at a step, look, and do it again."""
        self._fresh()
        with contextlib.suppress(CloserError):
            self._act(Counting(fail_at(point, when, number)))
        self._judge(f"{errno.errorcode[number]} {when} step {point}")

    def sweep(self, points: Callable[[int], Iterable[int]], *, thorough: bool = True) -> None:
        """Kill it and fail at steps of it, by number of how many there are.

        What a kill leaves behind a step is what one ahead of the next leaves: only where all is tried it is, too. The
        errors else come in turn.
        """
        steps = self.steps()
        for point in points(steps):
            self.kill(point, "before")
            if thorough or point == steps - 1:
                self.kill(point, "after")
            for turn, when in enumerate(("before", "after")):
                for number in ERRORS if thorough else (ERRORS[(point + turn) % len(ERRORS)],):
                    self.fail(point, when, number)

    @abstractmethod
    def steps(self) -> int:
        """Return how many steps it has, once it has gone well."""

    @abstractmethod
    def _fresh(self) -> None:
        """Make all as it was before."""

    @abstractmethod
    def _act(self, disk: Disk) -> object:
        """Export."""

    @abstractmethod
    def _judge(self, how: str) -> None:
        """Note what does not hold now, and once it is done again."""


class Bench(Disturbed):
    """One scenario, made anew for each point; `tried` points, and what was `broken`."""

    def __init__(self, scenario: Scenario, place: str) -> None:
        self.scenario, self._place = scenario, Path(place)
        self.tried, self.broken = 0, list[str]()
        self._said: Said | None = None
        self._before: object = None
        self._page = b""

    @property
    def said(self) -> Said:
        """The session."""
        assert self._said is not None
        return self._said

    def _fresh(self) -> None:
        """Make the session, with what the scenario begins from."""
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(mode=0o700)
        self._said = ERAS[self.scenario.era](Store(self._place / "state", _PORT))
        if not isinstance(self._said, InDatabase):
            self._said.store.add((OTHER, self._said.store.session("other-one")))
        if self.scenario.what == "restore":
            self._close("kept", Disk())
            for path in [*self._said.store.folder().glob("*.deleted.*"), *self._said.store.folder().glob("*.bak.*")]:
                path.unlink()
        self._before = tree(self._said.store.state / "agents")

    def _home(self) -> Home:
        return Home(str(self._place / "state"), "--state-dir", os.environ, isolated=True)

    def _act(self, disk: Disk, out: str = "out") -> Report | ExportReport:
        what = self.scenario.what
        if what == "close":
            return self._close(out, disk)
        if what == "restore":
            [folder] = (self._place / "kept" / "project-lead").iterdir()
            return restore.execute(self._home(), restore.Ask(str(folder)), Options(), disk=disk, clock=Brisk())
        ask = Export(str(self._place / out), what != "md", redact=what == "redact")
        return export.execute(self._home(), [keys.target(KEY, None)], ask, Options(), disk=disk, clock=Brisk())

    def _close(self, out: str, disk: Disk) -> Report:
        wish = Wish("close-project-batch", (keys.target(KEY, None),))
        options = Options(export=str(self._place / out))
        return close.execute(self._home(), wish, options, disk=disk, clock=Brisk())

    def steps(self) -> int:
        """Return how many steps the scenario has, once it has gone well."""
        self._fresh()
        disk = Counting(nothing)
        self._act(disk)
        for page in (self._place / "out").glob("project-lead/*.md"):
            self._page = page.read_bytes()
        self._check("undisturbed", done=True)
        assert disk.calls > _LEAST, f"{self.scenario.name}: only {disk.calls} steps"
        return disk.calls

    def _judge(self, how: str) -> None:
        self.tried += 1
        self._check(how, done=False)
        self._act(Disk(), "again")
        self._check(f"{how}, done again", done=True)

    def _check(self, how: str, *, done: bool) -> None:
        """Note what does not hold; `done`: it has come to its end once."""
        found = [path for out in ("out", "again", "kept") for path in (self._place / out).glob("project-lead/*")]
        finals = [path for path in found if not path.name.startswith(bundle.BEFORE)]
        wrong = [*map(self._wrong_with, finals), self._wrong_in_store(finals, done=done)]
        self.broken += [f"{self.scenario.name}: {how}: {why}" for why in wrong if why]

    def _wrong_with(self, path: Path) -> str:
        """Return what is wrong with what has a final name."""
        if path.suffix == ".md":
            return "" if path.read_bytes() == self._page else "half a page"
        if self.scenario.what == "redact":
            return self._wrong_with_hashes(path)
        try:
            bundle.checked(str(path))
        except Refused as problem:
            return f"half a folder: {problem.message}"
        return "" if (path / "transcript.jsonl").read_bytes() == self.said.transcript else "another transcript"

    def _wrong_with_hashes(self, path: Path) -> str:
        """Return what is wrong with a folder that cannot come back, by its list of hashes."""
        try:
            sums = manifest.summed((path / manifest.SUMS).read_bytes())
        except OSError:
            return "a folder without hashes"
        found = {name: hashlib.sha256(text).hexdigest() for name, text in files_of(path).items()}
        found.pop(manifest.SUMS)
        names = {redacted(TRANSCRIPT), REDACTED_PAGE, manifest.MANIFEST}
        return "" if found == sums and names == set(sums) else "half a folder"

    def _wrong_in_store(self, finals: list[Path], *, done: bool) -> str:
        what, said = self.scenario.what, self.said
        if what not in ("close", "restore"):
            changed = tree(said.store.state / "agents") != self._before
            return "the store was changed" if changed else "nothing was exported" if done and not finals else ""
        listed = said.store.listed()
        if OTHER not in listed:
            return "another session is gone"
        if what == "close":
            if KEY in listed:
                return "it was not closed" if done else ""
            return "" if finals else "it was closed without a copy"
        assert not isinstance(said, InDatabase)
        is_whole = said.path.exists() and said.path.read_bytes() == said.transcript
        if KEY in listed and not is_whole:
            return "it is back without its transcript"
        return "it is not back" if done and KEY not in listed else ""
