"""What a restore brings back is what was closed, byte for byte; a restore can be undone."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import restore, run
from support.keys import session_id
from support.restore import ALPHA, KELLY, LEGACY, MANY, MANY_KEYS, READER, REVIEW, TOPICS, close, receipt_of, statuses
from support.stores import Store, picture
from support.trees import tree, write

# What comes back


def test_a_restore_after_a_close_is_the_identity(store: Store) -> None:
    """Two agents, companions, topics, shared and older transcripts: each byte, mode and time is as it was."""
    before = picture(store)
    closed = close(store, *MANY)
    assert {row["key"] for row in closed["results"]} == MANY_KEYS
    assert picture(store) != before
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "restored"))
    assert picture(store) == before
    assert store.open_runs() == []


def test_the_answer_names_stores_backups_receipt_and_undo(store: Store) -> None:
    close(store, "alpha", READER)
    closed = store.index().read_bytes()
    answer = restore(store, "last")
    data = answer.data
    assert (data["ok"], data["operation"], data["dryRun"], data["error"]) == (True, "restore-sessions", False, None)
    assert data["restart"]["result"] == "nothing-to-restart"
    assert {(found["agent"], found["era"]) for found in data["stores"]} == {
        ("project-lead", "files"),
        ("researcher", "files"),
    }
    (lead,) = [found for found in data["stores"] if found["agent"] == "project-lead"]
    assert Path(lead["backup"]).read_bytes() == closed
    assert stat.S_IMODE(Path(lead["backup"]).stat().st_mode) == 0o600
    name = receipt_of(store, data)
    assert data["undo"].endswith(f" {name}")
    assert store.receipts()[-1]["operation"] == "restore-sessions"
    assert {s["status"] for each in store.receipts()[-1]["stores"] for s in each["sessions"]} == {"restored"}


def test_entries_come_back_with_equal_values_where_something_else_has_changed(store: Store) -> None:
    before = store.entries()
    close(store, "kelly-dashboard", "topics")
    text = store.index().read_bytes()
    rest = text.replace(b'"chatType": "direct"', b'"chatType":   "channel"')
    assert rest != text
    write(store.index(), rest)
    assert restore(store, "last").code == 0
    after = store.index().read_bytes()
    assert after.startswith(rest.rstrip().removesuffix(b"}").rstrip())
    before[ALPHA]["chatType"] = "channel"
    assert store.entries() == before
    assert store.listed()[-3:] == [KELLY, LEGACY, TOPICS]


def test_what_a_person_reads(store: Store) -> None:
    close(store, "alpha", "topics")
    result = run(RestoreSessions, "last", state=store.state)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("2 restored; brought back ")
    assert f"  restored  {ALPHA}" in result.stdout
    assert "receipt  " in result.stdout
    assert "undo     restore-sessions --state-dir " in result.stdout


@pytest.mark.parametrize("word", [KELLY, TOPICS, "topics"])
def test_only_what_was_named_comes_back(store: Store, word: str) -> None:
    before, names = store.entries(), store.names()
    close(store, "kelly-dashboard", "topics", READER)
    answer = restore(store, "last", word)
    key = word if word.startswith("agent:") else TOPICS
    assert (answer.code, answer.rows) == (0, [(key, "restored")])
    gone = {KELLY, LEGACY, TOPICS} - {key}
    assert store.entries() == {name: value for name, value in before.items() if name not in gone}
    ids = {before[name]["sessionId"] for name in gone}
    left = {name for name in names if any(name.startswith(found) for found in ids)}
    assert left
    assert names - store.names() == left
    assert READER not in store.listed("researcher")


def test_a_project_id_stands_for_all_its_sessions_of_every_agent(store: Store) -> None:
    close(store, "kelly-dashboard", "topics", READER)
    answer = restore(store, "last", "kelly-dashboard")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((KELLY, LEGACY, READER), "restored"))
    assert {row["input"] for row in answer.data["results"]} == {"kelly-dashboard"}
    assert TOPICS not in store.listed()


def test_what_was_left_is_brought_back_by_the_same_receipt_later(store: Store) -> None:
    before = picture(store)
    name = receipt_of(store, close(store, *MANY))
    assert restore(store, name, "topics").code == 0
    answer = restore(store, name)
    assert answer.code == 0
    assert statuses(answer) == dict.fromkeys(MANY_KEYS, "restored") | {TOPICS: "already_restored"}
    assert picture(store) == before


def test_a_transcript_of_two_sessions_comes_back_with_the_first_and_serves_the_second(store: Store) -> None:
    before = picture(store)
    close(store, ALPHA, REVIEW)
    for key in (REVIEW, ALPHA):
        answer = restore(store, "last", key)
        assert (answer.code, answer.rows) == (0, [(key, "restored")])
        assert Path(store.entries()[key]["sessionFile"]).is_file()
    assert picture(store) == before


def test_a_transcript_that_went_on_since_the_first_came_back_serves_the_second(store: Store) -> None:
    was = store.entries()
    close(store, ALPHA, REVIEW)
    assert restore(store, "last", ALPHA).code == 0
    path = Path(was[ALPHA]["sessionFile"])
    write(path, path.read_text() + "more\n")
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, {ALPHA: "already_restored", REVIEW: "restored"})
    assert store.entries()[REVIEW] == was[REVIEW]
    assert path.read_text().endswith("more\n")


def test_a_transcript_that_stayed_with_another_session_is_not_touched(store: Store) -> None:
    before = picture(store)
    close(store, ALPHA)
    assert restore(store, "last").rows == [(ALPHA, "restored")]
    assert picture(store) == before


def test_receipts_that_are_restored_from_the_latest_on_lead_back_byte_for_byte(store: Store) -> None:
    before = picture(store)
    names = [receipt_of(store, close(store, *words)) for words in (("kelly-dashboard", "topics"), (ALPHA, REVIEW))]
    for name in reversed(names):
        assert restore(store, name).code == 0
    assert picture(store) == before


def test_an_earlier_receipt_is_restored_beside_later_ones(store: Store) -> None:
    before, names = store.entries(), store.names()
    first = receipt_of(store, close(store, "kelly-dashboard", "topics"))
    second = receipt_of(store, close(store, ALPHA, REVIEW))
    assert restore(store, first).code == 0
    assert set(before) - set(store.listed()) == {ALPHA, REVIEW}
    assert restore(store, second).code == 0
    assert store.entries() == before
    assert {name for name in store.names() if ".bak-" not in name} == names


def test_a_session_that_was_closed_twice_comes_back_as_it_was_each_time(store: Store) -> None:
    old = store.entries()[TOPICS]
    first = receipt_of(store, close(store, "topics"))
    new = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.add((TOPICS, new))
    second = receipt_of(store, close(store, "topics"))
    assert restore(store, second).rows == [(TOPICS, "restored")]
    assert store.entries()[TOPICS] == new
    assert restore(store, first).rows == [(TOPICS, "conflict")]
    assert close(store, "topics")
    assert restore(store, first).rows == [(TOPICS, "restored")]
    assert store.entries()[TOPICS] == old


def test_a_second_restore_finds_everything_there_and_changes_nothing(store: Store) -> None:
    close(store, *MANY)
    assert restore(store, "last").code == 0
    before = tree(store.state)
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "already_restored"))
    assert (answer.data["receipt"], answer.data["undo"]) == (None, None)
    assert tree(store.state) == before


def test_a_custom_index_gets_its_entries_back(store: Store) -> None:
    place = store.state / "stores"
    place.mkdir(mode=0o700)
    store.configure(session={"store": str(place / "{agentId}.json")})
    for agent in ("main", "project-lead", "researcher"):
        shutil.move(store.index(agent), place / f"{agent}.json")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    close(store, "kelly-dashboard", READER)
    assert restore(store, "last").code == 0
    assert {path.name: path.read_bytes() for path in place.iterdir() if ".bak-" not in path.name} == before
    assert Path(json.loads(before["project-lead.json"])[KELLY]["sessionFile"]).is_file()


# Undo of a restore


def test_the_receipt_of_a_restore_closes_again_what_it_brought_back(store: Store) -> None:
    close(store, *MANY)
    closed = {name: kind for name, kind in picture(store).items() if "sessions/" in name}
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again)
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "closed"))
    now = {name: kind for name, kind in picture(store).items() if "sessions/" in name}
    assert {name for name in now if name.endswith((".jsonl", ".json"))} == {
        name for name in closed if name.endswith((".jsonl", ".json"))
    }
    for agent in ("project-lead", "researcher"):
        index = f"{agent}/sessions/sessions.json"
        assert now[index][2] == closed[index][2]
    assert statuses(restore(store, "last")) == dict.fromkeys(MANY_KEYS, "restored")


def test_undoing_a_restore_closes_only_what_was_named(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again, TOPICS)
    assert (answer.code, answer.rows) == (0, [(TOPICS, "closed")])
    assert ALPHA in store.listed()


def test_undoing_a_restore_takes_project_ids_and_tells_unknown_names(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again, "topics", "typo")
    assert answer.code == 1
    assert [row["status"] for row in answer.data["results"]] == ["closed", "not_found"]
    assert TOPICS not in store.listed()
    assert ALPHA in store.listed()


def test_undoing_a_restore_leaves_a_session_that_is_new_since(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    anew = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.write({**store.entries(), TOPICS: anew})
    answer = restore(store, again)
    assert (answer.code, statuses(answer)) == (1, {ALPHA: "closed", TOPICS: "conflict"})
    assert store.entries()[TOPICS] == anew


def test_last_is_never_a_restore(store: Store) -> None:
    close(store, "alpha")
    restored = receipt_of(store, restore(store, "last").data)
    assert restored == store.receipts()[-1]["id"]
    assert restore(store, "last").rows == [(ALPHA, "already_restored")]
    assert ALPHA in store.listed()
