"""Kill or fail at every step of a cleanup: nothing is lost but the archives that were to go, the next run ends it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from faults.image import Image
from faults.injection import ERRORS, NO_CHANGE, At, Counting, Plain, in_child, interrupt_at, kill_at, nothing
from faults.oracle import ARCHIVE, BESIDE, World, look
from session_closer.core import fileplan, keys, names
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.policy import DAY, Policy, Rules
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options, Wish
from session_closer.core.words import Kind
from session_closer.journal.written import read_record
from session_closer.openclaw.home import Home
from session_closer.operations import by_store
from session_closer.operations import restore as restoring
from session_closer.operations.close import execute
from support.shares import Share

LEAD, READER = "project-lead", "researcher"
RUN = "agent:project-lead:cron:nightly-report:run:7f3a"
CHILD = "agent:project-lead:subagent:2b1c"
CLOSING = {RUN, CHILD}
ORPHANS = {LEAD: ("lost.jsonl", "lost.trajectory.jsonl"), READER: ("left.jsonl",)}
POLICY = Policy({Kind.CRON_RUN: DAY, Kind.SUBAGENT: DAY}, orphans=DAY, expire_archives=30 * DAY)


@pytest.fixture(autouse=True, params=["a plan of all", "store by store"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a cleanup of several agents done both ways."""
    if request.param == "store by store":
        monkeypatch.setattr(by_store, "MOST", 0)


def stamp(days: float) -> str:
    return names.stamp(datetime.now(UTC) - timedelta(days=days))


def folder(state: str, agent: str = LEAD) -> Path:
    return Path(state, "agents", agent, "sessions")


def rows(state: str, agent: str = LEAD) -> dict[str, Any]:
    return dict(json.loads((folder(state, agent) / "sessions.json").read_bytes()))


def put(path: Path, text: str, days: float = 0) -> Path:
    path.touch(0o600)
    path.write_text(text)
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


def prepare(state: str) -> None:
    """Make two sessions stale, with a file each, three files orphans, and two archives old; one of each is young."""
    entries = rows(state)
    for key, entry in entries.items():
        entry["updatedAt"] = int((time.time() - (3 if key in CLOSING else 0.1) * DAY) * 1000)
    # The run has a transcript of its own: one that stays with the template would not be archived.
    entries[RUN]["sessionId"] = "of-the-run"
    entries[RUN]["sessionFile"] = str(put(folder(state) / "of-the-run.jsonl", "of the run\n"))
    put(folder(state) / "sessions.json", json.dumps(entries, indent=2, ensure_ascii=False))
    for agent, some in ORPHANS.items():
        for name in some:
            put(folder(state, agent) / name, f"{agent} {name}\n", 2)
    put(folder(state) / "young.jsonl", "young\n", 0.5)
    put(folder(state) / f"gone.jsonl.deleted.{stamp(31)}", "gone\n", 31)
    put(folder(state, READER) / f"sessions.json.bak-{stamp(40)}", "{}", 40)
    put(folder(state) / f"kept.jsonl.deleted.{stamp(29)}", "kept\n", 60)


