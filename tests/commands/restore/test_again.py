"""A session that was closed, brought back and closed again: an older receipt of it says what a later one has."""

from __future__ import annotations

import json

import pytest
from support.commands import restore
from support.restore import LEGACY, close, receipt_of, statuses
from support.stores import Store
from support.trees import write


def twice(store: Store, *, label: str = "", said: str = "") -> tuple[str, str]:
    """Close a session, bring it back, change it, and close it again; return the names of both receipts."""
    first = receipt_of(store, close(store, LEGACY))
    assert statuses(restore(store, first)) == {LEGACY: "restored"}
    if label:
        entries = store.entries()
        write(store.index(), json.dumps({**entries, LEGACY: {**entries[LEGACY], "label": label}}, indent=2))
    if said:
        [transcript] = [
            one for one in store.folder().glob("*.jsonl") if one.stem == store.entries()[LEGACY]["sessionId"]
        ]
        write(transcript, transcript.read_text() + said)
    return first, receipt_of(store, close(store, LEGACY))


@pytest.mark.parametrize("looks", [True, False])
def test_an_older_row_comes_back_with_the_run_that_has_another(store: Store, looks: bool) -> None:
    first, second = twice(store, label="urgent")
    answer = restore(store, first, *["--check"] * looks)
    assert answer.code == 0
    [lacks] = answer.data["results"][0]["notRestored"]
    assert lacks == {
        "kind": "settings", "count": 1, "why": f"run {second} has closed it again since, with other settings",
    }  # fmt: skip
    if not looks:
        assert "label" not in store.entries()[LEGACY]


def test_the_same_row_comes_back_without_a_word(store: Store) -> None:
    first, _ = twice(store)
    answer = restore(store, first)
    assert (answer.code, answer.rows) == (0, [(LEGACY, "restored")])
    assert "notRestored" not in answer.data["results"][0]


def test_the_later_receipt_has_nothing_to_say_of_the_older_one(store: Store) -> None:
    _, second = twice(store, label="urgent", said='{"type":"message"}\n')
    answer = restore(store, second)
    assert (answer.code, answer.rows) == (0, [(LEGACY, "restored")])
    assert "notRestored" not in answer.data["results"][0]
    assert store.entries()[LEGACY]["label"] == "urgent"


@pytest.mark.parametrize("looks", [True, False])
def test_a_transcript_that_was_written_to_since_is_said_to_be_with_the_later_run(store: Store, looks: bool) -> None:
    first, second = twice(store, said='{"type":"message"}\n')
    answer = restore(store, first, *["--check"] * looks)
    assert (answer.code, answer.rows) == (1, [(LEGACY, "failed")])
    error = answer.data["results"][0]["error"]
    assert error.endswith(f" is gone; run {second} has closed it again since, and brings it back")
    assert statuses(restore(store, second)) == {LEGACY: "restored"}


def test_an_archive_that_nobody_has_any_more_is_gone_and_that_is_all(store: Store) -> None:
    first, _ = twice(store, said='{"type":"message"}\n')
    for archive in store.folder().glob("*.deleted.*"):
        archive.unlink()
    answer = restore(store, first)
    assert (answer.code, answer.rows) == (1, [(LEGACY, "failed")])
    assert answer.data["results"][0]["error"].endswith(" is gone")


def test_what_another_session_was_closed_with_is_no_later_close_of_this_one(store: Store) -> None:
    first = receipt_of(store, close(store, LEGACY))
    assert statuses(restore(store, first)) == {LEGACY: "restored"}
    entries = store.entries()
    other = f"{LEGACY}-2"
    write(store.index(), json.dumps({other if key == LEGACY else key: value for key, value in entries.items()}))
    close(store, other)
    answer = restore(store, first)
    assert (answer.code, answer.rows) == (0, [(LEGACY, "restored")])
    assert "notRestored" not in answer.data["results"][0]
