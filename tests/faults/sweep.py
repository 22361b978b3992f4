"""Disks that fail on purpose, the scenarios they fail in, and a bench to run one injection after another on."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import json
import os
import shutil
import signal
import stat
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from os import listdir
from typing import Any, NamedTuple

from faults.looks import OPENS, AtLook, Looks, fail_look
from faults.oracle import Written, backups, default_index, look, sessions_folder, violations
from session_closer.cli import demo
from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.model import Status
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.openclaw.home import Home
from session_closer.operations import restore
from session_closer.operations.close import execute
from session_closer.system.disk import Disk
from support.early import import_all

import_all()

# Made of other steps, which can be killed between.
COMPOSED = frozenset({"rename_new", "take_name"})
STEPS = sorted(
    {name for name, _ in inspect.getmembers(Disk, inspect.isfunction) if not name.startswith("_")} - COMPOSED
)
# A kill before and after these leaves the same disk: only a power cut tells them apart.
NO_CHANGE = frozenset({"sync", "sync_folder", "close"})
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.EINTR)
TARGETS = (
    "kelly-dashboard",
    "hydration-tracker",
    "cron:nightly-report",
    "invoice-import",
    "agent:researcher:kelly-dashboard",
)
CLOSING = {
    "project-lead": {
        "agent:project-lead:kelly-dashboard",
        "agent:project-lead:project-kelly-dashboard",
        "agent:project-lead:project-hydration-tracker",
        "project-hydration-tracker",
        "agent:project-lead:cron:nightly-report",
        "agent:project-lead:invoice-import",
    },
    "researcher": {"agent:researcher:kelly-dashboard"},
}
# Called before and after each step: number, name, "before" or "after".
At = Callable[[int, str, str], None]


class Counting(Disk):
    """A disk that calls `at(number, name, when)` before and after each step."""

    def __init__(self, at: At) -> None:
        self.calls = 0
        self.at = at


def _wrap(name: str) -> Callable[..., Any]:
    real = getattr(Disk, name)

    def step(self: Counting, *arguments: Any) -> Any:
        number = self.calls
        self.calls += 1
        self.at(number, name, "before")
        try:
            return real(self, *arguments)
        finally:
            self.at(number, name, "after")

    return step


for _name in STEPS:
    setattr(Counting, _name, _wrap(_name))


class Plain(Counting):
    """A file system that can neither exchange nor rename without replacing: NFS."""

    def rename_exclusive(self, source: str, target: str) -> bool:
        return False

    def exchange(self, one: str, other: str) -> bool:
        return False


class Bare(Plain):
    """One that has no hard links either: virtiofs, FUSE, what Android shares."""

    def link(self, source: str, target: str) -> bool:
        return False


class Torn(Disk):
    """A disk that writes at most three bytes at a time."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:3])


class Tearing(Counting):
    """A disk on which the write that is step number `point` puts down `share` of its bytes, then calls `then`."""

    def __init__(self, at: At, point: int, share: float, then: Callable[[], None]) -> None:
        super().__init__(at)
        self.point, self.share, self.then = point, share, then

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.calls != self.point:
            return int(super().write(descriptor, data))
        self.calls += 1
        written = os.write(descriptor, data[: int(len(data) * self.share)])
        self.then()
        return written


def nothing(_number: int, _name: str, _when: str) -> None:
    """Let every step go through."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: int, when: str) -> At:
    """Kill before or after one step."""

    def at(number: int, _name: str, moment: str) -> None:
        if (number, moment) == (point, when):
            kill()

    return at


def fail_at(point: int, when: str, number: int) -> At:
    """Fail at one step: before it has an effect, or after it had one."""

    def at(step: int, _name: str, moment: str) -> None:
        if (step, moment) == (point, when):
            raise OSError(number, os.strerror(number), "injected")

    return at


def fail_from(point: int, names: Iterable[str], number: int) -> At:
    """Fail at every step of these names, from one step on: a disk that is full stays full."""
    failing = frozenset(names)

    def at(step: int, name: str, moment: str) -> None:
        if step >= point and moment == "before" and name in failing:
            raise OSError(number, os.strerror(number), "injected")

    return at


def interrupt_at(point: int) -> At:
    """Press control-C before one step."""

    def at(step: int, _name: str, moment: str) -> None:
        if (step, moment) == (point, "before"):
            raise KeyboardInterrupt

    return at


def in_child(work: Callable[[], Any]) -> int:
    """Run something in a forked process; return its wait status. A traceback there is an exit code of 99."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def batch(state: str, disk: Disk) -> Report:
    """Run the batch of every sweep: two agents, bare and legacy keys, shared transcripts."""
    return BATCH.run(state, disk)


