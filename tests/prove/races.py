"""Several closers at once on one store, and writers that never pause while sessions are closed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faults.injection import in_child
from faults.oracle import backups, sessions_folder
from faults.scenarios import BATCH, Scenario
from faults.sweep import Bench
from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options, Wish
from session_closer.openclaw.home import Home
from session_closer.operations.close import execute
from session_closer.system.clock import REAL

from .parts import Given, Tally, say

_AGENT = "project-lead"
# Busy, or changed underneath until it gave up: nothing is lost, the same command again goes on.
_AGAIN = (4, 5)
_SLOTS = 40


def closers(given: Given) -> Tally:
    """Let 2 and 8 closers close overlapping sessions of one store at the same time."""
    rounds = 40 if given.everything else 5

    def work(item: tuple[int, int], place: str) -> Tally:
        count, seed = item
        bench = Bench(BATCH, os.path.join(place, "bench"))
        _together(bench, count, random.Random(seed))
        return Tally(bench.tried, bench.broken)

    return given.spread([(count, seed) for count in (2, 8) for seed in range(rounds)], work)


def _together(bench: Bench, count: int, dice: random.Random) -> None:
    wanted = [(agent, key) for agent, of_agent in sorted(BATCH.closing.items()) for key in sorted(of_agent)]
    told = os.path.join(bench.folder, "told")
    go, ready = os.pipe()
    children = []
    for number in range(count):
        # Every session is somebody's; most are several closers'.
        mine = [pair for at, pair in enumerate(wanted) if at % count == number or dice.random() < 0.5]
        dice.shuffle(mine)
        pid = os.fork()
        if pid == 0:
            os.close(ready)
            os.read(go, 1)
            os._exit(in_child(partial(_close_mine, bench.state, mine, told)) >> 8)
        children.append(pid)
    os.close(ready)
    os.close(go)
    for pid in children:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != 0:
            bench.broken.append(f"{count} closers: one ended with {code}")
    bench.tried += 1
    bench.check(f"{count} closers", ended=True)
    with open(told) as file:
        closed = [tuple(json.loads(line)) for line in file]
    if sorted(closed) != sorted(wanted):
        bench.broken.append(f"{count} closers: told as closed: {sorted(closed)}")


def _close_mine(state: str, mine: list[tuple[str, str]], told: str) -> None:
    wish = Wish("close-project-batch", tuple(keys.Target(key, agent, (key,)) for agent, key in mine))
    for _ in range(20):
        report, code = _execute(state, wish)
        if report is not None:
            with open(told, "a") as file:
                file.writelines(
                    json.dumps((row.agent, row.key)) + "\n" for row in report.results if row.status is Status.CLOSED
                )
        if code not in _AGAIN:
            assert code == 0, report
            return
    raise AssertionError("never got through")


def _execute(state: str, wish: Wish) -> tuple[Report | None, int]:
    """Return a run's report and the exit code of its command; no report where it ended before there was a plan."""
    try:
        report = execute(Home(state, "demo", {}, isolated=True), wish, Options())
    except CloserError as problem:
        if problem.code not in _AGAIN:
            raise
        return None, int(problem.code)
    return report, int(exit_code(report))


def writers(given: Given) -> Tally:
    """Close 100 sessions one by one while a gateway without locks, or one with them, writes without a pause."""
    stores = [(locked, seed) for locked in (False, True) for seed in range(4 if given.everything else 1)]
    return given.spread(stores, lambda item, place: _against_a_writer(place, locked=item[0]))


