"""Kill, cut off or interrupt at every step of a batch over databases: nothing is lost, and the next run finishes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from faults.sweep import Counting, in_child
from session_closer import asking, keys
from session_closer.commands.close_project_batch import CloseProjectBatch
from session_closer.errors import CloserError, Refused
from session_closer.executor import execute
from session_closer.files import Disk
from session_closer.gateway.link import SocketLink
from session_closer.home import Home
from session_closer.model import Options, Report, Status, Wish
from session_closer.report import exit_code
from support import LIB, PATIENCE_SECONDS, TOKEN, Store, run_json
from support_gateway import StubGateway, stub_gateway
from support_sqlite import CRON_RUN, LEAD, RESEARCHER, Bases, begun_run, build_sqlite, event, unpacked, window

ALPHA, BETA, GAMMA, PUT_AWAY = LEAD + "alpha", LEAD + "beta", RESEARCHER + "gamma", LEAD + "put-away"
TARGETS = (ALPHA, BETA, CRON_RUN, LEAD + "never-spoken", PUT_AWAY, GAMMA, RESEARCHER + "kelly-dashboard")
OTHER = LEAD + "pinned"
AGENTS = ("project-lead", "researcher")
FINE = {Status.CLOSED, Status.ALREADY_CLOSED}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubGateway]:
    with stub_gateway(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub has done a call before its caller can be killed, unless a test says otherwise."""
    monkeypatch.setattr(asking, "_UNDER_WAY_SECONDS", 0.0, raising=False)


class Lab:
    """Makes one fresh state directory after another, each served by the stub."""

    def __init__(self, folder: Path, stub: StubGateway) -> None:
        self.folder, self.stub, self.count = folder, stub, 0
        self.template = build_sqlite(Store(folder / "template", stub.port)).store.state

    def fresh(self, **order: Any) -> Scene:
        self.count += 1
        state = self.folder / f"state-{self.count}"
        shutil.copytree(self.template, state)
        store = Store.__new__(Store)
        store.state, store.port = state, self.stub.port
        bases = Bases(store)
        scene = Scene(bases, str(state), {agent: (bases.rows(agent), bases.events(agent)) for agent in AGENTS}, self)
        self.stub.serve(state, TOKEN, **order)
        return scene


class Scene(NamedTuple):
    """One state directory and what was in it."""

    bases: Bases
    state: str
    before: dict[str, tuple[dict[str, dict[str, Any]], dict[tuple[str, int], str]]]
    lab: Lab

    def batch(self, disk: Disk | None = None, targets: tuple[str, ...] = TARGETS, **options: Any) -> Report:
        url = f"ws://127.0.0.1:{self.lab.stub.port}"
        wish = Wish("close-project-batch", tuple(keys.target(word, None) for word in targets))
        home = Home(self.state, "--state-dir", os.environ, url=url)
        # To the end, which is where most can go wrong.
        deletes = not options.get("archive", False)
        return execute(home, wish, Options(delete=deletes, **options), disk=disk or Disk())

    def command(self, *words: str) -> Any:
        url = f"ws://127.0.0.1:{self.lab.stub.port}"
        path = self.lab.folder / "token"
        path.write_text(TOKEN)
        targets = words or TARGETS
        where = ("--url", url, "--token-file", str(path))
        return run_json(CloseProjectBatch, "--delete", *targets, *where, state=Path(self.state))

    def killed_at(self, point: int, targets: tuple[str, ...] = TARGETS, **options: Any) -> bool:
        """Run the batch and kill it with SIGKILL before its step number `point`; tell whether it got there."""

        def at(number: int, _name: str, when: str) -> None:
            if (number, when) == (point, "before"):
                os.kill(os.getpid(), signal.SIGKILL)

        status = in_child(lambda: self.counted(at, targets, **options))
        if os.WIFSIGNALED(status):
            return True
        assert os.WEXITSTATUS(status) == 0
        return False

    def counted(
        self, at: Callable[[int, str, str], None], targets: tuple[str, ...] = TARGETS, **options: Any
    ) -> Report:
        """Run the batch with every step on disk and every call counted."""
        disk, real = Counting(at), SocketLink._ask

        def ask(link: SocketLink, method: str, *arguments: Any) -> Any:
            number, disk.calls = disk.calls, disk.calls + 1
            at(number, method, "before")
            found = real(link, method, *arguments)
            at(number, method, "after")
            return found

        with replaced(SocketLink, "_ask", ask):
            return self.batch(disk, targets, **options)

    def steps(self, targets: tuple[str, ...] = TARGETS, **options: Any) -> list[str]:
        """Return the steps of an undisturbed batch; nothing comes after the last."""
        names: list[str] = []
        report = self.counted(
            lambda _, name, when: names.append(name) if when == "before" else None, targets, **options
        )
        assert exit_code(report) == 0
        return names

    def records(self) -> list[dict[str, Any]]:
        """Return receipts and the records of open runs."""
        root = Path(self.state, "session-closer")
        paths = [*root.glob("receipts/*.json"), *root.glob("open/*/record.json")]
        return [json.loads(path.read_bytes()) for path in paths]


