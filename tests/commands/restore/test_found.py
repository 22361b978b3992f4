"""restore-sessions --found and found:ID over file stores: what somebody else has deleted or reset, and brings back."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import MOST_FOUND, RestoreSessions
from session_closer.core.errors import CorruptStore
from session_closer.openclaw import from_found
from session_closer.operations import restore as restoring
from support.commands import restore, run, run_json
from support.interrupted import Killed, KilledDisk
from support.keys import LEAD, session_id
from support.moments import PUT_AWAY
from support.stores import Stage, Store
from support.trees import tree, write

KELLY, TOPICS, ALPHA = LEAD + "kelly-dashboard", LEAD + "topics", LEAD + "alpha"
TRACKER = LEAD + "project-hydration-tracker"
MEMBERS = {"id", "agent", "key", "sessionId", "reason", "at", "bytes", "settings", "receipt", "archive"}


def found(store: Store, *words: str) -> list[dict[str, Any]]:
    answer = restore(store, "--found", *words)
    assert (answer.code, answer.data["error"]) == (0, None), answer
    assert all(set(row) == MEMBERS for row in answer.data["found"])
    return list(answer.data["found"])


def the_one(store: Store, key: str | None) -> dict[str, Any]:
    [row] = [row for row in found(store) if row["key"] == key]
    return row


def taken_away(store: Store, key: str, how: str = "deleted", stamp: str = PUT_AWAY) -> Path:
    """Do what OpenClaw's own sessions.delete does: the row goes, the transcript is renamed; return the archive."""
    entries = store.entries()
    live = Path(entries.pop(key)["sessionFile"])
    archive = live.with_name(f"{live.name}.{how}.{stamp}")
    live.rename(archive)
    store.write(entries)
    return archive


def openclaws_backup(store: Store, suffix: str = ".bak.1") -> Path:
    """Leave a copy of the index as OpenClaw does; return its path."""
    path = store.index().with_name(f"sessions.json{suffix}")
    write(path, store.index().read_bytes())
    return path


def lost(store: Store) -> list[dict[str, Any]]:
    """Return what is found but the one archive that the sample store has from the beginning."""
    return [row for row in found(store) if not Path(row["archive"] or "").name.startswith("orphan.")]


# What is shown


def test_what_was_deleted_within_one_second_is_listed_the_latest_first(store: Store) -> None:
    stamps = [PUT_AWAY.partition(".")[0] + f".{moment:03}Z" for moment in (700, 100, 900, 300, 500, 200)]
    for number in range(len(stamps)):
        store.add((f"{LEAD}gone-{number}", store.session(f"{LEAD}gone-{number}")))
    gone = {str(taken_away(store, f"{LEAD}gone-{at}", stamp=stamp)): stamp for at, stamp in enumerate(stamps)}
    assert [gone[row["archive"]] for row in lost(store)] == sorted(stamps, reverse=True)


def test_what_openclaw_deleted_is_listed_and_nothing_is_touched(store: Store) -> None:
    archive = taken_away(store, TRACKER)
    before = tree(store.state)
    [row] = lost(store)
    assert tree(store.state) == before
    assert row["key"] is None, "no file of this era has the key of a deleted session"
    assert row["sessionId"] == archive.name.partition(".")[0]
    assert (row["agent"], row["reason"], row["settings"], row["receipt"]) == ("project-lead", "deleted", False, None)
    assert (row["archive"], row["bytes"]) == (str(archive), archive.stat().st_size)
    assert row["at"].replace(":", "-").removesuffix("Z") == PUT_AWAY.partition(".")[0]


def test_a_person_reads_when_why_how_large_whose_and_what_to_type(store: Store) -> None:
    taken_away(store, TRACKER)
    run_json(CloseProjectBatch, "topics", state=store.state)
    result = run(RestoreSessions, "--found", state=store.state)
    assert (result.code, result.stderr) == (0, "")
    heads, *rows, back, last = result.stdout.splitlines()
    assert heads.split() == ["WHEN", "REASON", "SIZE", "BY", "ID", "KEY"]
    [ours] = [line for line in rows if TOPICS in line]
    assert " us " in ours
    theirs = [line for line in rows if "? (agent project-lead)" in line]
    assert theirs
    assert not any(" us " in line for line in theirs)
    assert back.startswith("back     restore-sessions --state-dir ")
    more = run(RestoreSessions, "--found", "--verbose", state=store.state).stdout
    assert all(f"  {row['archive']}\n" in more for row in found(store))
    assert not any(row["archive"] in result.stdout for row in found(store))
    assert last == f"no key   {back.removeprefix('back').strip()} --as KEY"


