"""Somebody takes transcripts into use while a run puts them away, at each moment between two of its steps."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from faults.image import Image
from faults.injection import At, Counting, kill
from faults.oracle import Written, violations
from faults.scenarios import SCENARIOS, Scenario, in_json
from faults.sweep import Bench
from session_closer.core.status import Status
from session_closer.core.wish import Options
from session_closer.journal import history, journal
from session_closer.openclaw.home import Home
from session_closer.operations import restore

# What tells a row of somebody else: it has none of the keys that were there before.
_TAKER = "taker"
_ENDS = journal.Journal.finish.__code__
Rows = Mapping[str, Mapping[str, Any]]


class Way(NamedTuple):
    """How transcripts are taken into use: a row with their session id, or one that names the file, in whose index."""

    name: str
    by: str
    owner: Callable[[str], str]


def _neighbour(agent: str) -> str:
    """Return an agent of the same run, whose sessions go, too."""
    return "researcher" if agent == "project-lead" else "project-lead"


WAYS = (
    Way("the same session id", "sessionId", lambda agent: agent),
    Way("a row that names the file", "sessionFile", lambda agent: agent),
    Way("a row of another agent", "sessionFile", lambda _: "main"),
    Way("a row of an agent whose sessions go, too", "sessionFile", _neighbour),
)
_SWEPT = ("batch", "shared transcripts", "custom session.store", "no renameat2")
CLAIMED = tuple(scenario for scenario in SCENARIOS if scenario.name in _SWEPT)
RESTORED = tuple(scenario for scenario in SCENARIOS if scenario.name == "restore")


def ending() -> bool:
    """Tell whether a record becomes the receipt now: what is taken into use from then on comes after the run."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code is _ENDS:
            return True
    return False


class Taking:
    """A bench on which somebody takes transcripts into use."""

    def __init__(self, bench: Bench, way: Way) -> None:
        self.bench, self.way = bench, way

    @property
    def scenario(self) -> Scenario:
        return self.bench.scenario

    def take(self) -> None:
        """Add a row for each transcript, written as a gateway without locks does."""
        for agent, rows in self._rows().items():
            index = self.bench.world.paths[agent]
            with open(index, "rb") as file:
                now = json.loads(file.read())
            self.bench.write(index, agent, {**now, **rows}, dict(rows))

    def _rows(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for agent, closing in self.scenario.closing.items():
            was, owner = self.bench.was(agent), self.way.owner(agent)
            for number, key in enumerate(sorted(closing)):
                row = was[key]
                if "sessionFile" not in row:
                    continue
                taken = {"sessionId": row["sessionId"]} if self.way.by == "sessionId" else {
                    "sessionId": f"{_TAKER}-{agent}-{number}", "sessionFile": row["sessionFile"]
                }  # fmt: skip
                found.setdefault(owner, {})[f"agent:{owner}:{_TAKER}-{agent}-{number}"] = taken
        return found

    def _at(self, moment: int, then: int | None) -> At:
        """Take the transcripts before one step; be killed before a later one, where there is one named."""
        ended = False

        def at(number: int, _name: str, when: str) -> None:
            nonlocal ended
            ended = ended or ending()
            if when == "before" and number == moment and not ended:
                self.take()
            if (number, when) == (then, "before"):
                kill()

        return at

    def run(self, moment: int, then: int | None = None, image: Image | None = None, written: Written = ()) -> bool:
        """Take transcripts at a moment of a run and look whether they stay; tell whether it came to that."""
        bench = self.bench
        bench.reset(image, written)
        for agent, rows in self._rows().items():
            bench.world.early[agent] = in_json({**bench.was(agent), **rows})
        what = f"{self.way.name}, before step {moment}" + ("" if then is None else f", killed before step {then}")
        ended = bench.run(self._at(moment, then), meddling=False, alone=then is not None)
        if not bench.written():
            return False
        if ended.code is None:
            bench.finish(what)
        else:
            bench.tried += 1
            if ended.code != 0:
                bench.broken.append(f"{self.scenario.name}: {what}: ended with {ended.code}")
            bench.check_words(what, ended)
            bench.check(what, ended=True)
        if not self.scenario.restores:
            self._undo(what)
        return True

    def _undo(self, what: str) -> None:
        """Bring back all that was closed: every byte is there again, and what was taken into use is, too."""
        bench = self.bench
        where = Home(bench.state, "demo", {}, isolated=True)
        folder = os.path.join(bench.state, "session-closer", "receipts")
        for name in sorted(os.listdir(folder), reverse=True):
            told = restore.execute(where, restore.Ask(name.removesuffix(".json")), Options())
            wrong = [f"{row.key}: {row.error}" for row in told.results if row.status is not Status.RESTORED]
            bench.broken += [f"{self.scenario.name}: {what}: undo: {line}" for line in wrong]
        found = violations(bench.world, {}, ended=True, written=bench.written())
        bench.broken += [f"{self.scenario.name}: {what}: undone: {line}" for line in found]


def moments(bench: Bench, image: Image | None = None, written: Written = ()) -> Iterator[int]:
    """Yield the steps of an undisturbed run."""
    yield from range(len(bench.steps(image, written)))


def killed(bench: Bench, point: int) -> Image | None:
    """Return what a run leaves that is killed before a step, None where it has no such step, or has ended by then.

    A run with a receipt has ended: what is taken into use after that is no more its business than a minute later.
    """
    if not bench.kill(point, "before"):
        return None
    has_ended = any(os.path.exists(history.receipt_path(bench.state, run)) for run in history.open_runs(bench.state))
    return None if has_ended else Image.of(bench.state)


def ways_of(scenario: Scenario) -> list[Way]:
    """Return the ways that add a row to a store of the scenario."""
    own = scenario.disk is Counting
    # Without an exchange a row that is written into the index in the moment of the rename is lost: it is not promised.
    return [way for way in WAYS if own or way.name == "a row of another agent"]