class Bench:
    """A state directory in which there is something to clean up, to begin with again and again."""

    def __init__(self, state: str, disk: Callable[[At], Counting] = Counting) -> None:
        self.state, self.disk = state, disk
        prepare(state)
        self.old = {agent: self._old(agent) for agent in ("main", LEAD, READER)}
        self.world: World = look(state)
        self.times = {path: path.stat().st_mtime_ns for path in Path(state).rglob("*") if path.is_file()}
        self.image = Image.of(state)
        self.receipts = 0

    def _old(self, agent: str) -> set[str]:
        found = {path.name for path in folder(self.state, agent).iterdir()}
        return {name for name in found if name.startswith(("gone.jsonl.deleted", "sessions.json.bak-"))}

    def reset(self, image: Image | None = None) -> None:
        (image or self.image).put(self.state)
        for path, moment in self.times.items():
            with suppress(FileNotFoundError):
                os.utime(path, ns=(moment, moment))
        self.world = self.world.fresh()

    def clean(self, at: At = nothing, **more: Any) -> Report:
        rules = Rules(POLICY._replace(**more), time.time())
        wish = Wish("cleanup-sessions", (), rules=rules, among=("main", LEAD, READER))
        return execute(self.home, wish, Options(), disk=self.disk(at))

    def close(self, name: str) -> Report:
        wish = Wish("close-project", (keys.target(name, None),))
        return execute(self.home, wish, Options(), disk=self.disk(nothing))

    def restore(self, which: str = "last", at: At = nothing) -> Report:
        return restoring.execute(self.home, restoring.Ask(which), Options(), disk=self.disk(at))

    @property
    def home(self) -> Home:
        return Home(self.state, "demo", {}, isolated=True)

    def steps(self) -> list[str]:
        found: list[str] = []
        self.reset()
        report = self.clean(lambda _, name, when: found.append(name) if when == "before" else None)
        assert exit_code(report) == 0, report
        return found

    def kill(self, point: int, when: str, work: Callable[[At], Any] | None = None) -> bool:
        status = in_child(lambda: (work or self.clean)(kill_at(point, when)))
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)

    def told(self) -> set[str]:
        """Return the archive names and what is deleted for good, as journals and receipts have them."""
        own = Path(self.state, "session-closer")
        found: set[str] = set()
        for path in (*own.glob("open/*/record.json"), *own.glob("receipts/*.json")):
            for store in json.loads(read_record(str(path)).raw)["stores"]:
                moves = [*store["orphans"], *(move for session in store["sessions"] for move in session["moves"])]
                found |= {move["target"] for move in moves} | set(store["removes"])
        return found

    def violations(self, *, ended: bool = False, restored: bool = False, torn: bool = False) -> list[str]:
        """Return what is broken on disk; `torn`: as long as a run was killed half way through a rename by link."""
        found: list[str] = []
        told = self.told()
        for agent, raw in self.world.indexes.items():
            place = folder(self.state, agent)
            was, now = json.loads(raw), rows(self.state, agent)
            there = {path.name for path in place.iterdir()}
            copies = [json.loads(path.read_bytes()) for path in place.glob("sessions.json.bak-*") if path.name not in
                      self.world.files[agent]]  # fmt: skip
            for key, entry in was.items():
                if now.get(key) != entry and (key not in CLOSING or not any(c.get(key) == entry for c in copies)):
                    found.append(f"I2: {key} is nowhere")
            found += [f"I3: {key} appeared" for key in now if key not in was]
            known = {"sessions.json"}
            for live, digest in self.world.files[agent].items():
                places = [
                    name for name in there if name == live or ((m := ARCHIVE.fullmatch(name)) and m["live"] == live)
                ]
                known.update(places)
                if live in self.old[agent]:
                    if not places and live not in told:
                        found.append(f"{live} went, and no record says so")
                    if places and ended:
                        found.append(f"end: {live} was not freed")
                    continue
                one = len(places) == 2 and os.path.samefile(place / places[0], place / places[1])
                if len(places) != 1 and not (one and torn):
                    found.append(f"I5: {live} is in {places}")
                    continue
                if hashlib.sha256((place / places[0]).read_bytes()).hexdigest() != digest:
                    found.append(f"I5: {live} holds something else")
                archived = live not in places
                if archived and places[0] not in told:
                    found.append(f"{places[0]}: no record says so")
                if archived and any(live.startswith(str(entry["sessionId"])) for entry in now.values()):
                    found.append(f"I6: {live} was torn from its row")
                goes = live in ORPHANS.get(agent, ()) or any(
                    live.startswith(was[k]["sessionId"]) for k in CLOSING & set(was)
                )
                if archived and not goes:
                    found.append(f"I3: {live} was archived")
                if ended and not archived and goes:
                    found.append(f"end: {live} was left")
                if restored and archived:
                    found.append(f"restore: {live} is not back")
            found += [f"I8: {name} appeared" for name in there - known if not BESIDE.fullmatch(name)]
            if ended:
                found += [f"end: {key} is there" for key in CLOSING & set(now)]
                found += [f"end: {name}" for name in there if ".session-closer-" in name or ".lock" in name]
            if restored and (place / "sessions.json").read_bytes() != raw:
                found.append(f"restore: {agent} is not what it was")
        own = Path(self.state, "session-closer")
        found += [f"I7: others may read {path.name}" for path in own.rglob("*") if path.lstat().st_mode & 0o077]
        if ended or restored:
            found += [f"end: open run {path.name}" for path in own.glob("open/*")]
        return found

    def finish(self, what: str, *, torn: bool = False) -> list[str]:
        """Check what an injection left, that the next run ends it, and that a restore of all receipts undoes it."""
        broken = [f"{what}: {line}" for line in self.violations(torn=torn)]
        report = self.clean()
        if exit_code(report) != 0:
            broken.append(f"{what}: the next run ended with {exit_code(report)}: {report.error}")
        broken += [f"{what}, next run: {line}" for line in self.violations(ended=True)]
        again = self.clean()
        if again.results or again.receipt or exit_code(again) != 0:
            broken.append(f"{what}: a third run still did {again.results}")
        receipts = sorted(Path(self.state, "session-closer", "receipts").iterdir(), reverse=True)
        for path in receipts:
            back = self.restore(path.stem)
            if exit_code(back) != 0:
                broken.append(f"{what}: restore ended with {exit_code(back)}: {back.error} {back.results}")
        return broken + [f"{what}, restored: {line}" for line in self.violations(restored=True)]