@pytest.mark.parametrize("suffix", [".bak.1", ".bak", ".bak-by-hand"])
def test_a_backup_of_the_index_tells_the_key_and_what_was_set(store: Store, suffix: str) -> None:
    openclaws_backup(store, suffix)
    taken_away(store, KELLY)
    row = the_one(store, KELLY)
    assert (row["settings"], row["receipt"]) == (True, None)


def test_a_trajectory_tells_the_key(store: Store) -> None:
    archive = taken_away(store, TRACKER)
    name = archive.name.partition(".")[0]
    event = {"traceSchema": "openclaw-trajectory", "sessionId": name, "sessionKey": TRACKER}
    write(store.folder() / f"{name}.trajectory.jsonl", json.dumps(event) + "\n")
    assert the_one(store, TRACKER)["settings"] is False


def test_a_row_that_only_a_backup_has_is_found_without_a_transcript(store: Store) -> None:
    openclaws_backup(store)
    before = store.entries()
    entry = before.pop(LEAD + "never-spoken")
    store.write(before)
    row = the_one(store, LEAD + "never-spoken")
    assert (row["reason"], row["archive"], row["bytes"], row["settings"]) == ("gone", None, None, True)
    answer = restore(store, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (0, [(LEAD + "never-spoken", "restored")])
    assert [(left["kind"], left["count"]) for left in answer.data["results"][0]["notRestored"]] == [("transcript", 1)]
    assert store.entries()[LEAD + "never-spoken"] == entry


def test_what_we_closed_is_said_to_be_ours_until_it_is_back(store: Store) -> None:
    receipt = Path(run_json(CloseProjectBatch, "kelly-dashboard", "topics", state=store.state).data["receipt"]).stem
    assert {row["key"]: row["receipt"] for row in lost(store)} == {
        KELLY: receipt,
        LEAD + "project-kelly-dashboard": receipt,
        TOPICS: receipt,
    }
    assert restore(store, "last").code == 0
    assert lost(store) == []


def test_words_narrow_the_list_by_key_id_and_name(store: Store) -> None:
    openclaws_backup(store)
    taken_away(store, KELLY)
    archive = taken_away(store, TRACKER)
    row = the_one(store, KELLY)
    for word in ("kelly", row["id"], f"found:{row['id']}", row["sessionId"], row["sessionId"][:8]):
        assert found(store, word) == [row], word
    assert [each["key"] for each in found(store, archive.name)] == [TRACKER]
    assert {each["key"] for each in found(store, "kelly", "hydration")} == {KELLY, TRACKER}
    assert found(store, "nothing-of-this-name") == []
    assert run(RestoreSessions, "--found", "nothing-of-this-name", state=store.state).stdout == "nothing found\n"


def test_thousands_are_listed_the_latest_first_and_no_more_than_are_asked_for(store: Store) -> None:
    total = MOST_FOUND + 30
    for number in range(total):
        stamp = f"{PUT_AWAY[:11]}00-{number // 60:02d}-{number % 60:02d}.000Z"
        (store.folder() / f"{session_id(str(number))}.jsonl.deleted.{stamp}").touch()
    answer = restore(store, "--found")
    assert (len(answer.data["found"]), answer.data["foundTotal"]) == (MOST_FOUND, total + 1)
    times = [row["at"] for row in answer.data["found"]]
    assert times == sorted(times, reverse=True)
    assert len(restore(store, "--found", "--verbose").data["found"]) == total + 1
    assert len(run(RestoreSessions, "--found", state=store.state).stdout.splitlines()) < 30


def test_what_no_backup_was_read_of_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from session_closer.openclaw import remains

    monkeypatch.setattr(remains, "_BACKUP_BYTES", 1)
    openclaws_backup(store)
    answer = restore(store, "--found")
    assert answer.code == 0
    assert ["1 older backups" in warning for warning in answer.data["warnings"]] == [True]


def test_an_agent_that_cannot_be_read_is_left_out_with_a_warning(store: Store) -> None:
    taken_away(store, TRACKER)
    write(store.index("researcher"), b"{")
    answer = restore(store, "--found")
    assert answer.code == 0
    assert len(answer.data["found"]) == 2
    assert [warning for warning in answer.data["warnings"] if "researcher is left out" in warning]


def test_a_damaged_backup_is_said_and_the_others_count(store: Store) -> None:
    openclaws_backup(store)
    write(store.index().with_name("sessions.json.bak-torn"), b"{")
    taken_away(store, KELLY)
    assert the_one(store, KELLY)["settings"] is True
    assert "sessions.json.bak-torn" in str(restore(store, "--found").data["warnings"])


# What comes back


def test_it_comes_back_by_the_receipt_of_the_run_that_closed_it_as_it_was(store: Store) -> None:
    before = {name: kind for name, kind in tree(store.state / "agents").items() if not stat.S_ISDIR(kind[0])}
    run_json(CloseProjectBatch, KELLY, "topics", state=store.state)
    for key in (TOPICS, KELLY):
        answer = restore(store, f"found:{the_one(store, key)['id']}")
        assert (answer.code, answer.rows, answer.data["warnings"]) == (0, [(key, "restored")], [])
    after = tree(store.state / "agents")
    assert {name: kind[2] for name, kind in after.items() if ".bak-" not in name and name in before} == {
        name: kind[2] for name, kind in before.items()
    }


def test_it_comes_back_with_the_row_of_a_backup(store: Store) -> None:
    backup, entry = openclaws_backup(store), store.entries()[KELLY]
    archive = taken_away(store, KELLY)
    content = archive.read_bytes()
    answer = restore(store, f"found:{the_one(store, KELLY)['id']}")
    assert (answer.code, answer.rows) == (0, [(KELLY, "restored")])
    assert store.entries()[KELLY] == entry
    assert Path(entry["sessionFile"]).read_bytes() == content
    assert str(backup) in answer.data["warnings"][0], "the row may be older than what was deleted"
    assert not archive.exists()
    assert found(store, KELLY) == []


def test_one_whose_key_is_not_known_gets_the_key_that_is_named_and_is_said_to_be_bare(store: Store) -> None:
    archive = taken_away(store, TRACKER)
    content, row, before, began = archive.read_bytes(), the_lost(store), tree(store.state), time.time() * 1000
    refused = restore(store, f"found:{row['id']}")
    assert (refused.code, refused.error) == (3, "no_key")
    assert f"found:{row['id']} --as KEY" in refused.data["error"]["remedy"]
    assert tree(store.state) == before
    dry = restore(store, f"found:{row['id']}", "--as", TRACKER, "--dry-run")
    assert (dry.code, dry.rows) == (0, [(TRACKER, "would_restore")])
    assert tree(store.state) == before
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER)
    assert (answer.code, answer.rows) == (0, [(TRACKER, "restored")])
    entry = store.entries()[TRACKER]
    assert (entry["sessionId"], Path(entry["sessionFile"]).read_bytes()) == (row["sessionId"], content)
    assert entry["updatedAt"] == entry["sessionStartedAt"] >= int(began), "an old one is reset with the next message"
    [left] = answer.data["results"][0]["notRestored"]
    assert (left["kind"], left["count"]) == ("settings", 1)
    assert "label, model, pin" in left["why"]


