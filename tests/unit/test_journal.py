"""The record of a run on disk: one file, or each store in one of its own, and never less than was written."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from session_closer.core.durable import SESSIONS, Move
from session_closer.core.errors import Refused, StorageFailed
from session_closer.journal import history, written
from session_closer.journal.codec import decode, encode
from session_closer.journal.journal import Journal
from session_closer.journal.record import Damaged, Ended, RestartRecord, RunRecord, SessionRecord, StoreRecord
from session_closer.system.disk import Disk

RUN = "20261121T004124.769Z-1a2b3c4d"
STAMP = "2026-11-21T00-41-24.769Z"


class Died(Exception):
    """The process is gone, or the disk is."""


class Dying(Disk):
    """Counts what it does, and dies at one of the steps."""

    def __init__(self, at: int = 10**9) -> None:
        super().__init__()
        self.at, self.steps, self.written = at, 0, 0

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.at:
            raise Died

    def write(self, descriptor: int, data: memoryview) -> int:
        self._step()
        done = super().write(descriptor, data)
        self.written += done
        return done

    def rename(self, source: str, target: str) -> None:
        self._step()
        super().rename(source, target)
        self._step()

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self._step()


def store(number: int, sessions: int = 1, status: str = "planned") -> StoreRecord:
    some = tuple(
        SessionRecord(f"agent:a{number}:s{each}", f"s{each}", 0, 1, "0" * 64, status=status,
                      moves=(Move(f"s{each}.jsonl", f"s{each}.jsonl.deleted.{STAMP}"),)) for each in range(sessions)
    )  # fmt: skip
    path = f"/s/a{number}"
    backup = f"sessions.json.bak-{STAMP}"
    return StoreRecord(f"a{number}", "files", f"{path}/sessions.json", {SESSIONS: path}, backup, 9, "0" * 64, some)


@pytest.fixture
def state(tmp_path: Path) -> str:
    return os.path.realpath(tmp_path)


def record(state: str, *stores: StoreRecord) -> RunRecord:
    return RunRecord(id=RUN, sequence=1, operation="x", tool="0", started_at="2026-11-21T00:41:24.769Z",
                     state_dir=state, stores=stores)  # fmt: skip


def steps(state: str, settled: int = 3) -> Iterator[RunRecord]:
    """Give a run's record as it goes on: store by store, what it owes, and what became of the first."""
    for count in range(settled + 1):
        yield record(state, *map(store, range(count)))
    last = record(state, *map(store, range(settled))).but(restart=RestartRecord(needed=True))
    yield last
    last = last.but(stores=(store(0, status="closed"), *last.stores[1:]))
    yield last
    yield last.but(results=(Ended("k", "a", "k", None, "failed", False),))


def names(state: str) -> list[str]:
    return sorted(os.listdir(Path(state, "session-closer", "open", RUN)))


def at_work(state: str, disk: Disk | None = None) -> Journal:
    return Journal(disk or Disk(), state, RUN)


def test_one_store_is_in_the_record_and_several_are_beside_it(state: str) -> None:
    journal = at_work(state)
    first = record(state, store(0))
    journal.begin(first)
    assert (names(state), decode(Path(journal.path).read_bytes())) == (["record.json"], first)
    both = record(state, store(0), store(1))
    journal.write(both)
    assert names(state) == ["record.json", "store-000000.json", "store-000001.json"]
    assert json.loads(Path(journal.path).read_bytes())["stores"] == []
    assert at_work(state).read() == both
    assert [(run, decode(raw)) for run, _, raw in history.named_records(state)] == [(RUN, both)]
    receipt = journal.finish(both.but(state="done"))
    assert decode(Path(receipt).read_bytes()) == both.but(state="done")
    assert history.open_runs(state) == []


def test_what_was_written_is_read_again_at_every_step(state: str) -> None:
    journal, (first, *rest) = at_work(state), steps(state)
    journal.begin(first)
    for now in rest:
        journal.write(now)
        assert at_work(state).read() == now


