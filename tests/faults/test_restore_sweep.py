"""Kill or fail at every step of a restore: each session stays closed or is whole again, and the next run ends it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faults.databases import AGENTS, ERRORS
from faults.injection import NO_CHANGE, Counting, fail_at, in_child, kill_at
from faults.oracle import BESIDE, STAMP
from faults.scenarios import CLOSING, batch
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.core import keys
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError
from session_closer.core.report import Report
from session_closer.core.wish import Options, Wish
from session_closer.journal import stores
from session_closer.openclaw.files import document
from session_closer.openclaw.files.members import Document
from session_closer.openclaw.home import Home
from session_closer.openclaw.installation import Installation
from session_closer.openclaw.sqlite import importer as importing
from session_closer.openclaw.sqlite import returnable
from session_closer.operations import restore as restoring
from session_closer.operations.close import execute
from session_closer.operations.restore import Ask
from session_closer.system.disk import Disk
from support.commands import run_json
from support.gateway import stub_gateway
from support.importer import import_files
from support.keys import LEAD, RESEARCHER
from support.shares import Share
from support.sqlite import build_sqlite
from support.stores import TOKEN, Store

ARCHIVE = re.compile(rf"(.+)\.(?:deleted|bak)\.{STAMP}(?:\.[0-9a-f]{{32}}\.zst)?")
KELLY = "agent:project-lead:kelly-dashboard"


def scan(raw: bytes) -> Document[None]:
    """Return the members of a store; CloserError where it is none."""
    return document.scan(raw, document.nothing)


class Sight(NamedTuple):
    """The sessions folders: bytes of each index, hash of each other file, by agent."""

    indexes: dict[str, bytes]
    files: dict[str, dict[str, str]]

    @classmethod
    def of(cls, state: str) -> Sight:
        folders = {path.parent.name: path for path in Path(state, "agents").glob("*/sessions")}
        found = {
            agent: {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
            for agent, folder in folders.items()
        }
        indexes = {
            agent: (folder / "sessions.json").read_bytes()
            for agent, folder in folders.items()
            if (folder / "sessions.json").exists()
        }
        rest = {agent: {n: d for n, d in names.items() if n != "sessions.json"} for agent, names in found.items()}
        return cls(indexes, rest)


class Bench:
    """A state directory in which two agents' sessions are closed, to begin with again and again.

    `changed`: the agents whose stores were written to since the close.
    """

    changed: frozenset[str] = frozenset()

    def __init__(self, state: str, change: Callable[[str], None] = lambda state: None) -> None:
        self.state = state
        self.whole = Sight.of(state)
        assert exit_code(batch(state, Disk())) == 0
        change(state)
        self.closed = Sight.of(state)
        self.begin = state + "-closed"
        shutil.copytree(state, self.begin)

    def reset(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.begin, self.state)

    def restore(self, disk: Disk) -> Report:
        return restoring.execute(Home(self.state, "demo", {}, isolated=True), Ask("last"), Options(), disk=disk)

    def steps(self) -> list[str]:
        names: list[str] = []
        self.reset()
        report = self.restore(Counting(lambda _, name, when: names.append(name) if when == "before" else None))
        assert exit_code(report) == 0
        return names

    def kill(self, point: int, when: str = "after") -> bool:
        """Kill a restore at a step; tell whether it came to that."""
        status = in_child(lambda: self.restore(Counting(kill_at(point, when))))
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
        return os.WIFSIGNALED(status)

    def next_run(self) -> list[str]:
        """Give the command once more; what it says or leaves that it should not."""
        report = self.restore(Disk())
        words = [f"{row.key} {row.status}: {row.error}" for row in report.results]
        code = int(exit_code(report))
        return [] if code == 0 else [f"the next run ended with {code}: {report.error} {words}"]

    def violations(self, *, ended: bool) -> list[str]:
        """Return what is broken; `ended`: after a run that was not disturbed."""
        found = []
        now = Sight.of(self.state)
        for agent, raw in self.whole.indexes.items():
            try:
                store = scan(now.indexes[agent])
            except (KeyError, CloserError) as problem:
                found.append(f"{agent}: no store: {problem!r}")
                continue
            found += [f"{agent}: {line}" for line in self._agent(agent, scan(raw), store, now.files[agent])]
            if ended:
                found += [f"{agent}: end: {line}" for line in self._ended(agent, now)]
        own = Path(self.state, "session-closer")
        found += [f"others may read {path.name}" for path in own.rglob("*") if path.lstat().st_mode & 0o077]
        if ended:
            found += [f"end: open run {path.name}" for path in own.glob("open/*")]
            for path in own.glob("receipts/*.json"):
                if json.loads(path.read_bytes())["state"] != "done":
                    found.append(f"end: {path.name} is not done")
        return found

    def _agent(self, agent: str, was: Document[Any], store: Document[Any], files: dict[str, str]) -> Iterator[str]:
        closed = scan(self.closed.indexes[agent])
        entries = {key: json.loads(was.value_bytes(key) or b"") for key in was.members}
        for key in was.members:
            value = store.value_bytes(key)
            if key not in CLOSING.get(agent, set()) and value != closed.value_bytes(key):
                yield f"{key} was not asked for and is not as it was"
            if key in CLOSING.get(agent, set()) and value not in (None, was.value_bytes(key)):
                yield f"{key} is another one"
        yield from (f"{key} appeared" for key in store.members if key not in was.members and key not in closed.members)
        known = set(self.closed.files[agent])
        for live, digest in self.whole.files[agent].items():
            archives = [name for name in files if (m := ARCHIVE.fullmatch(name)) and m[1] == live]
            places = [name for name in (live,) if name in files] + archives
            known.update(places)
            if len(places) != 1 or files[places[0]] != digest:
                yield f"{live} is in {places}"
            owners = [key for key, entry in entries.items() if live.startswith(str(entry.get("sessionId")))]
            if places != [live] and any(key in store.members for key in owners):
                yield f"{live} is archived, and its entry is there"
        for name in set(files) - known:
            if not BESIDE.fullmatch(name):
                yield f"{name} appeared"
        images = {hashlib.sha256(raw).hexdigest() for raw in (was.raw, closed.raw)}
        for name, digest in files.items():
            if ".json.bak-" in name and digest not in images:
                yield f"{name} is no image of a store that was"

    def _ended(self, agent: str, now: Sight) -> Iterator[str]:
        store, was = scan(now.indexes[agent]), scan(self.whole.indexes[agent])
        if agent not in self.changed and now.indexes[agent] != self.whole.indexes[agent]:
            yield "the store is not what it was"
        for key in CLOSING.get(agent, set()):
            if store.value_bytes(key) != was.value_bytes(key):
                yield f"{key} is not back"
        names = {name: digest for name, digest in now.files[agent].items() if ".json.bak-" not in name}
        if names != self.whole.files[agent]:
            yield f"files differ: {sorted(set(names.items()) ^ set(self.whole.files[agent].items()))}"


@pytest.fixture(params=[stores.LARGE, 1], ids=["whole", "store-by-store"])
def bench(request: pytest.FixtureRequest, state: str, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(stores, "LARGE", request.param)
    return Bench(state)


def kills(names: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the kills that leave a disk which none before them has left."""
    yield 0, "before"
    for point, name in enumerate(names):
        if name not in NO_CHANGE:
            yield point, "after"