def killed_at(state: str, point: int, when: str) -> bool:
    """Run the batch and kill it with SIGKILL before or after its step number `point`; tell whether it was hit."""
    status = in_child(lambda: batch(state, Counting(kill_at(point, when))))
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def fresh(template: str, state: str) -> str:
    """Return a fresh copy of a state directory, in the same place each time: transcripts are named by path."""
    shutil.rmtree(state, ignore_errors=True)
    shutil.copytree(template, state)
    return state


class Image:
    """A directory tree held in memory: by relative path its mode and bytes, None for a folder.

    `links` names what has the same inode as another path.
    """

    def __init__(self, nodes: dict[str, tuple[int, bytes | None]], links: dict[str, str] | None = None) -> None:
        self.nodes = nodes
        self.links = links or {}

    @classmethod
    def of(cls, path: str) -> Image:
        nodes: dict[str, tuple[int, bytes | None]] = {"": (stat.S_IMODE(os.lstat(path).st_mode), None)}
        links: dict[str, str] = {}
        seen: dict[int, str] = {}
        for place, folders, names in os.walk(path):
            for name in (*folders, *names):
                full = os.path.join(place, name)
                relative, found = os.path.relpath(full, path), os.lstat(full)
                nodes[relative] = (stat.S_IMODE(found.st_mode), None if name in folders else _bytes(full))
                if name not in folders and seen.setdefault(found.st_ino, relative) != relative:
                    links[relative] = seen[found.st_ino]
        return cls(nodes, links)

    @property
    def mark(self) -> str:
        """What tells this tree from others."""
        return hashlib.sha256(repr((sorted(self.nodes.items()), sorted(self.links.items()))).encode()).hexdigest()

    def content(self, root: str, path: str) -> bytes | None:
        """Return the bytes of a file below the tree's root."""
        return self.nodes[os.path.relpath(path, root)][1]

    def put(self, path: str) -> None:
        """Make the tree at `path` this one."""
        shutil.rmtree(path, ignore_errors=True)
        for relative, (mode, content) in sorted(self.nodes.items()):
            full = os.path.join(path, relative) if relative else path
            if content is None:
                os.mkdir(full, 0o700)
            elif relative not in self.links:
                descriptor = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(descriptor, content)
                os.close(descriptor)
            else:
                continue
            os.chmod(full, mode)
        for relative, other in self.links.items():
            os.link(os.path.join(path, other), os.path.join(path, relative))


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def in_json(rows: Mapping[str, Any]) -> bytes:
    """Return a store as OpenClaw writes it."""
    return json.dumps(rows, indent=2, ensure_ascii=False).encode()


@dataclass(frozen=True)
class Scenario:
    """A store, what is asked of it, and who else writes: `meddle(bench, index, agent)` while a new store waits."""

    name: str
    wish: Wish
    closing: dict[str, set[str]]
    build: Callable[[str], None] = demo.build
    index: Callable[[str, str], str] = default_index
    disk: Callable[[At], Counting] = Counting
    meddle: Callable[[Bench, str, str], None] | None = None
    meddle_at: tuple[tuple[str, str], ...] = (("exchange", "before"), ("rename", "before"))

    restores: bool = False
    # Kills and errors of its recovery, and power cuts, only with everything.
    rare: bool = False

    def begin(self, state: str) -> None:
        """Bring the state to where the scenario begins, once the world was looked at."""
        if self.restores:
            assert exit_code(execute(Home(state, "demo", {}, isolated=True), self.wish, Options())) == 0

    def run(self, state: str, disk: Disk) -> Report:
        if self.restores:
            # Not a look of the run's own.
            receipt = min(listdir(os.path.join(state, "session-closer", "receipts")))
            ask = restore.Ask(receipt.removesuffix(".json"))
            return restore.execute(Home(state, "demo", {}, isolated=True), ask, Options(), disk=disk)
        return execute(Home(state, "demo", {}, isolated=True), self.wish, Options(), disk=disk)


def _custom_index(state: str, agent: str) -> str:
    return os.path.join(state, "stores", f"{agent}.json")