@contextlib.contextmanager
def replaced(place: Any, name: str, new: Any) -> Iterator[None]:
    real = getattr(place, name)
    setattr(place, name, new)
    try:
        yield
    finally:
        setattr(place, name, real)


@pytest.fixture
def lab(tmp_path: Path, stub: StubGateway) -> Lab:
    return Lab(tmp_path, stub)


# The oracle: rows and files, not the program's words


def violations(scene: Scene, *, targets: tuple[str, ...] = TARGETS, ended: bool, archive: bool = False) -> list[str]:
    """Return what is broken; `ended` adds what must hold after a run that was not disturbed."""
    found: list[str] = []
    saved = {
        (store["agent"], session["key"], session["sessionId"], session["entry"])
        for record in scene.records()
        for store in record["stores"]
        for session in store["sessions"]
    }
    for agent, (was, events) in scene.before.items():
        now, spoken = scene.bases.rows(agent), scene.bases.events(agent)
        found += [f"{key} appeared" for key in now if key not in was]
        for key, row in was.items():
            session = row["current_session_id"]
            mine = {at: text for at, text in events.items() if at[0] == session}
            left = {at: text for at, text in spoken.items() if at[0] == session}
            archives = [
                path for path in scene.bases.archives(agent) if path.name.startswith(f"{session}.jsonl.deleted.")
            ]
            touched = now.get(key) != row
            if key in targets and touched and (agent, key, session, row["entry_json"]) not in saved:
                found.append(f"{key} was changed, and its row is on no record")
            if key not in targets:
                if touched or left != mine or archives:
                    found.append(f"{key} was not asked for and is not as it was")
            elif key in now:
                found += _of_a_row_that_is_there(key, row, now[key], same=left == mine, archived=bool(archives))
                if ended and not archive:
                    found.append(f"end: {key} is still there, archived: {now[key]['archived_at']}")
            else:
                lines = [unpacked(path.read_bytes()).decode().splitlines()[1:] for path in archives]
                if lines != [list(mine.values())]:
                    found.append(f"{key} is gone, and its transcript is in {archives}")
                if left:
                    found.append(f"events of {key} are left")
            if ended and archive and key in targets and (key not in now or now[key]["archived_at"] is None):
                found.append(f"end: {key} is not archived")
        found += [f"{path.name} was put there" for path in scene.bases.store.folder(agent).iterdir()
                  if ".jsonl.deleted." not in path.name]  # fmt: skip
    own = Path(scene.state, "session-closer").rglob("*")
    found += [f"others may read {path.name}" for path in own if path.lstat().st_mode & 0o077]
    if ended:
        found += [f"end: open run {path.name}" for path in Path(scene.state, "session-closer", "open").glob("*")]
    return found


def _of_a_row_that_is_there(
    key: str, was: dict[str, Any], now: dict[str, Any], *, same: bool, archived: bool
) -> list[str]:
    found = []
    if now["current_session_id"] != was["current_session_id"] or not same:
        found.append(f"{key} is not the session that it was")
    if archived:
        found.append(f"{key} is there and its transcript is in an archive, too")
    ours = {"archivedAt", "archiveReason", "updatedAt"}
    entries = [{name: value for name, value in json.loads(row["entry_json"]).items() if name not in ours}
               for row in (was, now)]  # fmt: skip
    if entries[0] != entries[1]:
        found.append(f"the entry of {key} changed")
    if was["archived_at"] is not None and now["archived_at"] != was["archived_at"]:
        found.append(f"{key} was archived by somebody else, and is not as it was")
    return found


def left_hidden(scene: Scene) -> list[str]:
    """Return the rows that are archived now and were not."""
    return [
        key
        for agent, (was, _) in scene.before.items()
        for key, row in scene.bases.rows(agent).items()
        if row["archived_at"] is not None and was[key]["archived_at"] is None
    ]