def test_an_undisturbed_restore_brings_everything_back(bench: Bench) -> None:
    assert bench.violations(ended=False) == []
    assert bench.restore(Disk()).error is None
    assert bench.violations(ended=True) == []


def test_a_kill_at_any_step_leaves_each_session_closed_or_whole_and_the_next_run_brings_all_back(
    bench: Bench, some: Share
) -> None:
    names = bench.steps()
    assert len(names) > 40
    broken = []
    for point, when in some(kills(names), 5, lambda kill: names[kill[0]]):
        bench.reset()
        assert bench.kill(point, when), f"step {point} was not reached"
        broken += [f"{when} {point} {names[point]}: {line}" for line in bench.violations(ended=False)]
        left = [*bench.next_run(), *bench.violations(ended=True)]
        broken += [f"{when} {point} {names[point]}, next run: {line}" for line in left]
    assert broken == []


def test_entries_come_back_at_the_end_after_a_kill_too_where_the_store_has_changed(state: str, some: Share) -> None:
    def change(state: str) -> None:
        for agent in ("project-lead", "researcher"):
            path = Path(state, "agents", agent, "sessions", "sessions.json")
            rows = {**json.loads(path.read_bytes()), f"agent:{agent}:new": {"sessionId": "new"}}
            path.write_text(json.dumps(rows, indent=2))

    bench = Bench(state, change)
    bench.changed = frozenset({"project-lead", "researcher"})
    names = bench.steps()
    broken = []
    for point, when in some(list(kills(names))[::3], 3):
        bench.reset()
        assert bench.kill(point, when)
        broken += [f"{when} {point} {names[point]}: {line}" for line in bench.violations(ended=False)]
        left = [*bench.next_run(), *bench.violations(ended=True)]
        broken += [f"{when} {point} {names[point]}, next run: {line}" for line in left]
    assert broken == []


