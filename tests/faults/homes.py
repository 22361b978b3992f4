"""A home of files cleaned up, and what is undone, on a disk that fails: each thing is whole in one place, always."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from session_closer.core import retention
from session_closer.core.artifacts import Limits
from session_closer.core.errors import CloserError
from session_closer.core.report import Report
from session_closer.core.wish import Options
from session_closer.hermes import entrance
from session_closer.nanoclaw import entrance as nanoclaw_entrance
from session_closer.operations import bring_back, prune
from session_closer.ports.artifacts import Place
from session_closer.ports.context import Console
from session_closer.system.disk import Disk
from support.hermes import DAY
from support.leavings import FREE, OPEN, OVER, Leavings
from support.nanoclaw import CLOSED, GROUP, OUTBOUND, V1Home, V2Home
from support.nanoclaw import OVER as OVER_THERE

from .image import Image
from .injection import Counting, fail_at, in_child, kill_at, nothing
from .power import BareDying, Dying, Killed

YOUNG = "sessions/session_young.json"
_OURS = "session-closer"
# What each file holds, by its path; the names in a folder stand for it.
Tree = dict[str, bytes]


class Trial(NamedTuple):
    """Whose home is tried: `make` lays it and gives what goes, by kind; `databases` are no files of ours or its own.

    `used` has a session gone on with and gives what is its own, `changed` the kinds that are written to.
    """

    name: str
    find: Callable[[str], Place]
    make: Callable[[Path], Mapping[str, str]]
    databases: str
    planted: str
    used: Callable[[Path], Iterable[str]]
    changed: tuple[str, ...]


class Job(NamedTuple):
    """What is done to a home; `is_away`: what goes is in an archive before, and is `brought` back or freed."""

    name: str
    is_away: bool
    work: Callable[[Place, Disk], Report]
    brought: bool = False
    deletes: bool = False


def _clean(place: Place, disk: Disk, *, delete: bool = False, expire: float | None = None) -> Report:
    usual = retention.limits(retention.Asked(), place.rules)
    limits = Limits(usual.ages if expire is None else {}, expire=expire)
    return prune.perform(place, limits, Options(delete=delete), told="", console=Console(), disk=disk)


def _bring(place: Place, disk: Disk) -> Report:
    first = min(Path(place.state, _OURS, "receipts").iterdir()).stem
    return bring_back.perform(place, first, [], Options(), console=Console(), disk=disk)


JOBS = (
    Job("put-away", False, _clean),
    Job("delete", False, lambda place, disk: _clean(place, disk, delete=True), deletes=True),
    Job("bring-back", True, _bring, brought=True),
    Job("expire", True, lambda place, disk: _clean(place, disk, expire=0.0), deletes=True),
)


def tree(root: Path) -> Tree:
    """Return what is in the files of a folder; links are none of ours."""
    return {
        each.relative_to(root).as_posix(): each.read_bytes()
        for each in sorted(root.rglob("*"))
        if each.is_file() and not each.is_symlink()
    }


class Bench:
    """One job, at every point of which something goes wrong."""

    def __init__(self, job: Job, place: str, disk: type[Counting] = Counting, trial: Trial | None = None) -> None:
        self.job, self.disk, self.trial = job, disk, trial or HERMES
        self.tried, self.broken = 0, list[str]()
        self.home = Path(os.path.realpath(place), "home")
        self.copy = Path(os.path.realpath(place), "copy")
        self.free = self.trial.make(self.home)
        self.start = self.live()
        found = sorted(self.home.rglob("*"), reverse=True)
        self.times = {each.relative_to(self.home).as_posix(): each.lstat().st_mtime_ns for each in found}
        if job.is_away:
            _clean(self.trial.find(str(self.home)), Disk())
        shutil.copytree(self.home, self.copy, symlinks=True)

    def anew(self) -> None:
        """Make the home again as it was before the job."""
        shutil.rmtree(self.home)
        shutil.copytree(self.copy, self.home, symlinks=True)

    def live(self) -> Tree:
        """Return what is in the home, but for what is ours or the database's."""
        found = tree(self.home)
        return {path: data for path, data in found.items() if not path.startswith((_OURS, self.trial.databases))}

    def away(self) -> Tree:
        """Return what is in archives, by its path in the home."""
        found = tree(self.home / _OURS / "archives") if (self.home / _OURS / "archives").exists() else {}
        return {path.partition("/")[2]: data for path, data in found.items()}

    def do(self, disk: Disk) -> Report:
        """Do the job."""
        return self.job.work(self.trial.find(str(self.home)), disk)

    def steps(self) -> int:
        """Return how many steps the job has, and hold what it does to what is promised."""
        self.anew()
        disk = self.disk(nothing)
        self.do(disk)
        self.look("undisturbed")
        return disk.calls

    def killed(self, point: int, when: str) -> None:
        """Kill the job at a step, and look."""
        self.anew()
        in_child(lambda: self.do(self.disk(kill_at(point, when))))
        self.look(f"killed {when} step {point}")

    def cuts(self) -> Iterator[Callable[[], None]]:
        """Give each state that a power cut during the job could leave, as what puts it on disk and looks."""
        self.anew()
        recorder = self._recorder()
        self.do(recorder)
        for what, image in recorder.seen.values():
            yield lambda what=what, image=image: self._cut(what, image)

    def cut_later(self, point: int) -> None:
        """Kill the job after a step, have the next run finish it: then no power cut takes any of it back."""
        self.anew()
        recorder = self._recorder()
        recorder.looks, recorder.point = False, point
        with contextlib.suppress(Killed):
            self.do(recorder)
        recorder.point = -1
        self._next(recorder)
        self.tried += 1
        if not recorder.is_durable(self._is_kept):
            self._say(f"killed after step {point}, and finished", "a power cut takes some of it back")

    def _is_kept(self, path: str) -> bool:
        """Tell whether what has a path is live or in an archive, and no database's own."""
        ours = path.startswith(_OURS) and not path.startswith(f"{_OURS}/archives")
        return not ours and not path.startswith(self.trial.databases)

    def _recorder(self) -> Dying:
        return (Dying if self.disk is Counting else BareDying)(str(self.home), Image.of(str(self.home)))

    def _cut(self, what: str, image: Image) -> None:
        image.put(str(self.home))
        self._age()
        self.look(what)

    def _age(self) -> None:
        """Give what was there its time, which the model does not keep."""
        for each in self.home.rglob("*"):
            path = each.relative_to(self.home).as_posix()
            known = path.split("/", 3)[3] if path.startswith(f"{_OURS}/archives/") and path.count("/") > 2 else path
            if known in self.times:
                os.utime(each, ns=(self.times[known], self.times[known]))

    def killed_twice(self, point: int, again: int) -> None:
        """Kill the job after a step, and the next run before one of its own."""
        self.anew()
        in_child(lambda: self.do(self.disk(kill_at(point, "after"))))
        in_child(lambda: self._next(self.disk(kill_at(again, "before"))))
        self.look(f"killed after step {point}, then before step {again}")

    def failed(self, point: int, when: str, number: int) -> None:
        """Let one step fail."""
        self.anew()
        with contextlib.suppress(CloserError):
            self.do(self.disk(fail_at(point, when, number)))
        self.look(f"{os.strerror(number)} {when} step {point}")

    def planted(self, point: int) -> None:
        """Let somebody else write a file where one of ours was, ahead of a step: nobody may overwrite it."""
        self.anew()
        path = self.home / self.free[self.trial.planted]
        planted, was_planted = b"written anew", list[bool]()

        def at(number: int, _name: str, when: str) -> None:
            if (number, when) == (point, "before") and not path.exists():
                path.write_bytes(planted)
                was_planted.append(True)

        with contextlib.suppress(CloserError):
            self.do(self.disk(at))
        found = path.read_bytes() if path.exists() else None
        self.tried += 1
        if was_planted and found != planted:
            self._say(f"planted before step {point}", "what was written anew is another by now")
        if found == planted and not self.job.deletes and self.free[self.trial.planted] not in self.away():
            self._say(f"planted before step {point}", "what was written anew has taken the place of what was there")

    def meddled(self, meddle: Callable[[Path], Iterable[str]], what: str) -> None:
        """Let somebody use or change things once the run has begun to change the home: these stay."""
        self.anew()
        stays: list[str] = []

        def at(_number: int, name: str, when: str) -> None:
            if not stays and name in ("make_folder_in", "unlink_in") and when == "before":
                stays.extend(meddle(self.home))

        self.do(self.disk(at))
        self.tried += 1
        live = self.live()
        gone = [path for path in stays if not any(f"{one}/".startswith(f"{path}/") for one in live)]
        # The first of them may have been asked for a moment before that.
        if len(gone) > 1:
            self._say(what, f"{gone} went all the same")

    def look(self, what: str) -> None:
        """Hold what there is to what is promised, finish it, and hold that, too."""
        self.tried += 1
        for line in self._wrong():
            self._say(what, line)
        self._next(Disk())
        for line in (*self._wrong(), *self._ended()):
            self._say(f"{what}, finished", line)
        if not self.job.deletes:
            self._undone(what)

    def _next(self, disk: Disk) -> None:
        """Do what the next run does."""
        if self.job.brought:
            with contextlib.suppress(CloserError):
                _bring(self.trial.find(str(self.home)), disk)
        else:
            self.do(disk)

    def _wrong(self) -> Iterator[str]:
        live, away = self.live(), self.away()
        for path, data in self.start.items():
            there = [place[path] for place in (live, away) if path in place]
            if any(one != data for one in there):
                yield f"{path} is another"
            if len(there) > 1 and not self._is_one(path):
                yield f"{path} is in two places"
            if not there and not (self.job.deletes and self._goes(path)):
                yield f"{path} is nowhere"
        for path in (live.keys() | away.keys()) - self.start.keys():
            yield f"{path} was never there"

    def _is_one(self, path: str) -> bool:
        """Tell whether a file has but two names, as a power cut can leave it."""
        one = self.home / path
        return any(one.samefile(other) for other in (self.home / _OURS / "archives").glob(f"*/{path}"))

    def _goes(self, path: str) -> bool:
        return any(f"{path}/".startswith(f"{one}/") for one in self.free.values())

    def _ended(self) -> Iterator[str]:
        live, away = self.live(), self.away()
        for path in self.start:
            if path in live and path in away:
                yield f"{path} still has two names"
            if (path in live) is not (self.job.brought or not self._goes(path)):
                yield f"{path} is {'' if path in live else 'not '}live"
        archives = self.home / _OURS / "archives"
        if (self.job.deletes or self.job.brought) and archives.exists() and os.listdir(archives):
            yield "something is left of an archive"
        if left := os.listdir(self.home / _OURS / "open"):
            yield f"{left} has not ended"

    def _undone(self, what: str) -> None:
        place = self.trial.find(str(self.home))
        for receipt in sorted((self.home / _OURS / "receipts").iterdir(), reverse=True):
            with contextlib.suppress(CloserError):
                bring_back.perform(place, receipt.stem, [], Options(), console=Console())
        if self.live() != self.start or self.away():
            self._say(f"{what}, undone", "is not as it was")

    def _say(self, what: str, line: str) -> None:
        self.broken.append(f"{self.job.name}: {what}: {line}")