@dataclass
class Writer:
    """A gateway that reads, changes and writes the store again and again, and remembers what was acknowledged.

    It keeps `_SLOTS` entries, each with a number that only grows. What it once wrote and finds gone it notes: each of
    those must be in a backup.
    """

    index: str
    locked: bool
    stop: str
    log: str
    number: int = 0
    acknowledged: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    dice: random.Random = field(default_factory=lambda: random.Random(1))

    def go_on(self) -> None:
        """Write until it is told to stop, then leave what was acknowledged and what was missing."""
        while not os.path.exists(self.stop):
            with self._lock() if self.locked else contextlib.nullcontext(True) as held:
                if held:
                    self._write()
            if self.locked:
                time.sleep(0.0005)
        with open(self.log, "w") as file:
            json.dump([self.number, self.acknowledged, self.missing], file)

    def _write(self) -> None:
        with open(self.index, "rb") as file:
            rows = json.loads(file.read())
        for key, number in self.acknowledged.items():
            if rows.get(key, {}).get("n", -1) < number:
                self.missing[f"{key} {number}"] = number
        self.number += 1
        key = f"agent:{_AGENT}:written-{self.number % _SLOTS}"
        rows[key] = {"sessionId": f"written-{self.number % _SLOTS}", "n": self.number}
        temp = f"{self.index}.{os.getpid()}.tmp"
        with open(temp, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(rows, file, indent=2, ensure_ascii=False)
        os.rename(temp, self.index)
        self.acknowledged[key] = self.number

    @contextlib.contextmanager
    def _lock(self) -> Any:
        """Take `sessions.json.lock` as OpenClaw up to 2026.4 does: create it, or wait."""
        path = self.index + ".lock"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            yield False
            return
        os.write(descriptor, json.dumps({"pid": os.getpid(), "createdAt": REAL.iso_now()}).encode())
        os.close(descriptor)
        try:
            yield True
        finally:
            os.unlink(path)


def _many_sessions(state: str) -> None:
    folder = sessions_folder(state, _AGENT)
    os.makedirs(folder, 0o700)
    rows = {f"agent:{_AGENT}:main": {"sessionId": "main"}}
    for number in range(100):
        rows[f"agent:{_AGENT}:p{number:03}"] = {"sessionId": f"p{number:03}"}
        for name in (f"p{number:03}.jsonl", "main.jsonl"):
            with open(os.path.join(folder, name), "w") as file:
                file.write(name)
    with open(os.path.join(folder, "sessions.json"), "w", opener=lambda n, f: os.open(n, f, 0o600)) as file:
        json.dump(rows, file, indent=2)


def _against_a_writer(place: str, *, locked: bool) -> Tally:
    name = "a writer with locks" if locked else "a writer without locks"
    scenario = Scenario(name, BATCH.wish, {}, build=_many_sessions)
    bench = Bench(scenario, os.path.join(place, "bench"))
    index = bench.world.paths[_AGENT]
    writer = Writer(index, locked, os.path.join(bench.folder, "stop"), os.path.join(bench.folder, "log"))
    pid = os.fork()
    if pid == 0:
        os._exit(0 if _quietly(writer.go_on) else 1)
    told: dict[str, str] = {}
    try:
        for number in range(100):
            key = f"agent:{_AGENT}:p{number:03}"
            told[key] = _close_one(bench, key)
    finally:
        with open(writer.stop, "w"):
            pass
        if os.waitpid(pid, 0)[1]:
            bench.broken.append(f"{name}: the writer could not read the store")
    _judge(bench, name, told, writer.log)
    return Tally(bench.tried, bench.broken)


def _quietly(work: Callable[[], None]) -> bool:
    signal.alarm(600)
    try:
        work()
    except Exception as problem:
        say(f"    the writer: {problem!r}")
        return False
    return True


def _close_one(bench: Bench, key: str) -> str:
    wish = Wish("close-project", (keys.Target(key, _AGENT, (key,)),))
    for _ in range(10):
        report, code = _execute(bench.state, wish)
        if report is not None and report.error is None:
            return str(report.results[0].status)
        if report is not None and code not in _AGAIN:
            bench.broken.append(f"{bench.scenario.name}: {key}: {report.error}")
            break
    return "gave up"


def _judge(bench: Bench, name: str, told: dict[str, str], log: str) -> None:
    """No acknowledged write is missing from every file, nothing kept is lost, nothing closed is there."""
    index = bench.world.paths[_AGENT]
    with open(log) as file:
        number, acknowledged, missing = json.load(file)
    bench.tried += len(told)
    with open(index, "rb") as file:
        store = json.loads(file.read())
    kept: dict[str, set[int]] = {}
    for path in backups(index):
        with open(path, "rb") as file:
            for key, row in json.loads(file.read()).items():
                kept.setdefault(key, set()).add(row.get("n", -1))
    for key, last in acknowledged.items():
        if store.get(key, {}).get("n", -1) < last and not any(n >= last for n in kept.get(key, ())):
            bench.broken.append(f"{name}: write {last} of {key} is nowhere")
    for text in missing:
        key, _, last = text.rpartition(" ")
        if int(last) not in kept.get(key, set()):
            bench.broken.append(f"{name}: write {last} of {key} was lost and is in no backup")
    for key, status in told.items():
        if status in ("closed", "already_closed") and key in store and not name.endswith("without locks"):
            bench.broken.append(f"{name}: {key} was called {status} and is there")
        if status == "came_back" and key not in store:
            bench.broken.append(f"{name}: {key} was called came_back and is gone")
    found = [key for key in bench.was(_AGENT) if key not in store and not kept.get(key)]
    bench.broken += [f"{name}: {key} is in no backup" for key in found]
    counts = {status: list(told.values()).count(status) for status in sorted(set(told.values()))}
    say(f"    {name}: {number:,} writes, {len(missing)} missing from the store for a while, {counts}")
    # No writer any more: what is left is closed, and everything is where it belongs.
    for key in told:
        if _close_one(bench, key) not in ("closed", "already_closed"):
            bench.broken.append(f"{name}: {key} cannot be closed when nobody writes")
    written = [(_AGENT, key, store[key]) for key in store if ":written-" in key]
    bench.broken += [f"{name}: at the end: {line}" for line in _end(bench, written, set(told))]


def _end(bench: Bench, written: list[tuple[str, str, Any]], closed: set[str]) -> list[str]:
    found = []
    with open(bench.world.paths[_AGENT], "rb") as file:
        store = json.loads(file.read())
    if set(store) != {f"agent:{_AGENT}:main", *(key for _, key, _ in written)}:
        found.append(f"the store holds {sorted(store)}")
    names = os.listdir(sessions_folder(bench.state, _AGENT))
    for key in closed:
        live = key.rpartition(":")[2] + ".jsonl"
        if len([name for name in names if name.startswith(live)]) != 1 or live in names:
            found.append(f"{live} is in {[name for name in names if name.startswith(live)]}")
    found += [f"{name} left behind" for name in names if "session-closer-" in name or ".lock" in name]
    return found