def finishes(scene: Scene, *, targets: tuple[str, ...] = TARGETS, **options: Any) -> list[str]:
    """Run the same command again, undisturbed; return what is broken then."""
    scene.lab.stub.tell(faults=[])
    report = scene.batch(targets=targets, **options)
    found = violations(scene, targets=targets, ended=True, archive=bool(options.get("archive")))
    if exit_code(report) != 0:
        found.append(f"exit code {exit_code(report)}: {report.error}")
    fine = FINE | ({Status.ARCHIVED} if options.get("archive") else set())
    return found + [f"{row.key} is {row.status}" for row in report.results if row.status not in fine]


def truthful(scene: Scene, report: Report) -> list[str]:
    """Return the rows that a report calls closed and that are there, and those that are gone and that it does not."""
    found = []
    for row in report.results:
        there = row.key in scene.bases.rows(row.agent)
        if (row.status is Status.CLOSED) is there:
            found.append(f"{row.key} is called {row.status}, and is {'there' if there else 'gone'}")
    return found


def test_the_oracle_sees_what_it_is_for(lab: Lab) -> None:
    scene = lab.fresh()
    assert violations(scene, ended=False) == []
    assert len(violations(scene, ended=True)) == len(TARGETS)
    with scene.bases.open("project-lead") as connection:
        connection.execute("delete from session_nodes where session_key = ?", (ALPHA,))
        connection.execute("update session_nodes set label = 'x' where session_key = ?", (OTHER,))
        connection.execute("update session_nodes set archived_at = 7 where session_key in (?, ?)", (BETA, PUT_AWAY))
    found = violations(scene, ended=False)
    assert len(found) == 6, found
    assert left_hidden(scene) == [BETA]


def test_an_undisturbed_batch_holds_every_promise(lab: Lab) -> None:
    scene = lab.fresh()
    report = scene.batch()
    assert exit_code(report) == 0
    assert {row.status for row in report.results} == {Status.CLOSED}
    assert violations(scene, ended=True) == []
    assert truthful(scene, report) == []
    assert left_hidden(scene) == []


# SIGKILL. What is before a step is after the one ahead of it, so each gap between two steps is hit once.


@pytest.mark.parametrize("part", range(4))
def test_a_kill_between_any_two_steps_loses_nothing_and_the_next_run_finishes(lab: Lab, part: int) -> None:
    steps = lab.fresh().steps()
    assert len(steps) > 60
    assert {"connect", "sessions.list", "sessions.patchMany", "sessions.delete", "rename"} <= set(steps)
    broken = []
    for point in range(part, len(steps), 4):
        scene = lab.fresh()
        assert scene.killed_at(point), f"step {point} was not reached"
        where = f"before {point} ({steps[point]})"
        broken += [f"{where}: {line}" for line in violations(scene, ended=False)]
        broken += [f"{where}, next run: {line}" for line in finishes(scene)]
    assert broken == []


@pytest.mark.parametrize("again", ["same", "other"])
def test_a_kill_of_an_archiving_run_is_finished(lab: Lab, again: str) -> None:
    targets = tuple(target for target in TARGETS if target != PUT_AWAY)
    steps = lab.fresh().steps(targets, archive=True)
    assert "sessions.delete" not in steps
    broken = []
    for point in range(steps.index("create") + (again == "same"), len(steps), 4):
        scene = lab.fresh()
        assert scene.killed_at(point, targets, archive=True)
        hidden = left_hidden(scene)
        if again == "same":
            broken += [f"{point}: {line}" for line in finishes(scene, targets=targets, archive=True)]
        else:
            assert exit_code(scene.batch(targets=(OTHER,))) == 0
            broken += [f"{point}: {line}" for line in violations(scene, targets=(*targets, OTHER), ended=False)]
            broken += [f"{point}: {left_hidden(scene)} is not {hidden}"] if left_hidden(scene) != hidden else []
    assert broken == []