def _of_hermes(home: Path) -> Mapping[str, str]:
    """Lay a home of Hermes."""
    made = Leavings(home)
    for kind, path in FREE.items():
        made.lay_kind(kind, path)
    _number(home, "state.db")
    for path in FREE.values():
        made.age(path, 60 * DAY)
    made.lay(YOUNG, age=DAY)
    made.lay(f"sessions/session_{OPEN}.json")
    made.close()
    return FREE


def _of_nanoclaw(make: type[V1Home] | type[V2Home]) -> Callable[[Path], Mapping[str, str]]:
    def lay(home: Path) -> Mapping[str, str]:
        made = make(home)
        free = made.lay_free()
        made.lay_used()
        _number(home, made.database)
        for path in free.values():
            made.age(path, 60 * DAY)
        made.close()
        return free

    return lay


def _number(home: Path, database: str) -> None:
    """Have each file hold something else, so that where each of them is can be told."""
    for number, path in enumerate(sorted(tree(home))):
        if not path.endswith(".db") and not path.startswith(database):
            with open(home / path, "a") as file:
                file.write(f" {number}")


def used_1(home: Path) -> list[str]:
    """Let the group have the session that was over."""
    _tell(home / V1Home.database, "update sessions set session_id = ?", OVER_THERE)
    return sorted(path for path in tree(home) if OVER_THERE in path and not path.startswith(_OURS))