def the_lost(store: Store) -> dict[str, Any]:
    [row] = lost(store)
    return row


def test_a_project_id_behind_as_is_one_of_the_same_agent(store: Store) -> None:
    taken_away(store, TRACKER)
    answer = restore(store, f"found:{the_lost(store)['id']}", "--as", "tracker-again")
    assert answer.rows == [(LEAD + "tracker-again", "restored")]


def test_the_receipt_of_it_closes_it_again_and_it_is_found_again(store: Store) -> None:
    before = store.index().read_bytes()
    taken_away(store, TRACKER)
    closed = store.index().read_bytes()
    assert closed != before
    answer = restore(store, f"found:{the_lost(store)['id']}", "--as", TRACKER)
    undone = restore(store, Path(answer.data["receipt"]).stem)
    assert (undone.code, undone.rows) == (0, [(TRACKER, "closed")])
    assert store.index().read_bytes() == closed
    assert the_one(store, TRACKER)["receipt"] == Path(undone.data["receipt"]).stem


def test_after_a_reset_the_key_is_in_use_and_as_brings_the_old_one_back_beside_it(store: Store) -> None:
    openclaws_backup(store)
    old = store.entries()[KELLY]
    taken_away(store, KELLY, "reset")
    store.add((KELLY, store.session("anew")))
    row = the_one(store, KELLY)
    assert row["reason"] == "reset"
    before = tree(store.state)
    answer = restore(store, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (1, [(KELLY, "conflict")])
    assert "--as KEY" in answer.data["results"][0]["error"]
    assert tree(store.state) == before
    beside = LEAD + "kelly-before"
    answer = restore(store, f"found:{row['id']}", "--as", beside)
    assert (answer.code, answer.rows) == (0, [(beside, "restored")])
    assert store.entries()[beside] == old
    assert store.entries()[KELLY]["sessionId"] != old["sessionId"]


def test_a_file_name_that_the_session_after_a_reset_has_is_left_to_it(store: Store) -> None:
    """OpenClaw 2026.5 keeps the name of the transcript: the new session's id is another than its file's."""
    entry = store.entries()[TRACKER]
    live = Path(entry["sessionFile"])
    content = live.read_bytes()
    taken_away(store, TRACKER, "reset")
    write(live, json.dumps({"type": "session", "id": session_id("anew")}) + "\n")
    store.add((TRACKER, {**entry, "sessionId": session_id("anew")}))
    now, row = live.read_bytes(), the_lost(store)
    for key in (TRACKER, LEAD + "tracker-before"):
        answer = restore(store, f"found:{row['id']}", "--as", key)
        assert answer.rows == [(key, "conflict" if key == TRACKER else "restored")], answer
    assert live.read_bytes() == now
    mine = store.entries()[LEAD + "tracker-before"]
    assert Path(mine["sessionFile"]).read_bytes() == content
    assert Path(mine["sessionFile"]).name == f"{mine['sessionId']}.jsonl"


def test_what_lies_beside_an_index_elsewhere_is_found_and_comes_back(store: Store) -> None:
    place = store.state / "stores"
    place.mkdir(mode=0o700)
    store.configure(session={"store": str(place / "{agentId}.json")})
    entries = store.entries()
    live = place / Path(entries[TRACKER]["sessionFile"]).name
    Path(entries[TRACKER]["sessionFile"]).rename(live)
    content = live.read_bytes()
    archive = live.rename(f"{live}.deleted.{PUT_AWAY}")
    del entries[TRACKER]
    write(place / "project-lead.json", json.dumps(entries))
    for agent in ("main", "researcher"):
        write(place / f"{agent}.json", store.index(agent).read_bytes())
    # Whose it is nobody can tell where the indexes of all agents are in one folder: the key says it.
    [row] = lost(store)
    assert (row["archive"], row["bytes"]) == (str(archive), len(content))
    write(live, "another's\n")
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER)
    assert (answer.code, answer.rows) == (0, [(TRACKER, "restored")]), answer
    entry = json.loads((place / "project-lead.json").read_bytes())[TRACKER]
    assert Path(entry["sessionFile"]).parent == place
    assert Path(entry["sessionFile"]).read_bytes() == content
    assert not archive.exists()
    assert live.read_text() == "another's\n"
    assert lost(store) == []