def test_another_command_after_a_kill_leaves_nothing_hidden_and_nothing_half_done(lab: Lab) -> None:
    """It takes up what the killed run left: what was archived is deleted, or taken out of the archive again."""
    steps = lab.fresh().steps()
    both = (*TARGETS, OTHER)
    broken = []
    for point in range(steps.index("sessions.patchMany") - 1, len(steps), 3):
        scene = lab.fresh()
        assert scene.killed_at(point)
        report = scene.batch(targets=(OTHER,))
        where = f"before {point} ({steps[point]})"
        if [row.status for row in report.results] != [Status.CLOSED]:
            broken.append(f"{where}: {report}")
        broken += [f"{where}: {line}" for line in violations(scene, targets=both, ended=False)]
        broken += [f"{where}: {key} is hidden" for key in left_hidden(scene)]
        broken += [f"{where}, next run: {line}" for line in finishes(scene, targets=both)]
    assert broken == []


def test_a_kill_of_the_recovery_loses_nothing(lab: Lab) -> None:
    steps = lab.fresh().steps()
    first = [steps.index("sessions.patchMany") + 1, steps.index("sessions.delete"), steps.index("sessions.delete") + 2,
             len(steps) - 1 - steps[::-1].index("sessions.delete")]  # fmt: skip
    broken, tried = [], 0
    for at, one in enumerate(first):
        for second in range(2 + at, 60, 8):
            scene = lab.fresh()
            assert scene.killed_at(one)
            if not scene.killed_at(second):
                break
            tried += 1
            broken += [f"{one}/{second}: {line}" for line in violations(scene, ended=False)]
            broken += [f"{one}/{second}, next run: {line}" for line in finishes(scene)]
    assert tried > 12
    assert broken == []


# A connection that breaks


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
def test_a_connection_that_breaks_at_any_call_loses_nothing_and_the_next_run_finishes(lab: Lab, fault: str) -> None:
    calls = [step for step in lab.fresh().steps() if step == "connect" or step.startswith("sessions.")]
    assert len(calls) > 12
    broken = []
    for number, name in enumerate(calls, start=1):
        scene = lab.fresh(faults=[{"method": "*", "call": [number], "do": fault}])
        where = f"{fault} {number} ({name})"
        answer = scene.command()
        if answer.code != 6:
            broken.append(f"{where}: exit code {answer.code}, {answer.error}")
        for row in answer.data["results"]:
            there = row["key"] in scene.bases.rows(row["agent"])
            if (row["status"] == "closed") is there:
                broken.append(f"{where}: {row['key']} is called {row['status']}, and is {'there' if there else 'gone'}")
        broken += [f"{where}: {line}" for line in violations(scene, ended=False)]
        broken += [f"{where}, next run: {line}" for line in finishes(scene)]
    assert broken == []


# The first part of a run goes on in the gateway though its caller is dead


def killed_in_a_call(scene: Scene, method: str, targets: tuple[str, ...] = TARGETS) -> None:
    """Kill the batch with SIGKILL just after it has sent its first call of a method; the gateway goes on with it."""
    from websockets.sync.connection import Connection

    real = Connection.send

    def send(self: Connection, message: Any, *arguments: Any, **more: Any) -> None:
        real(self, message, *arguments, **more)
        if json.loads(message).get("method") == method:
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        with replaced(Connection, "send", send):
            scene.batch(targets=targets)

    assert os.WIFSIGNALED(in_child(work))


@pytest.mark.parametrize("method", ["sessions.patchMany", "sessions.delete"])
def test_a_call_that_was_still_under_way_when_its_caller_was_killed_disturbs_nobody(lab: Lab, method: str) -> None:
    scene = lab.fresh(faults=[{"method": method, "call": [1], "do": "wait", "seconds": 0.7}])
    killed_in_a_call(scene, method)
    assert finishes(scene) == []


# A file system that says no


def test_an_error_at_any_kind_of_step_is_told_and_loses_nothing(lab: Lab) -> None:
    steps = lab.fresh().steps()
    broken = []
    for point in range(steps.index("make_folder"), len(steps), 2):
        if not hasattr(Disk, steps[point]):
            continue
        number = ERRORS[point % len(ERRORS)]

        def fail(at: int, name: str, when: str, point: int = point, number: int = number) -> None:
            if (at, when) == (point, "before"):
                raise OSError(number, os.strerror(number), "injected")

        scene = lab.fresh()
        report = scene.counted(fail)
        where = f"{errno.errorcode[number]} at {point} ({steps[point]})"
        if exit_code(report) == 0:
            broken.append(f"{where}: not told")
        broken += [f"{where}: {line}" for line in [*truthful(scene, report), *violations(scene, ended=False)]]
        broken += [f"{where}, next run: {line}" for line in finishes(scene)]
    assert broken == []


# An interrupt


