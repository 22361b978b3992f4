"""Files that no row refers to are archived and come back; one that is used again stays."""

from __future__ import annotations

import os
from pathlib import Path

from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core import names as archive_names
from support.cleanup import (
    BARE_RUN,
    CHECKPOINT,
    DAY,
    HOUR,
    LONG_AGO,
    OLD_RUN,
    READER_RUN,
    age,
    clean,
    gone,
    shelve,
    stamp,
    stray,
    summary,
    unchanged,
)
from support.commands import Answer, run_json
from support.keys import LEAD, session_id
from support.stores import Store, picture
from support.trees import write


def test_files_that_no_row_refers_to_are_archived_and_come_back(filled: Store) -> None:
    kelly = filled.entries()[LEAD + "kelly"]["sessionId"]
    for path in filled.folder().glob("*.jsonl"):
        age(path, 30 * DAY)
    alive = [
        stray(filled, f"{kelly}{end}", 30 * DAY)
        for end in ("-topic-4.jsonl", ".trajectory.jsonl", ".trajectory-path.json", CHECKPOINT)
    ]  # fmt: skip
    filled.add((LEAD + "other-name", {"sessionId": "idle", "updatedAt": LONG_AGO, "sessionFile": "named.jsonl"}))
    alive += [stray(filled, "named.jsonl", 30 * DAY), stray(filled, "named-topic-1.jsonl", 30 * DAY)]
    x, y = session_id("x"), session_id("y")
    wanted = [f"{x}.jsonl", f"{x}-topic-1.jsonl", f"{x}.trajectory.jsonl", f"{x}.trajectory-path.json"]
    wanted += [x + CHECKPOINT, f"{y}-topic-9.jsonl"]
    for name in wanted:
        stray(filled, name, 25 * HOUR)
    kept = [stray(filled, "young.jsonl", 23 * HOUR), stray(filled, "notes.txt", 30 * DAY)]
    # One young file of a session keeps the others of it.
    kept += [stray(filled, "half.jsonl", 30 * DAY), stray(filled, "half-topic-1.jsonl", HOUR)]
    kept += [stray(filled, f"z.jsonl.reset.{stamp(90 * DAY)}", 90 * DAY), shelve(filled, 90 * DAY)]
    kept += [stray(filled, "future.jsonl", -30 * DAY), stray(filled, ".hidden.jsonl", 30 * DAY)]
    before, inodes = picture(filled), {name: (filled.folder() / name).stat().st_ino for name in wanted}
    ahead = unstamped(clean(filled, "--only", "orphans", "--dry-run"))
    answer = clean(filled, "--only", "orphans")
    assert unstamped(answer) == ahead
    assert (answer.code, gone(answer, "archived")) == (0, set(wanted))
    assert all(path.exists() for path in (*alive, *kept))
    for row in answer.data["results"]:
        assert (row["key"], row["action"], row["kind"]) == (None, "archive-orphan", None)
        (archive,) = row["archives"]
        assert not (filled.folder() / row["input"]).exists()
        assert os.stat(archive).st_ino == inodes[row["input"]]
        how = ".bak." if archive_names.is_companion(row["input"]) else ".deleted."
        assert Path(archive).name.startswith(row["input"] + how)
        assert row["bytes"] == os.stat(archive).st_size
    found = summary(answer)["unreferencedArtifacts"]
    assert (found["removedFiles"], found["bytes"]) == (6, sum(row["bytes"] for row in answer.data["results"]))
    assert summary(answer)["beforeCount"] == summary(answer)["afterCount"] == len(filled.listed())
    back = run_json(RestoreSessions, "last", state=filled.state)
    assert (back.code, {row["status"] for row in back.data["results"]}) == (0, {"restored"})
    assert picture(filled) == before


def unstamped(answer: Answer) -> set[str]:
    """Return the archives of all rows, each without the moment in its name."""
    return {path[: -len(stamp(0))] for row in answer.data["results"] for path in row["archives"]}


def test_files_are_told_behind_all_sessions_in_a_dry_run_too(filled: Store) -> None:
    for agent in ("project-lead", "researcher"):
        stray(filled, f"of-{agent}.jsonl", 2 * DAY, agent)
    told = [
        [(row["agent"], row["key"] or row["input"]) for row in clean(filled, "--orphans", *dry).data["results"]]
        for dry in (("--dry-run",), ())
    ]
    assert told[0] == told[1]
    assert [name for _, name in told[0][-2:]] == ["of-project-lead.jsonl", "of-researcher.jsonl"]


def test_the_list_of_runs_counts_files_without_a_session_that_are_back(filled: Store) -> None:
    for name in ("one", "two", "three"):
        stray(filled, f"{name}.jsonl", 2 * DAY)
    clean(filled, "--only", "orphans")
    run_json(RestoreSessions, "last", "two.jsonl", state=filled.state)
    found = run_json(RestoreSessions, "--list", state=filled.state).data["receipts"]
    assert [(row["sessions"], row["closed"], row["restored"]) for row in found] == [(1, 0, 1), (3, 3, 1)]
    clean(filled, "--only", "orphans")
    found = run_json(RestoreSessions, "--list", state=filled.state).data["receipts"]
    # What is put away anew was back, as a session that is closed again.
    assert [(row["sessions"], row["closed"], row["restored"]) for row in found] == [(1, 1, 0), (1, 0, 1), (3, 3, 1)]


