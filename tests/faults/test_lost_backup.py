"""An undo names its entries in the close's backup: whoever loses that backup meanwhile loses nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.injection import NO_CHANGE, Counting, in_child, kill, kill_at
from session_closer.core.wish import Options
from session_closer.openclaw.home import Home
from session_closer.operations import apply
from session_closer.operations import restore as restoring
from session_closer.system.disk import Disk
from support.commands import restore
from support.restore import KELLY, LEGACY, TOPICS, backup_of, close, rows, statuses
from support.shares import Share
from support.stores import Store

CLOSED = {KELLY, LEGACY, TOPICS}


class Undo:
    """A store whose sessions are closed, to begin their undo again and again; `backup` is that of the close."""

    def __init__(self, store: Store) -> None:
        self.store, self.whole = store, store.index().read_bytes()
        self.files = self.contents()
        close(store, "kelly-dashboard", "topics")
        self.closed, self.backup = store.index().read_bytes(), backup_of(store)
        sessions = store.receipts()[0]["stores"][0]["sessions"]
        self.away = {move["target"] for session in sessions for move in session["moves"]}
        self._begin = store.state.parent / "closed"
        shutil.copytree(store.state, self._begin, symlinks=True)

    def reset(self) -> None:
        shutil.rmtree(self.store.state)
        shutil.copytree(self._begin, self.store.state, symlinks=True)

    def perform(self, disk: Disk) -> None:
        where = Home(str(self.store.state), "demo", {}, isolated=True)
        restoring.execute(where, restoring.Ask("last"), Options(), disk=disk)

    def kill(self, disk: Disk) -> None:
        assert os.WIFSIGNALED(in_child(lambda: self.perform(disk)))

    def steps(self) -> list[str]:
        names: list[str] = []
        self.perform(Counting(lambda _, name, when: names.append(name) if when == "before" else None))
        self.reset()
        return names

    def contents(self) -> list[bytes]:
        """Return what all transcripts and their companions hold, put away or not."""
        return sorted(path.read_bytes() for path in self.store.folder().glob("*.jsonl*"))

    def record(self) -> dict[str, Any]:
        (path,) = self.store.state.glob("session-closer/open/*/record.json")
        return dict(json.loads(path.read_bytes()))

    def is_open(self) -> bool:
        return any(self.store.state.glob("session-closer/open/*"))

    def broken(self, *, ended: bool) -> Iterator[str]:
        """Give what is not as it was before or after the close; `ended`: after a run that was not disturbed."""
        now = self.store.index().read_bytes()
        if now not in (self.whole, self.closed):
            yield "the store is neither of the two"
        if self.contents() != self.files:
            yield "a file is not there, there twice, or another one"
        away = {name for name in os.listdir(self.store.folder()) if name in self.away}
        if now == self.whole and away:
            yield f"{away} are archived, and their entries are there"
        if ended and self.is_open():
            yield "a run is open"
        if ended and now == self.closed and away != self.away:
            yield f"only {away} are archived"


@pytest.fixture
def undo(store: Store) -> Undo:
    return Undo(store)


def removed(backup: Path) -> None:
    backup.unlink()


def changed(backup: Path) -> None:
    raw = backup.read_bytes()
    for key in CLOSED:
        at = raw.index(b'"updatedAt"', raw.index(f'"{key}"'.encode()))
        raw = raw[:at] + raw[at:].replace(b'"updatedAt"', b'"updatedAT"', 1)
    backup.write_bytes(raw)


LOST = [removed, changed]


def test_record_and_receipt_say_where_the_entries_are_and_hold_none(undo: Undo) -> None:
    raw = undo.backup.read_bytes()
    undo.kill(Counting(kill_at(undo.steps().index("exchange"), "before")))
    record = undo.record()
    assert restore(undo.store, "last").code == 0
    for data in (record, undo.store.receipts()[-1]):
        (part,) = data["stores"]
        assert (part["restores"], part["entriesIn"]) == (True, undo.backup.name)
        members = [raw[one["offset"] : one["offset"] + one["length"]] for one in part["sessions"]]
        assert set(json.loads(b"{" + b",".join(members) + b"}")) == CLOSED
        assert [one["entry"] for one in part["sessions"]] == [None] * len(CLOSED)


def test_entries_of_two_backups_are_each_where_the_receipt_says(store: Store) -> None:
    """A close that leaves the caller's own session to a later process has two receipts, and one undo."""
    whole = store.index().read_bytes()
    first, later = (Path(close(store, name)["receipt"]) for name in ("kelly-dashboard", "topics"))
    data = json.loads(first.read_bytes())
    own = {"given": "topics", "agent": "project-lead", "key": TOPICS, "sessionId": None, "status": "closed"}
    first.write_text(json.dumps({**data, "results": [{**own, "ok": True, "late": True, "receipt": str(later)}]}))
    assert statuses(restore(store, first.stem)) == dict.fromkeys(CLOSED, "restored")
    assert store.index().read_bytes() == whole
    (part,) = store.receipts()[-1]["stores"]
    raw = (store.folder() / part["entriesIn"]).read_bytes()
    for one in part["sessions"]:
        held, at = one["entry"], one["offset"]
        entry = raw[at : at + one["length"]] if held is None else held.encode()
        assert hashlib.sha256(entry).hexdigest() == one["sha256"]
    assert {one["entry"] is None for one in part["sessions"]} == {True, False}