class Interrupting:
    """Raises KeyboardInterrupt just before or just after one call."""

    def __init__(self, point: int, when: str) -> None:
        self.point, self.when, self.count, self.real = point, when, 0, SocketLink._ask

    def __call__(self, link: SocketLink, method: str, *arguments: Any) -> Any:
        self.count += 1
        mine = self.count == self.point
        if mine and self.when == "before":
            raise KeyboardInterrupt
        found = self.real(link, method, *arguments)
        if mine:
            raise KeyboardInterrupt
        return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_at_any_call_tells_what_is_done_and_the_next_run_finishes(lab: Lab, when: str) -> None:
    calls = [step for step in lab.fresh().steps() if step == "connect" or step.startswith("sessions.")]
    broken = []
    for point, name in enumerate(calls, start=1):
        scene = lab.fresh()
        ask = Interrupting(point, when)
        with replaced(SocketLink, "_ask", lambda link, method, *more, ask=ask: ask(link, method, *more)):
            answer = scene.command()
        where = f"{when} {point} ({name})"
        if (answer.code, answer.error) != (130, "interrupted"):
            broken.append(f"{where}: exit code {answer.code}, {answer.error}")
        broken += [f"{where}: {line}" for line in _told(scene, answer.data)]
        broken += [f"{where}: {line}" for line in violations(scene, ended=False)]
        broken += [f"{where}, next run: {line}" for line in finishes(scene)]
    assert broken == []


def _told(scene: Scene, data: dict[str, Any]) -> list[str]:
    """Return where the result, or the file that it names, does not say which sessions are gone."""
    there = {key: row for agent in AGENTS for key, row in scene.bases.rows(agent).items()}
    found = [f"{row['key']} is called {row['status']}" for row in data["results"]
             if (row["status"] == "closed") is (row["key"] in there)]  # fmt: skip
    hidden = {key for key, row in there.items() if row["archived_at"] is not None and key != PUT_AWAY}
    told = {row["key"] for row in data["results"] if (row["status"], row["reason"]) == ("archived", "pending")}
    if hidden != told:
        found.append(f"hidden are {hidden}, said to be so {told}")
    if data["receipt"] is None:
        return found + ["no receipt is named" for _ in scene.records()]
    path = Path(data["receipt"])
    if not path.is_file():
        return [*found, f"there is no {path}"]
    said = {session["key"]: session["status"] for store in json.loads(path.read_bytes())["stores"]
            for session in store["sessions"]}  # fmt: skip
    gone = {key for key in TARGETS if key not in there}
    if {key for key, status in said.items() if status == "closed"} != gone:
        found.append(f"{path} says {said}, gone are {gone}")
    return found


def test_ctrl_c_while_the_gateway_deletes_ends_in_130_and_leaves_the_rest_to_the_next_run(lab: Lab) -> None:
    scene = lab.fresh(
        faults=[{"method": "sessions.delete", "call": [2], "do": "wait", "until": str(lab.folder / "go-on")}]
    )
    (lab.folder / "token").write_text(TOKEN)
    # Whoever runs the tests in the background has SIGINT ignored, and a child inherits that.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from session_closer.commands.close_project_batch import main; sys.exit(main())"
    )
    words = ["--json", "--delete", "--state-dir", scene.state, "--token-file", str(lab.folder / "token"),
             "--url", f"ws://127.0.0.1:{lab.stub.port}", *TARGETS]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", program, *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(LIB), *filter(None, sys.path)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    while lab.stub.methods().count("sessions.delete") < 2:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    (lab.folder / "go-on").touch()
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    answer = json.loads(out)
    assert (process.returncode, answer["error"]["name"]) == (130, "interrupted")
    told = {row["key"]: (row["status"], row["reason"], row["ok"]) for row in answer["results"]}
    assert told[ALPHA] == ("closed", None, True)
    assert {told[key] for key in (CRON_RUN, LEAD + "never-spoken")} == {("archived", "pending", False)}
    assert {told[key] for key in (PUT_AWAY, GAMMA)} == {("failed", None, False)}
    assert finishes(scene) == []


# What others do between the kill and the next run


@pytest.fixture
def halfway(lab: Lab) -> Scene:
    """A run that was killed when everything of the first agent was archived and on record, and nothing deleted."""
    point = lab.fresh().steps().index("sessions.delete")
    scene = lab.fresh()
    assert scene.killed_at(point)
    assert ALPHA in left_hidden(scene)
    return scene