def test_a_restore_of_files_without_a_session_alone_names_no_undo(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    clean(filled, "--stale", "cron-run=24h", "--orphans")
    put_back = filled.folder() / "one.jsonl"
    write(put_back, "another")
    conflict = run_json(RestoreSessions, "last", state=filled.state)
    assert (conflict.code, conflict.data["undo"] is None) == (1, False)
    put_back.unlink()
    back = run_json(RestoreSessions, "last", state=filled.state)
    assert [row["status"] for row in back.data["results"]].count("restored") == 1
    assert (back.code, back.data["undo"], back.data["receipt"] is None) == (0, None, False)


def test_one_file_that_came_back_is_named_by_its_name(filled: Store) -> None:
    for name in ("one", "two"):
        stray(filled, f"{name}.jsonl", 2 * DAY)
    clean(filled, "--only", "orphans")
    back = run_json(RestoreSessions, "last", "two.jsonl", state=filled.state)
    assert (back.code, [row["status"] for row in back.data["results"]]) == (0, ["restored"])
    assert {"two.jsonl"} == {"one.jsonl", "two.jsonl"} & filled.names()
    rest = run_json(RestoreSessions, filled.receipts()[0]["id"], state=filled.state)
    assert {row["input"]: row["status"] for row in rest.data["results"]} == {
        "one.jsonl": "restored",
        "two.jsonl": "already_restored",
    }


def test_a_file_that_is_there_again_is_not_overwritten_by_a_restore(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    clean(filled, "--only", "orphans")
    write(filled.folder() / "one.jsonl", "new")
    back = run_json(RestoreSessions, "last", state=filled.state)
    assert (back.code, [row["status"] for row in back.data["results"]]) == (1, ["conflict"])
    assert (filled.folder() / "one.jsonl").read_text() == "new"


def test_an_age_of_orphans_is_taken_and_a_locked_one_stays(filled: Store) -> None:
    stray(filled, "old.jsonl", 10 * DAY)
    stray(filled, "busy.jsonl", 10 * DAY)
    stray(filled, "busy-topic-1.jsonl", 10 * DAY)
    lock = filled.lock_transcript(LEAD + "kelly")
    lock.rename(filled.folder() / "busy.jsonl.lock")
    assert clean(filled, "--only", "orphans", "--orphans", "2w").data["results"] == []
    assert gone(clean(filled, "--only", "orphans", "--orphans", "9d"), "archived") == {"old.jsonl"}


def test_a_name_too_long_to_be_archived_stays_and_keeps_nothing_else(filled: Store) -> None:
    long = stray(filled, f"long-topic-{'t' * 230}.jsonl", 30 * DAY)
    stray(filled, "short.jsonl", 30 * DAY)
    answer = clean(filled, "--only", "orphans")
    assert (answer.code, gone(answer, "archived")) == (0, {"short.jsonl"})
    assert long.exists()
    unchanged(filled, "--only", "orphans", code=0)


def test_a_closed_session_s_files_are_archived_as_its_own_and_not_as_orphans(filled: Store) -> None:
    for path in filled.folder().glob("*.jsonl"):
        age(path, 30 * DAY)
    answer = clean(filled, "--stale", "cron-run=24h", "--orphans")
    assert gone(answer) == {OLD_RUN, BARE_RUN, READER_RUN}


def test_a_row_of_another_agent_keeps_a_file_from_being_an_orphan(filled: Store) -> None:
    path = stray(filled, "theirs.jsonl", 3 * DAY)
    stray(filled, "nobodys.jsonl", 3 * DAY)
    filled.add(
        ("agent:main:borrows", {"sessionId": "theirs", "sessionFile": str(path), "updatedAt": LONG_AGO}), agent="main"
    )
    for words in ((), ("--agent", "project-lead")):
        answer = clean(filled, "--only", "orphans", "--dry-run", *words)
        assert [row["input"] for row in answer.data["results"]] == ["nobodys.jsonl"], words


def test_a_restore_of_nothing_but_files_offers_no_undo(filled: Store) -> None:
    stray(filled, "one.jsonl", 2 * DAY)
    assert clean(filled, "--only", "orphans").data["undo"]
    answer = run_json(RestoreSessions, "last", state=filled.state)
    assert [row["status"] for row in answer.data["results"]] == ["restored"]
    assert answer.data["undo"] is None


def test_files_are_told_agent_by_agent_whoever_has_sessions_that_go(filled: Store) -> None:
    for agent in ("main", "project-lead", "researcher"):
        os.utime(filled.transcript(f"{session_id('nobody')}.jsonl", agent=agent), (1_480_000_000, 1_480_000_000))
    words = ("--orphans", "--stale", "cron-run=1d")
    dry, done = clean(filled, "--dry-run", *words), clean(filled, *words)

    def told(answer: Answer) -> list[tuple[str, str]]:
        return [(row["agent"], row["input"]) for row in answer.data["results"] if row["key"] is None]

    assert told(done) == told(dry)
    assert len({agent for agent, _ in told(done)}) == 3
    assert "main" not in {row["agent"] for row in done.data["results"] if row["key"] is not None}