@pytest.fixture
def bench(state: str) -> Bench:
    return Bench(state)


def kills(steps: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the kills that leave a disk which none before them has left."""
    yield 0, "before"
    for point, name in enumerate(steps):
        if name not in NO_CHANGE:
            yield point, "after"


def test_an_undisturbed_cleanup_does_all_and_a_restore_undoes_it(bench: Bench) -> None:
    report = bench.clean()
    assert exit_code(report) == 0
    status = [row.status for row in report.results]
    assert (status.count(Status.CLOSED), status.count(Status.ARCHIVED), status.count(Status.EXPIRED)) == (2, 3, 2)
    assert bench.finish("run") == []


@pytest.mark.parametrize("disk", [Counting, Plain])
def test_a_kill_at_any_step_loses_nothing_and_the_next_run_finishes(
    state: str, disk: Callable[[At], Counting], some: Share
) -> None:
    bench = Bench(state, disk)
    steps = bench.steps()
    assert len(steps) > 40
    assert (steps.count("rename_exclusive") if disk is Counting else steps.count("link")) >= 5
    broken = []
    for point, when in some(kills(steps), 4, lambda kill: steps[kill[0]]):
        bench.reset()
        assert bench.kill(point, when), f"step {point} was not reached"
        broken += bench.finish(f"{when} {point} {steps[point]}", torn=disk is Plain)
    assert broken == []


def test_a_kill_before_a_step_is_one_after_the_step_ahead_of_it(bench: Bench, some: Share) -> None:
    """Nothing is changed but through the disk, so the others need no sweep of their own."""
    steps = bench.steps()
    broken = []
    for point in some(range(0, len(steps), 9), 2):
        bench.reset()
        assert bench.kill(point, "before")
        broken += bench.finish(f"before {point} {steps[point]}")
    assert broken == []


def test_a_kill_of_the_recovery_loses_nothing(bench: Bench, some: Share) -> None:
    steps = bench.steps()
    broken, tried = [], 0
    for first in some([point for point, when in kills(steps) if when == "after"][5::6], 1):
        for second in some(range(0, 60, 5), 4):
            bench.reset()
            assert bench.kill(first, "after")
            if not bench.kill(second, "after"):
                break
            tried += 1
            broken += bench.finish(f"{first} {steps[first]}, then {second}")
    assert tried >= some.least(5)
    assert broken == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_error_at_any_step_is_told_and_the_next_run_finishes(bench: Bench, when: str, some: Share) -> None:
    steps = bench.steps()
    broken = []
    points = [point for point, name in enumerate(steps) if name not in NO_CHANGE or point % 5 == 0]
    for point in some(points if when == "before" else points[::3], 4, steps.__getitem__):
        number = ERRORS[point % len(ERRORS)]

        def fail(at: int, _name: str, moment: str, point: int = point, number: int = number) -> None:
            if (at, moment) == (point, when):
                raise OSError(number, os.strerror(number), "injected")

        bench.reset()
        what = f"{when} {point} {steps[point]}"
        closed: list[str] = []
        try:
            report = bench.clean(fail)
        except CloserError as problem:
            code = int(problem.code)
        else:
            code = int(exit_code(report))
            closed = [row.key for row in report.results if row.status is Status.CLOSED]
        if code == 0:
            broken.append(f"{what}: {errno.errorcode[number]} was not told")
        broken += [f"{what}: {key} was called closed and is there" for key in closed if key in rows(bench.state)]
        broken += bench.finish(what)
    assert broken == []


def test_control_c_is_130_and_the_next_run_finishes(bench: Bench, some: Share) -> None:
    steps = bench.steps()
    for point in some(range(12, len(steps), 8), 3):
        bench.reset()
        try:
            code = int(exit_code(bench.clean(interrupt_at(point))))
        except KeyboardInterrupt:
            code = 130
        assert code == 130
        assert bench.finish(f"^C at {point}") == []


def test_another_command_finishes_it_too(bench: Bench, some: Share) -> None:
    steps = bench.steps()
    broken = []
    for point, when in some(list(kills(steps))[3::4], 3):
        bench.reset()
        assert bench.kill(point, when)
        bench.close("never-seen")
        bench.close("agent:researcher:never-seen")
        what = f"{when} {point} {steps[point]}"
        broken += [f"{what}: {line}" for line in bench.violations()]
        broken += [f"{what}: open run {path}" for path in Path(bench.state, "session-closer").glob("open/*")]
        broken += bench.finish(what)
    assert broken == []


# The restore


@pytest.mark.parametrize("disk", [Counting, Plain])
def test_a_kill_at_any_step_of_the_restore_leaves_each_file_under_one_name(
    state: str, disk: Callable[[At], Counting], some: Share
) -> None:
    bench = Bench(state, disk)
    bench.reset()
    assert exit_code(bench.clean()) == 0
    receipt = next(Path(state, "session-closer", "receipts").iterdir()).stem
    begin, steps, broken = Image.of(state), [], []
    times = {path: path.stat().st_mtime_ns for path in folder(state).parent.parent.rglob("*") if path.is_file()}
    bench.restore(receipt, lambda _, name, when: steps.append(name) if when == "before" else None)
    assert bench.violations(restored=True) == []
    for point, when in some(kills(steps), 4, lambda kill: steps[kill[0]]):
        begin.put(state)
        for path, moment in times.items():
            os.utime(path, ns=(moment, moment))
        assert bench.kill(point, when, lambda at: bench.restore(receipt, at))
        what = f"{when} {point} {steps[point]}"
        broken += [f"{what}: {line}" for line in bench.violations(torn=disk is Plain)]
        back = bench.restore(receipt)
        if exit_code(back) != 0:
            broken.append(f"{what}: the next restore ended with {exit_code(back)}: {back.results}")
        broken += [f"{what}, next: {line}" for line in bench.violations(restored=True)]
    assert broken == []


# Others, in the same moment


def claim(state: str, name: str) -> None:
    """Write a row that refers to a file, as a gateway does."""
    entries = rows(state)
    entries["agent:project-lead:claims"] = {
        "sessionId": name.removesuffix(".jsonl"),
        "updatedAt": int(time.time() * 1000),
    }
    put(folder(state) / "sessions.json", json.dumps(entries, indent=2, ensure_ascii=False))


def orphans_step(bench: Bench, name: str = "lost.jsonl") -> int:
    """Return the number of the step that archives an orphan."""
    found: list[int] = []
    there = folder(bench.state) / name
    bench.reset()

    def at(number: int, step: str, when: str) -> None:
        if when == "after" and not found and not there.exists():
            found.append(number)

    bench.clean(at)
    return found[0]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("killed", [False, True])
def test_a_row_that_begins_to_refer_to_a_file_finds_it(bench: Bench, when: str, killed: bool) -> None:
    point = orphans_step(bench)
    for early in (0, 1, 5) if when == "before" else (0,):
        bench.reset()

        def at(number: int, name: str, moment: str, early: int = early) -> None:
            if (number, moment) == (point - early, when):
                claim(bench.state, "lost.jsonl")
            if killed and (number, moment) == (point, "after"):
                kill_at(point, "after")(number, name, moment)

        if killed:
            assert os.WIFSIGNALED(in_child(lambda: bench.clean(at)))
            report = bench.clean()
            assert exit_code(report) == 0
            assert fileplan.kept_for("lost.jsonl", None) in report.warnings
        else:
            report = bench.clean(at)
            assert exit_code(report) == 0
            assert {row.status for row in report.results} == {Status.CLOSED, Status.ARCHIVED, Status.EXPIRED}
            assert {"lost.jsonl", "lost.trajectory.jsonl"}.isdisjoint(row.given for row in report.results)
        for name in ORPHANS[LEAD]:
            assert (folder(bench.state) / name).read_text() == f"{LEAD} {name}\n"
            assert list(folder(bench.state).glob(f"{name}.*")) == []
        targets = {move["source"] for path in Path(bench.state).glob("session-closer/receipts/*")
                   for store in json.loads(path.read_bytes())["stores"] for move in store["orphans"]}  # fmt: skip
        assert targets == set(ORPHANS[READER])
        assert list(Path(bench.state).glob("session-closer/open/*")) == []


def test_a_file_that_is_made_anew_while_its_orphan_is_archived_loses_neither(bench: Bench) -> None:
    """The row is back, and so is a transcript: both stay, the old one under its archive name."""
    point = orphans_step(bench)
    bench.reset()

    def at(number: int, _name: str, when: str) -> None:
        if (number, when) == (point, "after"):
            put(folder(bench.state) / "lost.jsonl", "anew\n")
            claim(bench.state, "lost.jsonl")

    assert exit_code(bench.clean(at)) == 0
    assert (folder(bench.state) / "lost.jsonl").read_text() == "anew\n"
    (archive,) = folder(bench.state).glob("lost.jsonl.deleted.*")
    assert archive.read_text() == "project-lead lost.jsonl\n"
    assert archive.name in bench.told()


def test_an_orphan_that_is_written_to_before_it_is_archived_stays(bench: Bench) -> None:
    bench.reset()
    done: list[int] = []

    def at(number: int, _name: str, _when: str) -> None:
        if not done:
            done.append(number)
            put(folder(bench.state) / "lost.jsonl", "still in use\n")
            # Nobody has seen this one in the plan.
            put(folder(bench.state) / "late.jsonl", "late\n", 9)

    report = bench.clean(at)
    assert exit_code(report) == 0
    assert [row.given for row in report.results if row.status is Status.ARCHIVED] == ["left.jsonl"]
    assert (folder(bench.state) / "lost.jsonl").read_text() == "still in use\n"
    assert (folder(bench.state) / "late.jsonl").exists()
    assert Status.WOULD_ARCHIVE not in {row.status for row in report.results}


def test_where_nothing_is_left_to_do_under_the_lock_nothing_is_told(bench: Bench) -> None:
    bench.reset()
    done: list[int] = []

    def at(number: int, _name: str, _when: str) -> None:
        if not done:
            done.append(number)
            put(folder(bench.state, READER) / "left.jsonl", "in use again\n")
            for name in bench.old[READER]:
                (folder(bench.state, READER) / name).unlink()

    report = bench.clean(at)
    assert exit_code(report) == 0
    assert READER not in {row.agent for row in report.results}


def test_an_archive_that_a_young_receipt_needs_meanwhile_is_not_freed(bench: Bench) -> None:
    """A restore and another close of the same session may bring an old archive's name into a young receipt."""
    bench.reset()
    (old,) = bench.old[LEAD]
    receipts = Path(bench.state, "session-closer", "receipts")
    for path in (receipts.parent, receipts, receipts.with_name("open")):
        path.mkdir(mode=0o700)
    done: list[Path] = []

    def at(_number: int, name: str, when: str) -> None:
        if not done:
            run = "20200101T000000.000Z-0123abcd"
            moment = datetime.now(UTC).isoformat()
            move = {"source": "gone.jsonl", "target": old, "size": 5, "mtimeNs": 1, "sha256": None}
            store = {"agent": LEAD, "era": "files", "path": str(folder(bench.state) / "sessions.json"),
                     "transcripts": str(folder(bench.state)), "sessions": [], "orphans": [move]}  # fmt: skip
            record = {"format": "session-closer/1", "id": run, "operation": "x", "tool": "0", "startedAt": moment,
                      "finishedAt": moment, "stateDir": bench.state, "state": "done", "stores": [store],
                      "restart": {}}  # fmt: skip
            record["results"] = []
            done.append(put(receipts / f"{run}.json", json.dumps(record)))

    report = bench.clean(at)
    assert done
    assert exit_code(report) == 0
    assert (folder(bench.state) / old).read_text() == "gone\n"
    assert old not in {row.given for row in report.results}


def test_what_an_open_run_speaks_of_is_not_freed_however_old_it_is(bench: Bench) -> None:
    """Its process may be alive: another agent's run, that nobody else can finish."""
    bench.reset()
    point = orphans_step(bench)
    bench.reset()
    assert bench.kill(point, "after")
    (record,) = Path(bench.state).glob("session-closer/open/*/record.json")
    text = read_record(str(record)).raw.decode()
    (archive,) = folder(bench.state).glob("lost.jsonl.deleted.*")
    aged = archive.rename(archive.with_name(f"lost.jsonl.deleted.{stamp(400)}"))
    data = json.loads(text.replace(archive.name, aged.name))
    data["startedAt"] = "2001-01-01T00:00:00Z"
    put(record, json.dumps(data))
    # A living process holds it.
    descriptor = os.open(record.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
        report = bench.clean(stale={}, orphans=None)
    finally:
        os.close(descriptor)
    assert aged.exists()
    assert aged.name not in {row.given for row in report.results}


def test_a_recovered_run_may_be_restored(bench: Bench) -> None:
    """Killed at the end of all, before the receipt: its journal knows every name."""
    steps = bench.steps()
    bench.reset()
    point = max(number for number, name in enumerate(steps) if name == "unlink" and number < len(steps) - 8)
    assert bench.kill(point, "after")
    bench.close("never-seen")
    assert exit_code(bench.restore()) == 0
    for agent, some in ORPHANS.items():
        assert all((folder(bench.state, agent) / name).exists() for name in some)
