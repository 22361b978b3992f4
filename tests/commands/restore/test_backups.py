"""A backup without a receipt brings back what the store has no more, and overwrites nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.commands import restore
from support.keys import session_id
from support.restore import KELLY, LEGACY, MANY, MANY_KEYS, READER, TOPICS, backup_of, close, receipt_of, statuses
from support.stores import Store, build, picture
from support.trees import tree, write


def leave_over(store: Store, *words: str) -> Path:
    """Close sessions and forget the receipt; return the backup."""
    close(store, *words)
    shutil.rmtree(store.state / "session-closer")
    return backup_of(store)


def test_a_backup_without_a_receipt_brings_back_what_the_store_has_no_more(store: Store) -> None:
    before = picture(store)
    backup = leave_over(store, *(word for word in MANY if word != READER))
    answer = restore(store, str(backup))
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS - {READER}, "restored"))
    assert picture(store) == before
    again = restore(store, receipt_of(store, answer.data))
    assert set(statuses(again).values()) == {"closed"}


def test_of_a_backup_only_what_was_named_comes_back(store: Store) -> None:
    backup = leave_over(store, "kelly-dashboard", "topics")
    answer = restore(store, str(backup), "topics", "never-seen")
    assert (answer.code, statuses(answer)) == (1, {TOPICS: "restored", "never-seen": "not_found"})
    assert KELLY not in store.listed()


def test_a_backup_never_overwrites_what_is_there_now(store: Store) -> None:
    backup = leave_over(store, "kelly-dashboard", "topics")
    anew = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.add((KELLY, anew))
    answer = restore(store, str(backup))
    assert statuses(answer) == {LEGACY: "restored", TOPICS: "restored"}
    assert store.entries()[KELLY] == anew


def test_a_backup_whose_archives_are_gone_fails_or_comes_back_without_them(store: Store) -> None:
    was = store.entries()[TOPICS]
    backup = leave_over(store, "topics")
    for path in store.folder().glob("*topic-42.jsonl.deleted.*"):
        path.unlink()
    ahead, answer = restore(store, str(backup), "--check"), restore(store, str(backup))
    assert answer.rows == [(TOPICS, "restored")]
    for said in (ahead, answer):
        [lacks] = said.data["results"][0]["notRestored"]
        assert (lacks["kind"], "there is none of it" in lacks["why"]) == ("transcript", True)
    assert store.entries()[TOPICS] == was


def test_what_is_in_the_way_of_a_backup_has_no_way_out_that_only_what_was_found_has(store: Store) -> None:
    backup = leave_over(store, "topics")
    [archive] = store.folder().glob("*topic-42.jsonl.deleted.*")
    write(store.folder() / archive.name.partition(".deleted.")[0], "begun anew\n")
    answer = restore(store, str(backup))
    assert answer.rows == [(TOPICS, "conflict")]
    assert "--as" not in answer.data["results"][0]["error"]


def test_a_session_whose_transcript_is_elsewhere_lacks_nothing(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_text('{"type":"session"}\n')
    entries = store.entries()
    store.index().write_text(json.dumps({**entries, TOPICS: {**entries[TOPICS], "sessionFile": str(elsewhere)}}))
    backup = leave_over(store, "topics")
    for path in store.folder().glob("*topic-42.jsonl.deleted.*"):
        path.unlink()
    answer = restore(store, str(backup))
    assert answer.rows == [(TOPICS, "restored")]
    assert "notRestored" not in answer.data["results"][0]


def test_a_backup_whose_archives_are_there_lacks_nothing(store: Store) -> None:
    answer = restore(store, str(leave_over(store, "topics")))
    assert answer.rows == [(TOPICS, "restored")]
    assert "notRestored" not in answer.data["results"][0]


@pytest.mark.parametrize("kind", ["receipt", "index", "elsewhere", "foreign", "missing", "torn", "link"])
def test_a_file_that_is_no_backup_of_this_state_directory_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    backup = leave_over(store, "topics")
    other = build(tmp_path / "other", store.port)
    paths = {
        "receipt": store.state / "openclaw.json",
        "index": store.index(),
        "elsewhere": tmp_path / backup.name,
        "foreign": other.folder() / backup.name,
        "missing": backup.with_name("sessions.json.bak-2016-01-01T00-00-00.000Z"),
        "torn": backup.with_name("sessions.json.bak-torn"),
        "link": tmp_path / "sessions.json.bak-link",
    }
    for copy in ("elsewhere", "foreign"):
        shutil.copyfile(backup, paths[copy])
    paths["torn"].write_bytes(backup.read_bytes()[:-30])
    paths["link"].symlink_to(paths["elsewhere"])
    before = tree(tmp_path)
    answer = restore(store, str(paths[kind]))
    assert answer.code == 3
    assert answer.error in ("no_receipt", "corrupt_store", "unreadable", "link")
    assert tree(tmp_path) == before