def restore(scene: Scene, key: str) -> None:
    with scene.bases.open("project-lead") as connection:
        connection.execute(
            "update session_nodes set archived_at = null, entry_json ="
            " json_remove(entry_json, '$.archivedAt', '$.archiveReason') where session_key = ?",
            (key,),
        )


def speak(scene: Scene, key: str) -> tuple[str, int]:
    session = scene.bases.rows()[key]["current_session_id"]
    with scene.bases.open("project-lead") as connection:
        connection.execute(*event(session, 9, "still here"))
    return session, 9


def test_what_was_restored_meanwhile_stays(halfway: Scene) -> None:
    restore(halfway, ALPHA)
    said = speak(halfway, ALPHA)
    before = halfway.bases.rows()[ALPHA]
    assert exit_code(halfway.batch(targets=(OTHER,))) == 0
    assert halfway.bases.rows()[ALPHA] == before
    assert said in halfway.bases.events()
    assert BETA not in halfway.bases.rows()
    assert not halfway.bases.store.open_runs()


@pytest.mark.parametrize("spoken", [True, False])
def test_what_was_restored_and_archived_again_by_somebody_stays(halfway: Scene, spoken: bool) -> None:
    if spoken:
        speak(halfway, ALPHA)
    with halfway.bases.open("project-lead") as connection:
        connection.execute("update session_nodes set archived_at = archived_at + 7 where session_key = ?", (ALPHA,))
    before = halfway.bases.rows()[ALPHA]
    assert exit_code(halfway.batch(targets=(OTHER,))) == 0
    assert halfway.bases.rows()[ALPHA] == before
    assert BETA not in halfway.bases.rows()


def test_what_was_spoken_in_since_is_not_deleted(halfway: Scene) -> None:
    said = speak(halfway, ALPHA)
    assert exit_code(halfway.batch(targets=(OTHER,))) == 0
    assert said in halfway.bases.events()
    assert ALPHA in halfway.bases.rows()


def test_a_key_that_has_a_new_session_keeps_it(halfway: Scene) -> None:
    """Though it is archived, too, at the same time, and as long."""
    with halfway.bases.open("project-lead") as connection:
        for statement in (window("anew", ALPHA), event("anew", 0), event("anew", 1)):
            connection.execute(*statement)
        connection.execute("update session_nodes set current_session_id = 'anew' where session_key = ?", (ALPHA,))
    before = halfway.bases.rows()[ALPHA]
    assert exit_code(halfway.batch(targets=(OTHER,))) == 0
    assert halfway.bases.rows()[ALPHA] == before
    assert ("anew", 1) in halfway.bases.events()
    status = {session["key"]: session["status"] for record in halfway.records() for store in record["stores"]
              for session in store["sessions"]}  # fmt: skip
    assert (status[ALPHA], status[BETA]) == ("came_back", "closed")


def test_without_a_gateway_an_interrupted_run_waits(halfway: Scene, lab: Lab) -> None:
    (open_run,) = halfway.bases.store.open_runs()
    halfway.lab.stub.tell(token="another")
    before = halfway.bases.rows()
    assert halfway.command(OTHER).code == 6
    assert halfway.bases.rows() == before
    assert halfway.bases.store.open_runs() == [open_run]
    halfway.lab.stub.tell(token=TOKEN)
    assert finishes(halfway) == []


def test_a_dry_run_says_that_a_run_was_interrupted_and_leaves_it(halfway: Scene) -> None:
    before, records = halfway.bases.rows(), halfway.records()
    report = halfway.batch(targets=(OTHER,), dry_run=True)
    assert any("interrupted" in warning for warning in report.warnings)
    assert (halfway.bases.rows(), halfway.records()) == (before, records)


@pytest.mark.parametrize("used", ["a message", "a run"])
def test_what_was_used_just_before_a_killed_run_archived_it_is_taken_out_again(lab: Lab, used: str) -> None:
    """Nobody had looked yet whether it was used: it is neither deleted nor left where no list shows it."""
    point = lab.fresh().steps().index("sessions.patchMany") + 1
    scene = lab.fresh()
    session = scene.bases.rows()[ALPHA]["current_session_id"]
    sql = event(session, 9) if used == "a message" else begun_run(ALPHA)
    fault = {"method": "sessions.patchMany", "call": [1], "do": "write-before", "agent": "project-lead", "sql": [sql]}
    lab.stub.tell(faults=[fault])
    assert scene.killed_at(point)
    assert ALPHA in left_hidden(scene)
    lab.stub.tell(faults=[])
    assert exit_code(scene.batch(targets=(OTHER,))) == 0
    row = scene.bases.rows()[ALPHA]
    assert (row["current_session_id"], row["archived_at"]) == (session, None)
    assert (session, 9) in scene.bases.events() or used == "a run"
    assert left_hidden(scene) == []