def _build_custom(state: str) -> None:
    """Put the indexes of all agents into one folder, each readable by its group."""
    demo.build(state)
    os.mkdir(os.path.join(state, "stores"), 0o700)
    for agent in os.listdir(os.path.join(state, "agents")):
        os.rename(default_index(state, agent), _custom_index(state, agent))
        os.chmod(_custom_index(state, agent), 0o640)
    with open(os.path.join(state, "openclaw.json"), "w") as file:
        json.dump({"session": {"store": _custom_index(state, "{agentId}")}}, file)


def _build_shared(state: str) -> None:
    """Give two entries that are closed the same transcript, and the archive name of another is taken already."""
    demo.build(state)
    folder = sessions_folder(state, "project-lead")
    path = os.path.join(folder, "sessions.json")
    rows = json.loads(_bytes(path))
    rows["agent:project-lead:twin"] = dict(rows["agent:project-lead:invoice-import"])
    rows["agent:project-lead:topics"] = {"sessionId": "topics"}
    for name in ("topics-topic-7.jsonl", "topics-topic-7%3Ax.jsonl", "orphan.jsonl.reset.2016-11-01T00-00-00.000Z"):
        with open(os.path.join(folder, name), "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(name)
    with open(path, "w") as file:
        json.dump(rows, file, indent=2, ensure_ascii=False)


def _others_write(bench: Bench, index: str, agent: str) -> None:
    """Write as a gateway without locks does: a new entry, a kept one changed, a closed one in use again."""
    number = sum(owner == agent for owner, _, _ in bench.written()) // 3
    if number >= 2:
        return
    rows = json.loads(_bytes(index))
    closing = sorted(bench.scenario.closing.get(agent, set()))
    kept = next(key for key in rows if key not in closing)
    changes = {
        f"agent:{agent}:written-{number}": {"sessionId": f"written-{number}"},
        kept: {**rows[kept], "label": f"written {number}"},
        closing[0]: {**bench.was(agent)[closing[0]], "label": f"in use again {number}"},
    }
    bench.write(index, agent, {**rows, **changes}, changes)


def _write_stale(bench: Bench, index: str, agent: str) -> None:
    """Write what was read before the exchange back after it, with a new entry: what a cache does."""
    if any(owner == agent for owner, _, _ in bench.written()):
        return
    added = {f"agent:{agent}:written": {"sessionId": "written"}}
    bench.write(index, agent, {**bench.was(agent), **added}, added)


def _wish(*words: str, keep: str | None = None) -> Wish:
    return Wish("close-project-batch", tuple(keys.target(word, keep) for word in words), keep=bool(keep), agent=keep)


_KEPT = {"agent:project-lead:main", "agent:project-lead:invoice-import", "agent:project-lead:never-spoken"}
_ALL = [
    "agent:project-lead:invoice-import-review",
    "agent:project-lead:telegram:group:-1001234",
    "agent:project-lead:cron:nightly-report:run:7f3a",
    "agent:project-lead:subagent:2b1c",
]
BATCH = Scenario("batch", _wish(*TARGETS), CLOSING)
SCENARIOS = (
    BATCH,
    Scenario(
        "keep-only",
        _wish("invoice-import", "never-spoken", keep="project-lead"),
        {"project-lead": (CLOSING["project-lead"] | set(_ALL)) - _KEPT},
    ),
    Scenario(
        "shared transcripts",
        _wish("invoice-import", "twin", "topics", "cron:nightly-report", "agent:project-lead:invoice-import-review"),
        {
            "project-lead": {
                f"agent:project-lead:{tail}"
                for tail in ("invoice-import", "twin", "topics", "cron:nightly-report", "invoice-import-review")
            }
        },
        build=_build_shared,
    ),
    Scenario("custom session.store", _wish(*TARGETS), CLOSING, build=_build_custom, index=_custom_index),
    Scenario("displaced", _wish(*TARGETS), CLOSING, meddle=_others_write),
    Scenario("stale", _wish(*TARGETS), CLOSING, meddle=_write_stale, meddle_at=(("exchange", "after"),)),
    Scenario("no renameat2", _wish(*TARGETS), CLOSING, disk=Plain),
    Scenario("no links", _wish(*TARGETS), CLOSING, disk=Bare),
    Scenario("restore", _wish(*TARGETS), CLOSING, restores=True),
    Scenario("restore, custom session.store", _wish(*TARGETS), CLOSING, _build_custom, _custom_index, restores=True),
    Scenario("restore, no renameat2", _wish(*TARGETS), CLOSING, disk=Plain, restores=True),
    Scenario("restore, no links", _wish(*TARGETS), CLOSING, disk=Bare, restores=True, rare=True),
)


class Ended(NamedTuple):
    """How one run in a process of its own ended: exit code, None where it was killed; rows as it told them.

    `steps` are those of its disk, `looks` what it looked at, where that was watched.
    """

    code: int | None
    closed: list[tuple[str, str]] = []  # noqa: RUF012
    restored: list[tuple[str, str]] = []  # noqa: RUF012
    steps: list[str] = []  # noqa: RUF012
    looks: list[str] = []  # noqa: RUF012


@dataclass
class Bench:
    """A place where a scenario is run again and again, each time from the same start."""

    scenario: Scenario
    folder: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = os.path.join(os.path.realpath(self.folder), "state")
        self.log = os.path.join(self.folder, "written")
        os.makedirs(self.state, mode=0o700)
        self.scenario.build(self.state)
        self.world = look(self.state, self.scenario.index)
        self.scenario.begin(self.state)
        self.start = self.began = Image.of(self.state)

    def reset(self, image: Image | None = None, written: Written = ()) -> None:
        """Go back to the start, or to another state that was reached from it."""
        self.began = image or self.start
        self.began.put(self.state)
        self.world = self.world.fresh()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.log)
        if written:
            self._note(written)

    def was(self, agent: str) -> dict[str, Any]:
        """Return an agent's entries as they were at the start."""
        return dict(json.loads(self.world.indexes[agent]))

    def written(self) -> list[tuple[str, str, Any]]:
        """Return what others wrote, once their rename had returned."""
        if not os.path.exists(self.log):
            return []
        return [(agent, key, value) for agent, key, value in map(json.loads, _bytes(self.log).splitlines())]

    def write(self, index: str, agent: str, rows: dict[str, Any], noted: dict[str, Any]) -> None:
        """Write a store as somebody else, and note which entries that acknowledges."""
        temp = f"{index}.{os.getpid()}.tmp"
        with open(temp, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(in_json(rows))
        os.chmod(temp, self.world.modes[agent])
        os.rename(temp, index)
        self._note([(agent, key, value) for key, value in noted.items()])

    def _note(self, written: Iterable[tuple[str, str, Any]]) -> None:
        with open(self.log, "a") as file:
            file.writelines(json.dumps(line) + "\n" for line in written)

    def run(
        self,
        at: At = nothing,
        *,
        meddling: bool = True,
        disk: Callable[[At], Disk] | None = None,
        look: AtLook | None = None,
        looks: tuple[str, ...] = OPENS,
    ) -> Ended:
        """Run the scenario in a process of its own; `look` is called before each of its `looks`."""
        reading, writing = os.pipe()
        names: list[str] = []
        meddle = self.scenario.meddle if meddling else None

        def step(number: int, name: str, when: str) -> None:
            if when == "before":
                names.append(name)
            if meddle is not None and (name, when) in self.scenario.meddle_at:
                # Which agent's store it is shows in the lock that is held.
                for agent, index in self.world.paths.items():
                    if os.path.lexists(index + ".session-closer-swap"):
                        meddle(self, index, agent)
            at(number, name, when)

        watched = Looks(self.state, look, looks) if look is not None else None

        def work() -> None:
            if watched is not None:
                watched.watch()
            try:
                report = self.scenario.run(self.state, (disk or self.scenario.disk)(step))
            except KeyboardInterrupt:
                code, closed, restored = 130, [], []
            except CloserError as problem:
                code, closed, restored = int(problem.code), [], []
            else:
                code = int(exit_code(report))
                told = [(row.agent, row.key, row.status) for row in report.results]
                closed = [(agent, key) for agent, key, status in told if status is Status.CLOSED]
                restored = [(agent, key) for agent, key, status in told if status is Status.RESTORED]
            seen = watched.seen if watched is not None else []
            os.write(writing, json.dumps((code, closed, restored, names, seen)).encode())

        status = in_child(work)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
            return Ended(None)
        if os.WEXITSTATUS(status) != 0:
            self.broken.append("a traceback")
            return Ended(99)
        return Ended(*json.loads(told))

    def steps(self, image: Image | None = None, written: Written = ()) -> list[str]:
        """Return the names of the steps of an undisturbed run from a state."""
        self.reset(image, written)
        return self.run(meddling=False).steps

    def check(self, what: str, *, ended: bool = False, torn: bool = False) -> None:
        """Note which invariants do not hold now; `torn`: as for violations()."""
        found = violations(
            self.world,
            {} if ended and self.scenario.restores else self.scenario.closing,
            ended=ended,
            written=self.written(),
            torn=(torn or self.scenario.disk is Plain) and not ended,
        )
        self.broken += [f"{self.scenario.name}: {what}: {line}" for line in found]

    def check_left(self, what: str) -> None:
        """Note a run that failed, changed nothing, and left a backup: each try would leave one more."""
        for agent, index in self.world.paths.items():
            start = {os.path.join(self.state, path) for path in self.began.nodes}
            more = set(backups(index)) - start
            if more and _bytes(index) == self.began.content(self.state, index) and not self.records():
                self.broken.append(f"{self.scenario.name}: {what}: {agent}: left {sorted(map(os.path.basename, more))}")

    def records(self) -> list[str]:
        """Return the records that may name a backup: of runs that have not ended, and receipts that are new."""
        root = os.path.join(self.state, "session-closer")
        there = {os.path.join(place, name) for place, _, names in os.walk(root) for name in names}
        receipts = {os.path.join(self.state, path) for path in self.began.nodes if "/receipts/" in path}
        return sorted(there - receipts)

    def check_words(self, what: str, ended: Ended) -> None:
        """Note what the program called closed although it is there, or restored although it is not."""
        for agent, key in ended.closed:
            if key in json.loads(_bytes(self.world.paths[agent])):
                self.broken.append(f"{self.scenario.name}: {what}: {key} was called closed and is there")
        for agent, key in ended.restored:
            if key not in json.loads(_bytes(self.world.paths[agent])):
                self.broken.append(f"{self.scenario.name}: {what}: {key} was called restored and is not there")

    def finish(self, what: str) -> None:
        """Count an injection: whatever it left must hold, and the next run must put it right."""
        self.tried += 1
        self.check(what)
        ended = self.run(meddling=False)
        if ended.code is None or ended.code in (99, 130):
            self.broken.append(f"{self.scenario.name}: {what}: the next run ended with {ended.code}")
        self.check_words(f"{what}, next run", ended)
        self.check(f"{what}, next run", ended=True)

    def kill(self, point: int, when: str, image: Image | None = None, written: Written = ()) -> bool:
        """Kill a run at a step; tell whether it came to that."""
        self.reset(image, written)
        return self.run(kill_at(point, when)).code is None

    def error(self, what: str, at: At, image: Image | None = None, written: Written = (), *, once: bool = True) -> None:
        """Inject errors into a run that goes on after them; they must be told. `once`: one, so it can put away."""
        self.reset(image, written)
        mark = os.path.join(self.folder, "hit")

        def noticing(number: int, name: str, when: str) -> None:
            try:
                at(number, name, when)
            except BaseException:
                with open(mark, "w"):
                    raise

        with contextlib.suppress(FileNotFoundError):
            os.unlink(mark)
        ended = self.run(noticing)
        if not os.path.exists(mark):
            return
        if ended.code == 0 and image is not None and self.scenario.restores:
            # A restore tries twice to finish an interrupted run, and tells why the first try failed.
            self.check(f"{what}, overcome", ended=True)
        elif ended.code == 0:
            self.broken.append(f"{self.scenario.name}: {what}: was not told")
        self.check_words(what, ended)
        if once:
            self.check_left(what)
        self.finish(what)

    def fail_look(
        self,
        point: int,
        number: int,
        what: str,
        image: Image | None = None,
        written: Written = (),
        looks: tuple[str, ...] = OPENS,
    ) -> None:
        """Let one look of a run fail: it is told, or all is as if nothing had failed."""
        self.reset(image, written)
        ended = self.run(look=fail_look(point, number), looks=looks)
        if ended.code == 0:
            self.check(f"{what}, not told", ended=True)
        self.check_left(what)
        self.check_words(what, ended)
        self.finish(what)


def first_kills(bench: Bench, *, every: bool) -> Iterator[tuple[int, str]]:
    """Yield the kills after which a recovery has something else to do than after the one before; or all of them."""
    for point, name in enumerate(bench.steps()):
        for when in ("before", "after"):
            if every or (when == "after" and name not in NO_CHANGE):
                yield point, when