def test_what_a_backup_says_is_one_agents_is_not_shown_for_the_others(store: Store) -> None:
    place = store.state / "stores"
    place.mkdir(mode=0o700)
    store.configure(session={"store": str(place / "{agentId}.json")})
    for agent in ("main", "project-lead", "researcher"):
        write(place / f"{agent}.json", store.index(agent).read_bytes())
    write(place / "project-lead.json.bak.1", store.index().read_bytes())
    entries = store.entries()
    live = Path(entries.pop(TRACKER)["sessionFile"])
    live.rename(place / f"{live.name}.deleted.{PUT_AWAY}")
    write(place / "project-lead.json", json.dumps(entries))
    [row] = lost(store)
    assert (row["agent"], row["key"]) == ("project-lead", TRACKER)


def test_ours_comes_back_by_another_key_too(store: Store) -> None:
    entry = store.entries()[KELLY]
    run_json(CloseProjectBatch, KELLY, state=store.state)
    store.add((KELLY, store.session("anew")))
    row = the_one(store, KELLY)
    assert restore(store, f"found:{row['id']}").rows == [(KELLY, "conflict")]
    answer = restore(store, f"found:{row['id']}", "--as", LEAD + "kelly-before")
    assert answer.rows == [(LEAD + "kelly-before", "restored")]
    assert store.entries()[LEAD + "kelly-before"] == entry
    assert {f"{entry['sessionId']}.jsonl", f"{entry['sessionId']}.trajectory.jsonl"} <= store.names()