# What the gateway says is not what it does


def test_a_deletion_that_was_still_under_way_counts(halfway: Scene) -> None:
    gone = ("delete from session_nodes where session_key = ?", (ALPHA,))
    fault = {"method": "sessions.delete", "call": [1], "do": "write-before", "agent": "project-lead", "sql": [gone]}
    halfway.lab.stub.tell(serial="again", faults=[fault])
    report = halfway.batch()
    assert {row.key: row.status for row in report.results if row.status not in FINE} == {}
    assert exit_code(report) == 0


def test_a_session_in_use_that_stays_archived_is_told(lab: Lab) -> None:
    scene = lab.fresh()
    session = scene.bases.rows()[ALPHA]["current_session_id"]
    spoken = {"method": "sessions.patchMany", "call": [1], "do": "write-before", "agent": "project-lead",
              "sql": [event(session, 9)]}  # fmt: skip
    lab.stub.tell(faults=[spoken, {"method": "sessions.patchMany", "call": [2], "do": "lie"}])
    report = scene.batch(targets=(ALPHA, BETA))
    assert left_hidden(scene) == [ALPHA]
    (row,) = [row for row in report.results if row.key == ALPHA]
    assert row.status is Status.CAME_BACK
    assert "hidden" in " ".join([row.error or "", *report.warnings])


@pytest.mark.parametrize("do", ["lie", "error"])
def test_what_the_recovery_could_not_take_out_of_the_archive_is_told(lab: Lab, do: str) -> None:
    point = lab.fresh().steps().index("sessions.patchMany") + 1
    scene = lab.fresh()
    assert scene.killed_at(point)
    hidden = left_hidden(scene)
    assert len(hidden) > 2
    fault = {"method": "sessions.patchMany", "call": [1, 2, 3, 4], "do": do, "error": {"message": "the disk is full"}}
    lab.stub.tell(serial="again", faults=[fault])
    with contextlib.suppress(CloserError):
        report = scene.batch(targets=(OTHER,))
        told = " ".join(report.warnings)
        assert scene.bases.store.open_runs() or all(key in told for key in hidden)