@pytest.mark.parametrize("lose", LOST)
def test_a_backup_that_is_lost_after_a_kill_at_any_step_takes_nothing_else_along(
    undo: Undo, lose: Callable[[Path], None], some: Share
) -> None:
    names, broken, ends = undo.steps(), [], set()
    points = [point for point, name in enumerate(names) if name not in NO_CHANGE]
    for point in some(points, 3, names.__getitem__):
        undo.reset()
        undo.kill(Counting(kill_at(point, "after")))
        lose(undo.backup)
        broken += [f"{point} {names[point]}: {line}" for line in undo.broken(ended=False)]
        answer = restore(undo.store, "last")
        is_back = undo.store.index().read_bytes() == undo.whole
        ends.add((is_back, answer.code, frozenset(statuses(answer).values())))
        broken += [f"{point} {names[point]}, next run: {line}" for line in undo.broken(ended=True)]
    assert broken == []
    assert ends == {(True, 0, frozenset({"already_restored"})), (False, 1, frozenset({"failed"}))}


@pytest.mark.parametrize("lose", LOST)
def test_a_backup_that_is_lost_before_the_undo_is_told_and_nothing_is_changed(
    undo: Undo, lose: Callable[[Path], None]
) -> None:
    lose(undo.backup)
    answer = restore(undo.store, "last")
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(CLOSED, "failed"))
    assert all(str(undo.backup) in row["error"] for row in rows(answer).values())
    assert list(undo.broken(ended=True)) == []


class Losing(Disk):
    """A disk that loses the backup at one of its steps."""

    def __init__(self, lose: Callable[[], None], step: str) -> None:
        self.lose, self.step = lose, step

    def unlink(self, path: str) -> None:
        if self.step == "unlink":
            self.lose()
        super().unlink(path)

    def create(self, path: str) -> int:
        if self.step == "create":
            self.lose()
        return super().create(path)

    def exchange(self, one: str, other: str) -> bool:
        if self.step == "exchange":
            self.lose()
        return super().exchange(one, other)

    @classmethod
    def once(cls, undo: Undo, lose: Callable[[Path], None], step: str) -> Losing:
        lost = list[Path]()

        def first() -> None:
            if not lost:
                lost.append(undo.backup)
                lose(undo.backup)

        return cls(first, step)


# The backup of the undo is made, and the store is exchanged: what is installed is in memory.
@pytest.mark.parametrize("step", ["create", "exchange"])
@pytest.mark.parametrize("lose", LOST)
def test_one_that_is_lost_while_the_undo_is_under_way_takes_nothing_along(
    undo: Undo, lose: Callable[[Path], None], step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = undo.backup.read_bytes()
    monkeypatch.setattr(restoring, "Disk", lambda: Losing.once(undo, lose, step))
    answer = restore(undo.store, "last")
    assert not undo.backup.exists() or undo.backup.read_bytes() != kept
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(CLOSED, "restored"))
    assert undo.store.index().read_bytes() == undo.whole


@pytest.mark.parametrize("lose", LOST)
def test_one_that_is_lost_between_the_two_looks_is_told_and_nothing_is_changed(
    undo: Undo, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apply.locked

    def losing(*arguments: Any, **named: Any) -> Any:
        times = undo.backup.stat()
        lose(undo.backup)
        if undo.backup.exists():
            # Its stamp does not show it, but for its change time.
            os.utime(undo.backup, ns=(times.st_atime_ns, times.st_mtime_ns))
        return real(*arguments, **named)

    monkeypatch.setattr(apply, "locked", losing)
    answer = restore(undo.store, "last")
    assert answer.code == 1
    assert "restored" not in statuses(answer).values()
    assert str(undo.backup) in str(answer.data)
    assert list(undo.broken(ended=True)) == []


@pytest.mark.parametrize("lose", LOST)
def test_one_that_is_lost_behind_the_second_look_is_told_and_nothing_is_changed(
    undo: Undo, lose: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "Disk", lambda: Losing.once(undo, lose, "unlink"))
    answer = restore(undo.store, "last")
    assert (answer.code, "restored" in statuses(answer).values()) == (3, False)
    assert f"its backup {undo.backup}" in str(answer.data)
    assert list(undo.broken(ended=True)) == []


class Meddled(Counting):
    """A disk on which somebody without locks writes a key just before the exchange, and the run is killed behind it."""

    def __init__(self, index: Path) -> None:
        super().__init__(lambda _number, _name, _when: None)
        self.index = index

    def exchange(self, one: str, other: str) -> bool:
        self.index.write_text(json.dumps({**json.loads(self.index.read_bytes()), "agent:project-lead:new": {"a": 1}}))
        super().exchange(one, other)
        kill()
        return True


def test_where_others_wrote_meanwhile_the_run_stays_open_until_the_backup_is_there_again(undo: Undo) -> None:
    undo.kill(Meddled(undo.store.index()))
    kept = undo.backup.read_bytes()
    for lose in LOST:
        lose(undo.backup)
        sight = undo.store.index().read_bytes(), undo.contents()
        for _ in range(2):
            answer = restore(undo.store, "last")
            assert answer.code == 3
            assert f"the backup {undo.backup}, which has its entries" in str(answer.data)
        assert undo.is_open()
        theirs = [json.loads(path.read_bytes()) for path in undo.store.folder().glob("sessions.json.bak-*")]
        assert any("agent:project-lead:new" in one for one in theirs)
        assert (undo.store.index().read_bytes(), undo.contents()) == sight
        undo.backup.write_bytes(kept)
    assert statuses(restore(undo.store, "last")) == dict.fromkeys(CLOSED, "already_restored")
    assert undo.store.entries() == {**json.loads(undo.whole), "agent:project-lead:new": {"a": 1}}
    assert not undo.is_open()
