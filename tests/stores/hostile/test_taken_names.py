"""Names that are taken, and a clock that is wrong: nothing is overwritten."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from session_closer.core import names
from session_closer.system.disk import Disk
from support.clock import At, HandIn
from support.hostile import TARGET, close
from support.interrupted import perform
from support.keys import LEAD
from support.stores import Store

NOON = datetime(2016, 11, 21, 12, 0, 0, 0, UTC)


def test_taken_archive_and_backup_names_give_the_next_millisecond(store: Store, hand_in: HandIn) -> None:
    hand_in(At(NOON))
    store.transcript("t.jsonl")
    store.write({TARGET: {"sessionId": "t"}})
    taken = {
        f"t.jsonl.deleted.{names.stamp(NOON)}": "archive",
        f"sessions.json.bak-{names.stamp(NOON + timedelta(milliseconds=1))}": "backup",
    }
    for name, text in taken.items():
        (store.folder() / name).write_text(text)
    answer = close(store)
    assert answer.rows == [(TARGET, "closed")]
    third = names.stamp(NOON + timedelta(milliseconds=2))
    assert {name: (store.folder() / name).read_text() for name in taken} == taken
    assert f"t.jsonl.deleted.{third}" in store.names()
    assert f"sessions.json.bak-{third}" in store.names()


class Taking(Disk):
    """A disk beside which somebody takes each name just before we do."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def rename_new(self, source: str, target: str) -> None:
        if len(self.taken) < 3 and not os.path.exists(target):
            Path(target).write_text("somebody else's")
            self.taken.append(target)
        super().rename_new(source, target)


def test_a_name_that_is_taken_at_the_last_moment_is_not_overwritten(store: Store) -> None:
    path = store.transcript("t.jsonl")
    raw = path.read_bytes()
    store.write({TARGET: {"sessionId": "t"}})
    disk = Taking()
    report = perform(store, TARGET, disk=disk)
    assert {str(row.status) for row in report.results} == {"closed"}
    assert disk.taken
    assert {Path(name).read_text() for name in disk.taken} == {"somebody else's"}
    assert not path.exists()
    copies = [
        each for each in store.folder().iterdir() if each.name.startswith("t.jsonl.") and each.read_bytes() == raw
    ]
    assert len(copies) == 1
    assert [str(copies[0])] == [path for row in report.results for path in row.archives]


def test_two_runs_in_one_millisecond(store: Store, hand_in: HandIn) -> None:
    hand_in(At(NOON))
    for word in ("alpha-review", "alpha", "topics"):
        assert close(store, word).code == 0
    assert len(store.backups()) == len(store.receipts()) == 3


@pytest.mark.parametrize("year", [1970, 2106])
def test_a_clock_that_is_wrong_harms_nothing(store: Store, hand_in: HandIn, year: int) -> None:
    hand_in(At(NOON.replace(year=year)))
    assert close(store, "topics").rows == [(LEAD + "topics", "closed")]
    assert close(store, "topics").rows == [(LEAD + "topics", "already_closed")]


def test_the_same_id_closed_again_later_has_two_archives(store: Store) -> None:
    for _ in range(2):
        store.transcript("t.jsonl")
        store.write({TARGET: {"sessionId": "t"}})
        assert close(store).rows == [(TARGET, "closed")]
    assert len([name for name in store.names() if name.startswith("t.jsonl.deleted.")]) == 2