def test_a_kill_of_the_recovery_at_any_of_its_steps_loses_nothing(bench: Bench, some: Share) -> None:
    names = bench.steps()
    broken, tried = [], 0
    for first in some([point for point, when in kills(names) if when == "after"][4::9], 1):
        for second in some(range(0, 60, 7), 4):
            bench.reset()
            assert bench.kill(first)
            if not bench.kill(second):
                break
            tried += 1
            broken += [f"{first}/{second}: {line}" for line in bench.violations(ended=False)]
            left = [*bench.next_run(), *bench.violations(ended=True)]
            broken += [f"{first}/{second}, next run: {line}" for line in left]
    assert tried >= some.least(5)
    assert broken == []


def test_an_error_at_any_step_is_told_and_the_next_run_brings_all_back(bench: Bench, some: Share) -> None:
    names = bench.steps()
    broken = []
    points = [point for point, name in enumerate(names) if name not in NO_CHANGE or point % 3 == 0]
    for point in some(points, 4, names.__getitem__):
        number = ERRORS[point % len(ERRORS)]
        bench.reset()
        words: list[str] = []
        try:
            report = bench.restore(Counting(fail_at(point, "before", number)))
        except CloserError:
            code = 1
        else:
            code = int(exit_code(report))
            words = [row.key for row in report.results if row.status == "restored"]
        what = f"{point} {names[point]}"
        if code == 0:
            broken.append(f"{what}: {errno.errorcode[number]} was not told")
        for key in words:
            agent = key.split(":")[1] if key.startswith("agent:") else "project-lead"
            if key not in json.loads(Sight.of(bench.state).indexes[agent]):
                broken.append(f"{what}: {key} was called restored and is not there")
        broken += [f"{what}: {line}" for line in bench.violations(ended=False)]
        left = [*bench.next_run(), *bench.violations(ended=True)]
        broken += [f"{what}, next run: {line}" for line in left]
    assert broken == []


def test_a_key_that_is_taken_into_use_after_a_kill_keeps_what_it_has(bench: Bench) -> None:
    """Its files had their live names again: they are put away, and the others come back."""
    names = bench.steps()
    path = Path(bench.state, "agents", "project-lead", "sessions", "sessions.json")
    swaps = [point for point, name in enumerate(names) if name == "exchange"]
    for point, when in ((swaps[0], "before"), (swaps[-1], "before")):
        bench.reset()
        assert bench.kill(point, when)
        rows = json.loads(path.read_bytes())
        # At the second swap the first agent's sessions are back.
        assert (KELLY in rows) is (point != swaps[0])
        path.write_text(json.dumps({**rows, KELLY: {"sessionId": "anew"}}, indent=2))
        report = bench.restore(Disk())
        status = {row.key: row.status for row in report.results}
        assert status.pop(KELLY) == "conflict"
        assert set(status.values()) <= {"restored", "already_restored"}
        assert json.loads(path.read_bytes())[KELLY] == {"sessionId": "anew"}
        assert not list(Path(bench.state, "session-closer", "open").iterdir())
        now = Sight.of(bench.state)
        kelly = json.loads(bench.whole.indexes["project-lead"])[KELLY]["sessionId"]
        for live, digest in bench.whole.files["project-lead"].items():
            archives = [name for name in now.files["project-lead"] if (m := ARCHIVE.fullmatch(name)) and m[1] == live]
            places = [name for name in (live, *archives) if name in now.files["project-lead"]]
            assert [now.files["project-lead"][name] for name in places] == [digest]
            if live.startswith(kelly) and point == swaps[0]:
                assert places == archives


