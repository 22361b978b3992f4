"""Let what a run looks at fail once: that is told, or it makes no difference; the next run puts right what is left."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.image import Image
from faults.injection import in_child
from faults.looks import ERRORS, OPENS, STATS, AtLook, Looks, fail_look, watched
from faults.scenarios import BATCH, SCENARIOS, Scenario
from faults.sweep import Bench
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.files import restore
from session_closer.openclaw.files.lock import StoreLock
from session_closer.system import processes
from session_closer.system.disk import Disk
from support.commands import run, run_json
from support.interrupted import interrupt, perform
from support.keys import LEAD
from support.shares import Share
from support.stores import Store, build
from support.trees import write

TOPICS = LEAD + "topics"
SOME = [scenario for scenario in SCENARIOS if scenario.name in ("batch", "displaced", "restore")]


@pytest.mark.parametrize(
    ("scenario", "looks"),
    [*((scenario, OPENS) for scenario in SOME), (BATCH, STATS)],
    ids=lambda each: str(each.name if isinstance(each, Scenario) else each[0]),
)
def test_a_look_that_fails_is_told_or_makes_no_difference(
    scenario: Scenario, looks: tuple[str, ...], tmp_path: Path, some: Share
) -> None:
    bench = Bench(scenario, str(tmp_path / "bench"))
    bench.reset()
    seen = bench.run(look=watched, looks=looks).looks
    assert len(seen) > 100
    for point in some(range(3, len(seen), 23), 3):
        number = errno.EIO if "read" in seen[point] else ERRORS[point % len(ERRORS)]
        bench.fail_look(point, number, f"{errno.errorcode[number]} at look {point} ({seen[point]})", looks=looks)
    assert bench.broken == []


@pytest.mark.parametrize("point", [20, 38, 60])
def test_a_look_of_the_recovery_that_fails_is_told_or_makes_no_difference(
    point: int, tmp_path: Path, some: Share
) -> None:
    bench = Bench(BATCH, str(tmp_path / "bench"))
    assert bench.kill(point, "after")
    image = Image.of(bench.state)
    seen = bench.run(look=watched).looks
    for look in some(range(1, len(seen), 17), 3):
        number = errno.EIO if "read" in seen[look] else ERRORS[look % len(ERRORS)]
        bench.fail_look(look, number, f"{errno.errorcode[number]} at look {look} ({seen[look]})", image)
    assert bench.tried >= some.least(2)
    assert bench.broken == []


# By name


@pytest.fixture
def store(tmp_path: Path, closed_port: int) -> Store:
    return build(tmp_path / "state", closed_port)


class Once:
    """One open of a file whose name ends so fails, while it is armed."""

    def __init__(self, ending: str, number: int, *, armed: bool = True) -> None:
        self.ending, self.number, self.armed = ending, number, armed
        self.real = os.open

    def __call__(self, path: Any, *arguments: Any, **named: Any) -> int:
        if self.armed and isinstance(path, str) and self.ending in os.path.basename(path):
            self.armed = False
            raise OSError(self.number, os.strerror(self.number), path)
        return self.real(path, *arguments, **named)


def settled(store: Store) -> None:
    """All is as after a close that nothing has disturbed."""
    assert TOPICS not in store.entries()
    assert store.open_runs() == []
    assert not (store.folder() / "sessions.json.lock").exists()
    assert not [name for name in store.names() if "topic-42" in name and ".deleted." not in name]
    assert [s["status"] for r in store.receipts() for each in r["stores"] for s in each["sessions"]] == ["closed"]


@pytest.mark.parametrize("number", ERRORS, ids=lambda number: errno.errorcode[number])
@pytest.mark.parametrize("name", ["record.json", "sessions.json.bak-", "sessions.json.lock"])
def test_what_an_interrupted_run_left_and_cannot_be_read_once_is_no_damage(
    store: Store, name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(store, "topics", committed=True)
    monkeypatch.setattr(os, "open", once := Once(name, number))
    answer = run_json(CloseProject, "topics", state=store.state)
    assert not once.armed
    assert answer.code in (1, 3)
    assert "already_closed" not in [status for _, status in answer.rows]
    assert "damaged" not in answer.data["error"]["message"]
    assert os.strerror(number) in answer.data["error"]["message"]
    again = run_json(CloseProject, "topics", state=store.state)
    assert (again.code, again.rows) == (0, [(TOPICS, "already_closed")])
    settled(store)


def test_a_session_of_a_run_that_cannot_be_finished_is_not_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(store, "topics", committed=True)
    monkeypatch.setattr("session_closer.operations.recover.recover", lambda *_: [])
    answer = run_json(CloseProject, "topics", state=store.state)
    assert (answer.code, answer.rows) == (1, [(TOPICS, "failed")])
    assert "is not finished" in answer.data["results"][0]["error"]


def test_a_session_of_a_run_whose_store_has_gone_is_not_closed(store: Store) -> None:
    interrupt(store, "topics", committed=True)
    store.index().unlink()
    answer = run_json(CloseProject, "topics", state=store.state)
    assert (answer.code, answer.rows) == (1, [(TOPICS, "failed")])


@pytest.mark.parametrize("number", ERRORS, ids=lambda number: errno.errorcode[number])
def test_a_lock_that_cannot_be_read_when_it_is_released_does_not_stay(
    store: Store, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    once, release = Once("sessions.json.lock", number, armed=False), StoreLock.release

    def arm(lock: StoreLock) -> None:
        once.armed = True
        release(lock)

    monkeypatch.setattr(os, "open", once)
    monkeypatch.setattr(StoreLock, "release", arm)
    answer = run_json(CloseProject, "topics", state=store.state)
    assert (answer.code, answer.error) == (1, "storage")
    monkeypatch.undo()
    assert run_json(CloseProject, "topics", state=store.state).rows == [(TOPICS, "already_closed")]
    settled(store)


@pytest.mark.parametrize("number", ERRORS, ids=lambda number: errno.errorcode[number])
def test_a_lock_of_another_that_cannot_be_read_is_nobody_s_to_take(
    store: Store, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is empty for long is taken over: not one that could not be read."""
    lock = store.folder() / "sessions.json.lock"
    write(lock, json.dumps({"pid": os.getpid(), "starttime": processes.start_ticks(os.getpid())}))
    os.utime(lock, (1, 1))
    once = Once("sessions.json.lock", number)
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: _only_reads(once, path, *rest, **more))
    answer = run_json(CloseProject, "topics", state=store.state)
    assert (answer.code, answer.error) == (1, "storage")
    assert lock.exists()
    assert TOPICS in store.entries()


