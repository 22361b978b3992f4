"""Kill, cut off or interrupt at every step of a batch over databases: nothing is lost, and the next run finishes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faults.databases import (
    AGENTS,
    ALPHA,
    BETA,
    ERRORS,
    GAMMA,
    OTHER,
    PUT_AWAY,
    TARGETS,
    Interrupting,
    Lab,
    Scene,
    finishes,
    killed_in_a_call,
    left_hidden,
    replaced,
    truthful,
    violations,
)
from session_closer.core.ending import exit_code
from session_closer.core.status import Status
from session_closer.journal.written import read_record
from session_closer.openclaw.gateway.link import SocketLink
from session_closer.system.disk import Disk
from support.keys import LEAD
from support.patience import PATIENCE_SECONDS
from support.programs import BARE, importable
from support.shares import Share
from support.sqlite import CRON_RUN
from support.stores import TOKEN


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
    for point in some(range(part, len(steps), 4), 6):
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


@pytest.mark.long
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
    assert tried >= some.least(5)
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
        [sys.executable, *BARE, "-B", "-c", program, *words],
        env={**os.environ, "PYTHONPATH": importable()},
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