# Rows: what is written for the importer is never left behind


ALPHA, BETA, SILENT, GAMMA = LEAD + "alpha", LEAD + "beta", LEAD + "never-spoken", RESEARCHER + "gamma"
ROWS = (ALPHA, BETA, SILENT, GAMMA)


class Rows:
    """Databases from which the rows of two agents were deleted, and no gateway runs."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = folder / "state"
        with stub_gateway(folder) as stub:
            self.bases = build_sqlite(Store(self.state, stub.port))
            self.whole = self.picture()
            stub.serve(self.state, TOKEN)
            assert run_json(CloseProjectBatch, "--delete", *ROWS, state=self.state).code == 0
        for agent in AGENTS:
            with self.bases.open(agent) as connection:
                connection.execute("pragma wal_checkpoint(truncate)")
        self.closed, self.archives = self.picture(), self.files()
        self.begin = folder / "closed"
        shutil.copytree(self.state, self.begin)
        monkeypatch.setattr(importing, "run_importer", self.importer)
        monkeypatch.setattr(returnable, "missing", lambda _home: "")

    def importer(self, here: Installation, agent: str) -> str:
        """Import; beginning, half of it and its end are steps like those of a disk."""
        assert isinstance(here.disk, Counting)
        for what, limit in (("importer half", 1), ("importer", None)):
            number, here.disk.calls = here.disk.calls, here.disk.calls + 1
            here.disk.at(number, what, "before")
            if what == "importer" or (number, "after") == getattr(here.disk, "point", None):
                import_files(self.state, agent, limit=limit)
            here.disk.at(number, what, "after")
        return ""

    def picture(self) -> dict[str, Any]:
        """Return all entries and transcripts, by agent."""
        return {
            agent: (
                {key: json.loads(row["entry_json"]) for key, row in self.bases.rows(agent).items()},
                self.bases.events(agent),
            )
            for agent in AGENTS
        }

    def files(self) -> dict[str, bytes]:
        """Return what lies in the sessions folders."""
        paths = [path for agent in AGENTS for path in (self.state / "agents" / agent / "sessions").iterdir()]
        return {str(path.relative_to(self.state)): path.read_bytes() for path in paths}

    def reset(self) -> None:
        shutil.rmtree(self.state)
        shutil.copytree(self.begin, self.state)

    def home(self) -> Home:
        return Home(str(self.state), "--state-dir", {**os.environ}, isolated=True)

    def restore(self, disk: Disk) -> Report:
        return restoring.execute(self.home(), Ask("last"), Options(), disk=disk)

    def look_for_nothing(self, disk: Disk) -> Report:
        """Give a changing command that has nothing to change."""
        wish = Wish("close-project", tuple(keys.target(f"agent:{agent}:never-seen", None) for agent in AGENTS))
        return execute(self.home(), wish, Options(), disk=disk)

    def violations(self, *, ended: bool) -> list[str]:
        found, files, now = [], self.files(), self.picture()
        found += [f"{path} is not what it was" for path, raw in self.archives.items() if files.get(path) != raw]
        for agent in AGENTS:
            for key, entry in self.whole[agent][0].items():
                mine = {at: text for at, text in self.whole[agent][1].items() if at[0] == entry["sessionId"]}
                left = {at: text for at, text in now[agent][1].items() if at[0] == entry["sessionId"]}
                there = now[agent][0].get(key)
                if (there, left) not in ((entry, mine), (None, {})) or (there is None and key not in ROWS):
                    found.append(f"{key} is neither closed nor whole")
                if ended and there is None:
                    found.append(f"end: {key} is not back")
        return found

    def left_behind(self) -> list[str]:
        open_runs = [path.name for path in (self.state / "session-closer" / "open").glob("*")]
        return [f"left behind: {path}" for path in (*sorted(set(self.files()) - set(self.archives)), *open_runs)]


@pytest.fixture
def deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rows:
    return Rows(tmp_path, monkeypatch)


def steps_of_an_import(deleted: Rows) -> list[str]:
    names: list[str] = []
    deleted.reset()
    report = deleted.restore(Counting(lambda _, name, when: names.append(name) if when == "before" else None))
    assert exit_code(report) == 0
    assert deleted.violations(ended=True) == deleted.left_behind() == []
    assert names.count("importer") == len(AGENTS)
    return names


@pytest.mark.long
@pytest.mark.parametrize("first", ["the same command", "another command"])
def test_a_kill_at_any_step_of_an_import_leaves_no_sessions_json_after_the_next_command(
    deleted: Rows, first: str, some: Share
) -> None:
    names = steps_of_an_import(deleted)
    broken = []
    each = 1 if first == "the same command" else 2
    for point, when in some(list(kills(names))[::each], 4, lambda kill: names[kill[0]]):
        deleted.reset()

        def work(point: int = point, when: str = when) -> None:
            disk = Counting(kill_at(point, when))
            disk.point = (point, when)  # type: ignore[attr-defined]
            deleted.restore(disk)

        assert os.WIFSIGNALED(in_child(work)), f"step {point} was not reached"
        what = f"{when} {point} {names[point]}"
        broken += [f"{what}: {line}" for line in deleted.violations(ended=False)]
        if first == "another command":
            deleted.look_for_nothing(Disk())
            broken += [f"{what}, another command: {line}" for line in deleted.left_behind()]
            broken += [f"{what}, another command: {line}" for line in deleted.violations(ended=False)]
        report = deleted.restore(Counting(lambda *_: None))
        if exit_code(report) != 0:
            broken.append(f"{what}: the next run ended with {exit_code(report)}: {report.error}")
        left = [*deleted.left_behind(), *deleted.violations(ended=True)]
        broken += [f"{what}, next run: {line}" for line in left]
    assert broken == []


def test_an_error_at_any_step_of_an_import_is_told_and_leaves_no_sessions_json(deleted: Rows, some: Share) -> None:
    names = steps_of_an_import(deleted)
    broken = []
    points = [point for point, name in enumerate(names) if name not in NO_CHANGE or point % 3 == 0]
    for point in some(points, 4, names.__getitem__):
        number = ERRORS[point % len(ERRORS)]
        deleted.reset()
        what = f"{point} {names[point]}"
        try:
            failed = deleted.restore(Counting(fail_at(point, "before", number)))
        except CloserError:
            told = True
        else:
            # Copies of what is back, which stay: a warning says that.
            told = exit_code(failed) != 0 or any(os.strerror(number) in warning for warning in failed.warnings)
        if not told:
            broken.append(f"{what}: {errno.errorcode[number]} was not told")
        broken += [f"{what}: {line}" for line in deleted.violations(ended=False)]
        if exit_code(report := deleted.restore(Counting(lambda *_: None))) != 0:
            broken.append(f"{what}: the next run ended with {exit_code(report)}: {report.error}")
        left = [*deleted.left_behind(), *deleted.violations(ended=True)]
        broken += [f"{what}, next run: {line}" for line in left]
    assert broken == []


def test_a_file_that_somebody_else_wrote_meanwhile_is_not_ours_to_put_away(deleted: Rows) -> None:
    names = steps_of_an_import(deleted)
    deleted.reset()
    assert os.WIFSIGNALED(in_child(lambda: deleted.restore(Counting(kill_at(names.index("importer"), "before")))))
    index = deleted.state / "agents" / "project-lead" / "sessions" / "sessions.json"
    assert index.is_file()
    index.write_text('{"theirs": {"sessionId": "theirs"}}')
    with contextlib.suppress(CloserError):
        deleted.restore(Disk())
    assert index.read_text() == '{"theirs": {"sessionId": "theirs"}}'
    assert deleted.violations(ended=False) == []
