"""A dry run, limits, and what people and machines read of a cleanup."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.cleanup import (
    DAY,
    LONG_AGO,
    OLD_RUN,
    STALE,
    actions,
    backup,
    clean,
    fill,
    put,
    shelve,
    stamp,
    stray,
    summary,
    unchanged,
)
from support.commands import run, run_json, run_process
from support.gateway import StubGateway
from support.keys import LEAD
from support.programs import LIB
from support.stores import Stage, Store, picture

EVERYTHING = ("--stale", "cron-run=24h", "--stale", "subagent=24h", "--orphans", "--fix-missing", "--max-entries", "10",
              "--expire-archives", "30d")  # fmt: skip


def everything(store: Store) -> None:
    stray(store, "one.jsonl", 2 * DAY)
    stray(store, "two.trajectory.jsonl", 2 * DAY, "researcher")
    shelve(store, 40 * DAY)
    backup(store, 40 * DAY, "researcher")
    put(store, LEAD + "silent", DAY, spoken=False)


@pytest.mark.parametrize("life", ["down", "up"])
def test_a_dry_run_changes_nothing_and_the_real_one_does_what_it_said(
    stage: Stage, life: str, stub: StubGateway
) -> None:
    store = fill(stage(life))
    everything(store)
    planned = unchanged(store, *EVERYTHING, "--dry-run", code=0)
    assert (planned.data["dryRun"], planned.data["receipt"], planned.data["undo"]) == (True, None, None)
    done = clean(store, *EVERYTHING)
    assert (done.code, done.data["dryRun"]) == (0, False)
    assert actions(planned) == actions(done)
    assert {action for _, _, action in actions(done)} == {
        "prune-stale", "prune-missing", "cap-overflow", "archive-orphan", "expire-archive",
    }  # fmt: skip
    counted = [
        {name: value for name, value in each.items() if name not in ("backup", "applied", "dryRun")}
        for answer in (planned, done)
        for each in answer.data["stores"]
    ]
    assert counted[:3] == counted[3:]
    if life == "up":
        assert {call["key"] for call in stub.calls("sessions.delete")} == {
            key for _, key, action in actions(done) if key.startswith("agent:") and "e" in action
        }  # fmt: skip


@pytest.mark.parametrize("life", ["down", "up", "mute"])
def test_a_restore_after_a_cleanup_is_the_identity(stage: Stage, life: str) -> None:
    store = fill(stage(life))
    everything(store)
    before, entries = picture(store), {agent: store.entries(agent) for agent in ("project-lead", "researcher")}
    words = [word for word in EVERYTHING if word not in ("--expire-archives", "30d")]
    assert clean(store, *words).code == 0
    assert picture(store) != before
    back = run_json(RestoreSessions, "last", "--no-restart", state=store.state)
    assert back.code == 0, back
    assert {row["status"] for row in back.data["results"]} == {"restored"}
    assert {agent: store.entries(agent) for agent in entries} == entries
    if life == "up":  # its rows come back at the end
        assert {name: found for name, found in picture(store).items() if not name.endswith("sessions.json")} == {
            name: found for name, found in before.items() if not name.endswith("sessions.json")
        }
    else:
        assert picture(store) == before


def test_more_than_max_is_refused_with_the_exact_next_command(filled: Store) -> None:
    stray(filled, "it's.jsonl", 2 * DAY)
    stray(filled, "one.jsonl", 2 * DAY)
    words = ("--orphans", "--stale", "cron-run=24h", "--max", "3", "--reason", "it's late")
    answer = unchanged(filled, *words, code=3)
    assert (answer.error, answer.data["resultsTotal"]) == ("too_many", 4)
    assert "3 sessions and 1 files" in answer.data["error"]["message"]
    assert summary(answer)["applied"] is False
    program = str(LIB.parent / "bin" / "cleanup-sessions")
    ahead, _, command = answer.data["error"]["remedy"].partition(": ")
    assert ahead == "if all of them are meant"
    told = shlex.split(command)
    assert told[0] == "cleanup-sessions"
    done = subprocess.run([program, *told[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["resultsTotal"] == 4
    assert filled.receipts()[0]["reason"] == "it's late"


def test_some_rows_are_shown_and_all_with_verbose(filled: Store) -> None:
    many = {f"{LEAD}subagent:many-{at}": {"sessionId": f"m{at}", "updatedAt": LONG_AGO} for at in range(140)}
    filled.add(*many.items())
    short = clean(filled, "--dry-run", "--yes")
    assert (len(short.data["results"]) < 100, short.data["resultsTotal"]) == (True, 140 + len(STALE))
    assert short.data["resultsOmitted"] == short.data["resultsTotal"] - len(short.data["results"])
    assert sum(short.data["counts"].values()) == short.data["resultsTotal"]
    whole = clean(filled, "--dry-run", "--yes", "--verbose")
    assert len(whole.data["results"]) == 140 + len(STALE) == whole.data["resultsTotal"]


def test_what_a_person_reads(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    planned = run(CleanupSessions, "--stale", "cron-run=24h", "--orphans", "--dry-run", state=filled.state)
    assert (planned.code, planned.stderr) == (0, "")
    assert planned.stdout.splitlines()[1].startswith("dry run, nothing changed: 3 would close, 1 would archive")
    line = next(line for line in planned.stdout.splitlines() if OLD_RUN in line)
    assert line.split()[:5] == ["would_close", OLD_RUN, "prune-stale", "cron-run", "25h"]
    heads = planned.stdout.splitlines()[2]
    assert heads.split() == ["STATUS", "KEY", "RULE", "KIND", "AGE", "SIZE"]
    for head, cell in (("STATUS", "would_close"), ("KEY", OLD_RUN), ("RULE", "prune-stale"), ("KIND", "cron-run")):
        assert heads.index(head) == line.index(cell)
    assert heads.index("AGE") + 3 == line.index("25h") + 3
    line = next(line for line in planned.stdout.splitlines() if "one.jsonl" in line)
    assert line.split()[:5] == ["would_archive", "one.jsonl", "archive-orphan", "file", "2d"]
    done = run(CleanupSessions, "--stale", "cron-run=24h", "--orphans", state=filled.state)
    assert "undo     restore-sessions --state-dir" in done.stdout
    assert "agent    project-lead: 15 -> 13 sessions" in done.stdout


@pytest.mark.long
def test_one_document_whatever_happens(filled: Store) -> None:
    """run_json wants exactly one; here through the program itself, and where the words are wrong."""
    for words, code in ((("--dry-run",), 0), (("--stale", "main=1h"), 2), (("--max", "1"), 3), ((), 0)):
        done = run_process("cleanup-sessions", "--json", *words, state=filled.state)
        assert done.code == code, done
        assert json.loads(done.stdout)["operation"] == "cleanup-sessions"


def test_the_names_of_archives_stand_in_their_column(filled: Store) -> None:
    uuid = "11e56819-17c2-542b-a632-561d114e2c13"
    names = [f"{uuid}{how}.{stamp(60 * DAY)}" for how in (".jsonl.deleted", ".trajectory.jsonl.deleted")]
    names.append(f"{uuid}.checkpoint.{uuid}.jsonl.deleted.{stamp(60 * DAY)}")
    for name in names:
        stray(filled, name, 60 * DAY)
    result = run(CleanupSessions, "--dry-run", "--expire-archives", "30d", state=filled.state)
    [head] = [line for line in result.stdout.splitlines() if line.lstrip().startswith("STATUS")]
    rows = [line for line in result.stdout.splitlines() if line.lstrip().startswith("would_")]
    assert {line.index("expire-archive") for line in rows if "expire-archive" in line} == {head.index("RULE")}
    assert {name for line in rows for name in names if name in line} == set(names)