@pytest.mark.parametrize("number", ["9" * 5000, "1e400", "0.10000000000000000000001"])
def test_what_was_set_stands_in_a_new_entry_as_it_stood_in_the_old_one(store: Store, number: str) -> None:
    entry = store.entries()[KELLY]
    own, index = str(entry["sessionId"]), store.index().read_text()
    write(store.index(), index.replace(json.dumps(own), f'{json.dumps(own)}, "n": {number}', 1))
    assert run_json(CloseProjectBatch, KELLY, state=store.state).code == 0
    write(store.folder() / f"{own}.jsonl", "begun anew\n")
    row = the_one(store, KELLY)
    answer = restore(store, f"found:{row['id']}", "--as", LEAD + "kelly-before")
    assert (answer.code, answer.rows) == (0, [(LEAD + "kelly-before", "restored")])
    after = store.index().read_text()
    assert f'"n": {number},' in after
    assert "Infinity" not in after
    assert json.dumps(own) not in after, "that name is another's"


def test_one_that_is_too_deep_for_another_key_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    own = str(store.entries()[KELLY]["sessionId"])
    assert run_json(CloseProjectBatch, KELLY, state=store.state).code == 0
    write(store.folder() / f"{own}.jsonl", "begun anew\n")
    row = the_one(store, KELLY)
    before = tree(store.state)
    monkeypatch.setattr(from_found, "with_members", mock.Mock(side_effect=CorruptStore("is nested too deep")))
    answer = restore(store, f"found:{row['id']}", "--as", LEAD + "kelly-before")
    assert (answer.code, answer.error) == (3, "refused")
    assert 'the entry of "agent:project-lead:kelly-before" is nested too deep' in answer.data["error"]["message"]
    assert tree(store.state) == before


def test_below_a_running_gateway_it_is_restarted_once(stage: Stage) -> None:
    store = stage("up")
    taken_away(store, TRACKER)
    row = the_lost(store)
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER)
    assert (answer.code, answer.rows) == (0, [(TRACKER, "restored")])
    assert (answer.data["restart"]["needed"], answer.data["restart"]["result"]) == (True, "restarted")


@pytest.mark.parametrize("is_taken", [False, True], ids=["its own file name", "another's"])
@pytest.mark.parametrize("step", ["rename_new", "exchange"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_in_the_middle_loses_nothing_and_the_same_again_brings_it_back(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool, is_taken: bool
) -> None:
    archive = taken_away(store, TRACKER)
    content, row = archive.read_bytes(), the_lost(store)
    if is_taken:
        write(archive.with_name(archive.name.partition(".deleted")[0]), "another's\n")
    words = (f"found:{row['id']}", "--as", LEAD + "tracker-2")
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "Disk", lambda: KilledDisk(step, after=after))
        with pytest.raises(Killed):
            restore(store, *words)
    answer = restore(store, *words)
    if answer.error == "nothing_found":
        # The entry was in the store when it was killed: the run that was interrupted has been finished.
        assert LEAD + "tracker-2" in store.entries()
    else:
        assert (answer.code, answer.rows) == (0, [(LEAD + "tracker-2", "restored")])
    entry = store.entries()[LEAD + "tracker-2"]
    assert Path(entry["sessionFile"]).read_bytes() == content
    assert (store.open_runs(), lost(store)) == ([], [])


def test_where_the_index_itself_is_gone_a_new_one_is_begun(store: Store) -> None:
    openclaws_backup(store)
    entry = store.entries()[KELLY]
    store.index().unlink()
    row = the_one(store, KELLY)
    assert (row["reason"], row["settings"]) == ("gone", True)
    answer = restore(store, f"found:{row['id']}")
    assert (answer.code, answer.rows) == (0, [(KELLY, "restored")])
    assert store.entries() == {KELLY: entry}
    assert "notRestored" not in answer.data["results"][0], "its transcript is where it was"
    assert [warning for warning in answer.data["warnings"] if "a new one was begun" in warning]


def test_a_key_with_half_a_character_comes_back(store: Store) -> None:
    odd = LEAD + "odd-\ud800"
    entries = store.entries()
    write(store.index(), json.dumps({**entries, odd: store.session("odd", label="half \ud800")}))
    openclaws_backup(store)
    live = store.folder() / f"{session_id('project-lead odd')}.jsonl"
    live.rename(f"{live}.deleted.{PUT_AWAY}")
    store.write(entries)
    row = the_one(store, odd)
    assert restore(store, f"found:{row['id']}").rows == [(odd, "restored")]
    assert store.entries()[odd]["label"] == "half \ud800"


# What is refused


def test_a_file_without_a_session_that_a_cleanup_put_away_is_ours_and_can_be_made_one(store: Store) -> None:
    stray = store.transcript(f"{session_id('stray')}.jsonl")
    os.utime(stray, (1, 1))
    cleaned = run_json(CleanupSessions, "--only", "orphans", "--orphans", "1d", state=store.state)
    assert cleaned.code == 0
    [row] = [row for row in lost(store) if row["sessionId"] == session_id("stray")]
    assert (row["receipt"], row["key"]) == (Path(cleaned.data["receipt"]).stem, None)
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER + "-2")
    assert (answer.code, answer.rows) == (0, [(TRACKER + "-2", "restored")])
    assert Path(store.entries()[TRACKER + "-2"]["sessionFile"]) == stray
    assert stray.is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("--found", "--list"),
        ("--found", "--check"),
        ("--found", "--as", KELLY),
        ("last", "--as", KELLY),
        ("found:0", "alpha"),
    ],
)
def test_words_that_make_no_sense_together_are_a_usage_error(store: Store, words: tuple[str, ...]) -> None:
    before = tree(store.state)
    answer = restore(store, *words)
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(store.state) == before