def _only_reads(once: Once, path: Any, flags: int, *rest: Any, **more: Any) -> int:
    return (once.real if flags & os.O_CREAT else once)(path, flags, *rest, **more)


def test_a_restore_that_cannot_read_where_the_entries_were_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = store.entries()
    backup = run_json(CloseProject, "topics", state=store.state).data["stores"][0]["backup"]
    once, real = Once(".bak-", errno.EIO, armed=False), restore._where_they_were

    def arm(*arguments: Any) -> bytes | None:
        # The entry itself has been read by now.
        once.armed = True
        return real(*arguments)

    monkeypatch.setattr(os, "open", once)
    monkeypatch.setattr(restore, "_where_they_were", arm)
    answer = run_json(RestoreSessions, "last", state=store.state)
    assert answer.rows == [(TOPICS, "restored")]
    assert f"{backup} cannot be read" in " ".join(answer.data["warnings"])
    assert store.entries() == before


def test_the_undo_of_a_restore_that_cannot_read_its_backup_closes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(CloseProject, "topics", state=store.state)
    answer = run_json(RestoreSessions, "last", state=store.state)
    receipt = Path(answer.data["receipt"]).stem
    monkeypatch.setattr(os, "open", Once(".bak-", errno.EIO))
    again = run_json(RestoreSessions, receipt, state=store.state)
    assert (again.code, again.error) == (3, "unreadable")
    assert TOPICS in store.entries()


def _closed(store: Store) -> dict[str, Any]:
    return run_json(CloseProject, "topics", state=store.state).data


def _from_a_backup(store: Store) -> tuple[type[Command], list[str]]:
    return RestoreSessions, [str(_closed(store)["stores"][0]["backup"])]


def _undo_of_a_restore(store: Store) -> tuple[type[Command], list[str]]:
    _closed(store)
    return RestoreSessions, [Path(run_json(RestoreSessions, "last", state=store.state).data["receipt"]).stem]


def _receipts(store: Store) -> tuple[type[Command], list[str]]:
    _closed(store)
    return RestoreSessions, ["--list"]


def _orphans(store: Store) -> tuple[type[Command], list[str]]:
    os.utime(store.transcript("stray.jsonl"), (1, 1))
    return CleanupSessions, ["--only", "orphans", "--orphans", "1h"]


@pytest.mark.parametrize("looks", [OPENS, STATS], ids=lambda looks: str(looks[0]))
@pytest.mark.parametrize("made", [_from_a_backup, _undo_of_a_restore, _receipts, _orphans])
def test_no_look_that_fails_is_a_bug(
    store: Store, made: Callable[..., Any], looks: tuple[str, ...], some: Share
) -> None:
    command, words = made(store)
    image, root = Image.of(str(store.state)), str(store.state)

    def end(at: AtLook) -> tuple[int, int]:
        """Run it in a process of its own; return its exit code, and how many looks it took."""
        reading, writing = os.pipe()

        def work() -> None:
            # What one says of its errors is not looked at here.
            (watcher := Looks(root, at, looks)).watch()
            code = run(command, "--json", *words, state=store.state).code
            os.write(writing, json.dumps([code, len(watcher.seen)]).encode())

        status = in_child(work)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            told = pipe.read()
        assert status == 0
        code, seen = json.loads(told)
        return int(code), int(seen)

    code, seen = end(watched)
    assert (code, seen > 3) == (0, True)
    for point in some(range(2, seen, 1 + seen // 12), 3):
        image.put(root)
        assert end(fail_look(point, errno.EIO))[0] in (0, 1, 3, 4), f"look {point}"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["make_folder", "create", "write", "sync", "rename", "rename_new", "sync_folder"])
def test_a_run_that_fails_before_it_is_known_leaves_no_backup(
    step: str, after: bool, tmp_path: Path, closed_port: int
) -> None:
    tried = 0
    for point in range(10):
        store = build(tmp_path / str(point) / "state", closed_port)
        before = store.index().read_bytes()
        disk = Failing(step, point, after=after)
        report = perform(store, "topics", disk=disk)
        assert disk.hit
        if store.index().read_bytes() != before or [run for run in store.open_runs() if "new-" not in run]:
            break
        tried += 1
        assert report.error is not None
        assert (store.backups(), report.receipt, report.undo) == ([], None, None)
        assert "begun" not in report.error.remedy
    assert tried


class Failing(Disk):
    """A disk on which the call number `point` of one step fails, before or after its effect."""

    def __init__(self, step: str, point: int, *, after: bool) -> None:
        self.step, self.left, self.after, self.hit = step, point, after, False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or name not in vars(Disk) or name != self.step:
            return found

        def step(*arguments: Any) -> Any:
            self.left -= 1
            if self.left != -1:
                return found(*arguments)
            self.hit = True
            if self.after:
                found(*arguments)
            raise OSError(errno.EIO, os.strerror(errno.EIO), "injected")

        return step