class Apart(Dying):
    """A disk whose receipts are on another file system."""

    def rename(self, source: str, target: str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source, None, target)
        super().rename(source, target)


def test_a_receipt_on_another_file_system_is_all_there_or_not_at_all(tmp_path: Path) -> None:
    at, is_done = 0, False
    while not is_done:
        at += 1
        state = os.path.realpath(tmp_path / str(at))
        os.mkdir(state)
        first, journal = record(state, store(0)), at_work(state)
        last = first.but(state="done")
        journal.begin(first)
        journal.release()
        try:
            at_work(state, Apart(at)).finish(last)
            is_done = True
        except Died:
            if history.open_runs(state):
                at_work(state, Apart()).finish(last)
        assert [(run, decode(raw)) for run, _, raw in history.named_records(state)] == [(RUN, last)]
        assert [path.name for path in Path(state, "session-closer", "receipts").iterdir()] == [f"{RUN}.json"]
    assert at > 5


def test_a_kill_anywhere_leaves_what_was_there_before_or_what_was_to_be(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        state = os.path.realpath(tmp_path / str(at))
        os.mkdir(state)
        journal, (first, *rest) = at_work(state, Dying(at)), steps(state)
        seen: list[RunRecord | None] = [None, first]
        try:
            journal.begin(first)
            for now in rest:
                seen = [seen[-1], now]
                journal.write(now)
            seen = [seen[-1], (last := now.but(state="done"))]
            journal.finish(last)
        except Died:
            journal.release()
        else:
            break
        receipt = Path(history.receipt_path(state, RUN))
        left = decode(receipt.read_bytes()) if receipt.exists() else at_work(state).read()
        assert left in seen, at
        if left is not None and not receipt.exists():
            # Whoever finishes the run can go on from there, and again after one more kill.
            again = at_work(state)
            assert again.read() == left
            again.write(left.but(reason="again"))
            assert at_work(state).read() == left.but(reason="again")
    assert at > 40


def test_where_a_store_and_what_is_owed_change_at_once_the_store_comes_first(tmp_path: Path) -> None:
    found = []
    for at in range(1, 30):
        state = os.path.realpath(tmp_path / str(at))
        os.mkdir(state)
        disk = Dying()
        journal, before = at_work(state, disk), record(state, store(0), store(1))
        journal.begin(before.but(stores=()))
        journal.write(before)
        disk.at = disk.steps + at
        after = before.but(stores=(store(0, status="closed"), store(1)), restart=RestartRecord(needed=True))
        try:
            journal.write(after)
        except Died:
            found.append(at_work(state).read())
    assert {(one.stores[0].sessions[0].status, one.restart.needed) for one in found if one is not None} == {
        ("planned", False), ("closed", False), ("closed", True)
    }  # fmt: skip


def test_a_record_that_has_its_stores_counts_whatever_lies_beside_it(state: str) -> None:
    journal = at_work(state)
    three = record(state, *map(store, range(3)))
    journal.begin(three.but(stores=()))
    journal.write(three)
    # As a version did that knew of no files beside it.
    old = three.but(stores=(store(7), store(8), store(9)))
    Path(journal.path).write_bytes(encode(old))
    later = at_work(state)
    assert later.read() == old
    changed = old.but(stores=(old.stores[0], store(8, status="closed"), old.stores[2]))
    later.write(changed)
    assert at_work(state).read() == changed


@pytest.mark.parametrize("lost", ["store-000000.json", "store-000001.json"])
def test_a_store_that_is_missing_makes_the_record_damaged(state: str, lost: str) -> None:
    journal = at_work(state)
    journal.begin(record(state))
    journal.write(record(state, *map(store, range(3))))
    os.unlink(Path(journal.path).parent / lost)
    with pytest.raises(Damaged):
        at_work(state).read()


def test_a_record_that_lost_its_place_for_stores_is_damaged(state: str) -> None:
    journal = at_work(state)
    journal.begin(record(state))
    journal.write(record(state, *map(store, range(2))))
    head = json.loads(Path(journal.path).read_bytes())
    Path(journal.path).write_text(json.dumps(head, indent=1))
    assert at_work(state).read() is not None
    Path(journal.path).write_text(json.dumps({"stores": head.pop("stores"), **head}))
    with pytest.raises(Damaged):
        at_work(state).read()


def test_a_damaged_store_makes_the_record_damaged(state: str) -> None:
    journal = at_work(state)
    journal.begin(record(state))
    journal.write(record(state, *map(store, range(2))))
    (Path(journal.path).parent / "store-000001.json").write_bytes(b"{")
    with pytest.raises(Damaged):
        at_work(state).read()


def test_a_store_that_belongs_to_somebody_else_makes_the_record_damaged(
    state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = at_work(state)
    journal.begin(record(state))
    journal.write(record(state, *map(store, range(2))))
    real, stranger = written.read, os.getuid() + 4711

    def read(path: str, limit: int) -> tuple[bytes, os.stat_result]:
        raw, found = real(path, limit)
        uid = stranger if path.endswith("store-000001.json") else found.st_uid
        return raw, os.stat_result((*found[:4], uid, *found[5:10]))

    monkeypatch.setattr(written, "read", read)
    with pytest.raises(Damaged, match=f"uid {stranger}"):
        at_work(state).read()
    with pytest.raises(Refused, match=f"uid {stranger}"):
        list(history.named_records(state))


def test_a_run_writes_each_store_when_it_is_noted_and_once_more_in_its_receipt(state: str) -> None:
    disk = Dying()
    journal, stores = at_work(state, disk), [store(number, 50) for number in range(40)]
    journal.begin(record(state))
    for count in range(1, len(stores) + 1):
        journal.check(record(state, *stores[:count]))
        journal.write(record(state, *stores[:count]))
    journal.finish(last := record(state, *stores).but(state="done"))
    # The first one is in the record itself, until there is a second.
    assert disk.written < 2.2 * len(encode(last))


def test_what_the_memory_has_let_go_of_is_whole_in_the_receipt(state: str) -> None:
    journal, stores = at_work(state), [store(number, 3, "closed") for number in range(3)]
    journal.begin(record(state, stores[0]))
    # While there is one store it is in the record itself, so the memory keeps it.
    assert journal.rest(stores[0]) is stores[0]
    journal.write(record(state, *stores))
    bare = [journal.rest(one) for one in stores]
    assert [one.sessions for one in bare] == [(), (), ()]
    changed = bare[1].but(orphans=(Move("s9.jsonl", f"s9.jsonl.deleted.{STAMP}"),))
    # What is no more as the disk has it is what it is.
    assert journal.whole(changed) is changed
    receipt = journal.finish(record(state, *bare).but(state="done"), map(journal.whole, bare))
    assert decode(Path(receipt).read_bytes()) == record(state, *stores).but(state="done")
    assert not Path(journal.path).parent.exists()


def test_a_part_that_is_not_what_was_written_makes_no_receipt(state: str) -> None:
    journal, stores = at_work(state), [store(number) for number in range(2)]
    journal.begin(record(state, *stores))
    bare = [journal.rest(one) for one in stores]
    part = Path(journal.path).with_name("store-000001.json")
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(StorageFailed, match=r"store-000001\.json"):
        journal.finish(record(state, *bare).but(state="done"), map(journal.whole, bare))
    journal.release()
    assert history.open_runs(state) == [RUN]
    assert not Path(history.receipt_path(state, RUN)).exists()


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE], ids=lambda number: errno.errorcode[number])
def test_a_record_that_the_disk_does_not_give_once_is_no_damaged_one(
    state: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    journal = at_work(state)
    before = record(state, store(0))
    journal.begin(before)
    real = os.open

    def failing(path: str, *more: int, **named: int) -> int:
        if os.fspath(path).endswith("record.json"):
            raise OSError(number, os.strerror(number), path)
        return real(path, *more, **named)

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(OSError, match=os.strerror(number)):
        journal.read()
    monkeypatch.undo()
    assert journal.read() == before