@pytest.mark.parametrize(
    "key", [LEAD + "main", "agent:researcher:kelly", LEAD + "Kelly", LEAD + "a b", "../x", "agent:project-lead:"]
)
def test_a_key_that_it_cannot_get_is_a_usage_error(store: Store, key: str) -> None:
    taken_away(store, TRACKER)
    row, before = the_lost(store), tree(store.state)
    answer = restore(store, f"found:{row['id']}", "--as", key)
    assert (answer.code, answer.error) == (2, "usage"), answer
    assert tree(store.state) == before


def test_a_key_that_is_another_but_for_case_is_refused(store: Store) -> None:
    store.add((LEAD + "Tracker", store.session("other")))
    taken_away(store, TRACKER)
    row, before = the_lost(store), tree(store.state)
    answer = restore(store, f"found:{row['id']}", "--as", LEAD + "tracker")
    assert (answer.code, answer.error) == (3, "refused")
    assert "Tracker" in answer.data["error"]["message"]
    assert tree(store.state) == before


@pytest.mark.parametrize("wanted", ["found:ffffffffffff", "found:"])
def test_an_id_of_nothing_is_refused(store: Store, wanted: str) -> None:
    answer = restore(store, wanted)
    assert (answer.code, answer.error) == (3, "nothing_found")
    assert answer.data["error"]["remedy"] == f"restore-sessions --state-dir {store.state} --found"


def test_a_file_that_is_no_transcript_is_not_made_a_session(store: Store) -> None:
    archive = taken_away(store, TRACKER)
    write(archive, "not a transcript\n")
    row, before = the_lost(store), tree(store.state)
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER)
    assert (answer.code, answer.error) == (3, "refused")
    assert archive.name in answer.data["error"]["message"]
    assert tree(store.state) == before


def test_what_a_database_has_packed_is_not_made_a_file_of_a_file_store(store: Store) -> None:
    archive = taken_away(store, TRACKER)
    packed = archive.with_name(f"{archive.name}.{'0' * 32}.zst")
    archive.rename(packed)
    row, before = the_lost(store), tree(store.state)
    answer = restore(store, f"found:{row['id']}", "--as", TRACKER)
    assert (answer.code, answer.rows) == (1, [(TRACKER, "failed")])
    assert "database" in answer.data["results"][0]["error"]
    assert tree(store.state) == before


def test_a_person_reads_that_what_was_set_for_it_is_gone(store: Store) -> None:
    taken_away(store, TRACKER)
    for more in ("--dry-run", "--reason=why"):
        result = run(RestoreSessions, f"found:{the_lost(store)['id']}", "--as", TRACKER, more, state=store.state)
        assert result.code == 0
        assert "not restored: 1 session's settings: label, model, pin" in result.stdout
