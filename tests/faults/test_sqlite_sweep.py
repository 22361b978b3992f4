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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.databases import (
    AGENTS,
    ALPHA,
    BETA,
    ERRORS,
    FINE,
    GAMMA,
    OTHER,
    PUT_AWAY,
    TARGETS,
    Interrupting,
    Lab,
    Scene,
    finishes,
    left_hidden,
    replaced,
    truthful,
    violations,
)
from faults.sweep import in_child
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError, Refused
from session_closer.core.model import Status
from session_closer.journal.written import read_record
from session_closer.openclaw.gateway.link import SocketLink
from session_closer.openclaw.sqlite import close
from session_closer.system.clock import Clock
from session_closer.system.disk import Disk
from support.clock import handed
from support.gateway import StubGateway
from support.keys import LEAD, RESEARCHER
from support.patience import PATIENCE_SECONDS
from support.programs import LIB
from support.shares import Share
from support.sqlite import CRON_RUN, begun_run, event, window
from support.stores import TOKEN


@pytest.fixture(autouse=True)
def _nothing_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stub has done a call before its caller can be killed, unless a test says otherwise."""
    monkeypatch.setattr(close, "_UNDER_WAY_SECONDS", 0.0, raising=False)


@pytest.fixture
def lab(tmp_path: Path, stub: StubGateway) -> Lab:
    return Lab(tmp_path, stub)


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
def test_a_kill_between_any_two_steps_loses_nothing_and_the_next_run_finishes(lab: Lab, part: int, some: Share) -> None:
    steps = lab.fresh().steps()
    assert len(steps) > 60
    assert {"connect", "sessions.list", "sessions.patchMany", "sessions.delete", "rename"} <= set(steps)
    broken = []
    for point in some(range(part, len(steps), 4), 4):
        scene = lab.fresh()
        assert scene.killed_at(point), f"step {point} was not reached"
        where = f"before {point} ({steps[point]})"
        broken += [f"{where}: {line}" for line in violations(scene, ended=False)]
        broken += [f"{where}, next run: {line}" for line in finishes(scene)]
    assert broken == []


@pytest.mark.parametrize("again", ["same", "other"])
def test_a_kill_of_an_archiving_run_is_finished(lab: Lab, again: str, some: Share) -> None:
    targets = tuple(target for target in TARGETS if target != PUT_AWAY)
    steps = lab.fresh().steps(targets, archive=True)
    assert "sessions.delete" not in steps
    broken = []
    for point in some(range(steps.index("create") + (again == "same"), len(steps), 4), 3):
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


def test_another_command_after_a_kill_leaves_nothing_hidden_and_nothing_half_done(lab: Lab, some: Share) -> None:
    """It takes up what the killed run left: what was archived is deleted, or taken out of the archive again."""
    steps = lab.fresh().steps()
    both = (*TARGETS, OTHER)
    broken = []
    for point in some(range(steps.index("sessions.patchMany") - 1, len(steps), 3), 4, steps.__getitem__):
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


def test_a_kill_of_the_recovery_loses_nothing(lab: Lab, some: Share) -> None:
    steps = lab.fresh().steps()
    first = [steps.index("sessions.patchMany") + 1, steps.index("sessions.delete"), steps.index("sessions.delete") + 2,
             len(steps) - 1 - steps[::-1].index("sessions.delete")]  # fmt: skip
    broken, tried = [], 0
    for at, one in enumerate(first):
        for second in some(range(2 + at, 60, 8), 3):
            scene = lab.fresh()
            assert scene.killed_at(one)
            if not scene.killed_at(second):
                break
            tried += 1
            broken += [f"{one}/{second}: {line}" for line in violations(scene, ended=False)]
            broken += [f"{one}/{second}, next run: {line}" for line in finishes(scene)]
    assert tried > 4
    assert broken == []


# A connection that breaks


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
def test_a_connection_that_breaks_at_any_call_loses_nothing_and_the_next_run_finishes(
    lab: Lab, fault: str, some: Share
) -> None:
    calls = [step for step in lab.fresh().steps() if step == "connect" or step.startswith("sessions.")]
    assert len(calls) > 12
    broken = []
    for number, name in some(enumerate(calls, start=1), 4, lambda call: call[1]):
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


def test_an_error_at_any_kind_of_step_is_told_and_loses_nothing(lab: Lab, some: Share) -> None:
    steps = lab.fresh().steps()
    broken = []
    for point in some(range(steps.index("make_folder"), len(steps), 2), 4, steps.__getitem__):
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


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_at_any_call_tells_what_is_done_and_the_next_run_finishes(
    lab: Lab, when: str, some: Share
) -> None:
    calls = [step for step in lab.fresh().steps() if step == "connect" or step.startswith("sessions.")]
    broken = []
    for point, name in some(enumerate(calls, start=1), 4, lambda call: call[1]):
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
    said = {session["key"]: session["status"] for store in json.loads(read_record(str(path)).raw)["stores"]
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
        "from session_closer.cli.commands.close_project_batch import main; sys.exit(main())"
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


def test_an_archive_that_was_still_under_way_is_taken_up(lab: Lab) -> None:
    go_on = lab.folder / "take-effect"
    scene = lab.fresh(faults=[{"method": "sessions.patchMany", "call": [1], "do": "wait", "until": str(go_on)}])
    killed_in_a_call(scene, "sessions.patchMany")
    assert left_hidden(scene) == []

    class Meanwhile(Clock):
        def sleep(self, seconds: float) -> None:
            go_on.touch()
            while not left_hidden(scene):
                super().sleep(0.02)

    with handed(Meanwhile()):
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
    record = json.loads(read_record(str(path)).raw)
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