def used_2(home: Path) -> list[str]:
    """Have the session that was closed be active again, and the other one go on with what was nobody's."""
    _tell(home / V2Home.database, "update sessions set status = 'active' where id = ?", CLOSED)
    folder = home / "data/v2-sessions" / GROUP / "sess-3-new"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "outbound.db", isolation_level=None)) as database:
        database.executescript(OUTBOUND)
        database.execute("insert into session_state values ('continuation:claude', ?, '')", (OVER_THERE,))
    live = (path for path in tree(home) if not path.startswith(_OURS))
    return [f"data/v2-sessions/{GROUP}/{CLOSED}", *sorted(path for path in live if OVER_THERE in path)]


def _tell(path: Path, query: str, *given: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(query, given)


def used(home: Path) -> list[str]:
    """Go on with the session that was over; return what is its own."""
    with contextlib.closing(sqlite3.connect(home / "state.db", isolation_level=None)) as database:
        database.execute("update sessions set ended_at = null where id = ?", (OVER,))
    return [FREE[kind] for kind in ("session_json", "request_dump", "transcript_jsonl")]


def changed(home: Path, paths: Iterable[str]) -> Iterable[str]:
    """Write to what is about to go; return it."""
    for path in paths:
        target = home / path
        if target.is_dir():
            # Neither its own time nor that of its names changes.
            target = next(each for each in sorted(target.rglob("*"), reverse=True) if each.is_file())
        target.write_text("more")
    return paths


HERMES = Trial(
    "hermes",
    lambda home: entrance.find({}, named=home, profile=None),
    _of_hermes,
    "state.db",
    "session_json",
    used,
    ("session_json", "request_dump", "delegation_log", "checkpoint_v1"),
)
NANOCLAW = tuple(
    Trial(
        f"nanoclaw-{number}",
        lambda home: nanoclaw_entrance.find({}, named=home, profile=None),
        _of_nanoclaw(make),
        make.database,
        "transcript",
        goes_on,
        ("transcript", "debug", "todo", "tool_results"),
    )
    for number, make, goes_on in ((1, V1Home, used_1), (2, V2Home, used_2))
)
