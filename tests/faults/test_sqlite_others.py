"""What others do to databases while a run is cut off, a gateway that lies, and a record that was tampered with."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.databases import (
    AGENTS,
    ALPHA,
    BETA,
    FINE,
    GAMMA,
    OTHER,
    Lab,
    Scene,
    finishes,
    killed_in_a_call,
    left_hidden,
)
from session_closer.core.ending import exit_code
from session_closer.core.errors import CloserError, Refused
from session_closer.core.status import Status
from session_closer.journal.written import read_record
from session_closer.system.clock import Clock
from support.clock import handed
from support.keys import LEAD, RESEARCHER
from support.shares import Share
from support.sqlite import begun_run, event, window
from support.stores import TOKEN

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


def test_a_session_that_is_used_meanwhile_is_never_lost_from_sight_by_a_kill(lab: Lab, some: Share) -> None:
    steps = lab.fresh().steps()
    broken = []
    first = steps.index("sessions.patchMany")
    for point in some([*range(first, first + 10), *range(first + 10, len(steps), 6)], 4):
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
    "transcripts elsewhere": lambda store: store.update(roots={"sessions": "/tmp"}),
}


@pytest.mark.long
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