def test_an_archive_that_was_still_under_way_is_taken_up(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = lab.folder / "take-effect"
    scene = lab.fresh(faults=[{"method": "sessions.patchMany", "call": [1], "do": "wait", "until": str(go_on)}])
    killed_in_a_call(scene, "sessions.patchMany")
    assert left_hidden(scene) == []

    def sleep(_seconds: float) -> None:
        go_on.touch()
        while not left_hidden(scene):
            time.sleep(0.02)

    monkeypatch.setattr(asking, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    assert exit_code(scene.batch(targets=(OTHER,))) == 0
    assert len(lab.stub.calls("sessions.patchMany")) > 1
    assert left_hidden(scene) == []


@pytest.mark.parametrize("do", ["drop-before", "drop-after"])
def test_what_was_used_is_taken_out_of_the_archive_though_the_connection_broke(lab: Lab, do: str) -> None:
    scene = lab.fresh()
    session = scene.bases.rows()[ALPHA]["current_session_id"]
    spoken = {"method": "sessions.patchMany", "call": [1], "do": "write-before", "agent": "project-lead",
              "sql": [event(session, 9)]}  # fmt: skip
    lab.stub.tell(faults=[spoken, {"method": "sessions.patchMany", "call": [2], "do": do}])
    assert scene.command().code == 6
    lab.stub.tell(faults=[])
    assert exit_code(scene.batch(targets=(OTHER,))) == 0
    assert left_hidden(scene) == []
    assert (session, 9) in scene.bases.events()


def test_a_session_that_is_used_meanwhile_is_never_lost_from_sight_by_a_kill(lab: Lab) -> None:
    steps = lab.fresh().steps()
    broken = []
    first = steps.index("sessions.patchMany")
    for point in [*range(first, first + 10), *range(first + 10, len(steps), 6)]:
        scene = lab.fresh()
        session = scene.bases.rows()[ALPHA]["current_session_id"]
        lab.stub.tell(faults=[{"method": "sessions.patchMany", "call": [1], "do": "write-before",
                               "agent": "project-lead", "sql": [event(session, 9)]}])  # fmt: skip
        assert scene.killed_at(point)
        lab.stub.tell(faults=[])
        where = f"before {point} ({steps[point]})"
        if exit_code(scene.batch(targets=(OTHER,))) != 0:
            broken.append(f"{where}: exit code")
        if ALPHA not in scene.bases.rows():
            broken.append(f"{where}: deleted")
        broken += [f"{where}: {key} is hidden" for key in left_hidden(scene)]
    assert broken == []


# A record that somebody has tampered with


def tamper(scene: Scene, change: Callable[[dict[str, Any]], None]) -> None:
    (path,) = Path(scene.state, "session-closer", "open").glob("*/record.json")
    record = json.loads(path.read_bytes())
    for store in record["stores"]:
        change(store)
    path.write_text(json.dumps(record))


def each(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(store: dict[str, Any]) -> None:
        for session in store["sessions"]:
            session[name] = value

    return change


DAMAGED = {
    "entry is a number": each("entry", 5),
    "entry is an object": each("entry", {}),
    "events is text": each("events", "1"),
    "events is true": each("events", True),
    "archivedAt is text": each("archivedAt", "1"),
    "key is a number": each("key", 5),
    "unknown member": each("surprise", 5),
    "a move out of the folder": each("moves", [{"source": "../a.jsonl", "target": "b", "size": 0, "mtimeNs": 0}]),
    "era of files": lambda store: store.update(era="files"),
    "unknown era": lambda store: store.update(era="postgres"),
    "a backup": lambda store: store.update(backup="openclaw-agent.sqlite.bak-1"),
    "agent is a path": lambda store: store.update(agent="../../outside"),
    "another agent": lambda store: store.update(agent="researcher"),
    "path elsewhere": lambda store: store.update(path=store["path"].replace("/agents/", "/elsewhere/")),
    "another agent's path": lambda store: store.update(path=store["path"].replace("project-lead", "researcher")),
    "transcripts elsewhere": lambda store: store.update(transcripts="/tmp"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_record_is_left_and_nothing_is_deleted_by_it(halfway: Scene, name: str) -> None:
    shutil.copytree(os.path.join(halfway.state, "agents"), os.path.join(halfway.state, "elsewhere"))
    tamper(halfway, DAMAGED[name])
    before = {agent: halfway.bases.rows(agent) for agent in AGENTS}
    # It may speak of another agent now: then what is asked for is none of its business.
    others = ("another agent",)
    with contextlib.nullcontext() if name in others else pytest.raises(Refused, match="damaged"):
        report = halfway.batch(targets=(OTHER,))
        assert [row.status for row in report.results] == [Status.CLOSED]
        assert any("damaged" in warning for warning in report.warnings)
        before["project-lead"].pop(OTHER)
    assert {agent: halfway.bases.rows(agent) for agent in AGENTS} == before
    deleted = [call["key"] for call in halfway.lab.stub.calls("sessions.delete")]
    assert deleted == ([OTHER] if name in others else [])
    assert halfway.bases.store.open_runs()


@pytest.mark.parametrize("key", [GAMMA, RESEARCHER + "main", LEAD + "main", OTHER, LEAD + "kelly-dashboard", "global"])
def test_a_record_that_names_another_key_deletes_nothing(halfway: Scene, key: str) -> None:
    tamper(halfway, each("key", key))
    before = {agent: halfway.bases.rows(agent) for agent in AGENTS}
    halfway.batch(targets=(BETA,))
    before["project-lead"].pop(BETA)
    assert {agent: halfway.bases.rows(agent) for agent in AGENTS} == before


CRASHING = {
    "entry is no JSON": each("entry", "{"),
    "entry is a list": each("entry", "[]"),
    "entry is nested too deep": each("entry", "[" * 100_000),
    "key is half a character": each("key", LEAD + "\ud800"),
}


@pytest.mark.parametrize("name", CRASHING)
def test_a_record_that_reads_like_ours_and_makes_no_sense_is_damaged(halfway: Scene, name: str) -> None:
    tamper(halfway, CRASHING[name])
    before = {agent: halfway.bases.rows(agent) for agent in AGENTS}
    with pytest.raises(Refused, match="damaged"):
        halfway.batch(targets=(OTHER,))
    assert {agent: halfway.bases.rows(agent) for agent in AGENTS} == before
