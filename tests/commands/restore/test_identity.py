"""Undo is the identity: whatever lay beside a session, whatever its names hold, and whatever the clock says."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.core import names
from session_closer.journal import clocks, journal
from support.clock import Ahead, handed
from support.commands import Answer, restore, run_json
from support.interrupted import interrupt
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import tree, write

SILENT, KELLY, TOPICS, ALPHA = (LEAD + tail for tail in ("never-spoken", "kelly-dashboard", "topics", "alpha"))
OLD = ("2019-05-01T10-00-00.000Z", "2020-05-01T10-00-00Z")
HALF = "\ud83d"


def close(store: Store, *words: str) -> Answer:
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert answer.code == 0, answer
    return answer


def expire(store: Store, age: str = "30d") -> Answer:
    return run_json(CleanupSessions, "--only", "expire-archives", "--expire-archives", age, state=store.state)


def picture(store: Store) -> dict[str, tuple[Any, ...]]:
    """Return the files in the agents' folders with mode and content, but for the backups of our own."""
    found = tree(store.state / "agents").items()
    return {name: (mode, what) for name, (mode, _, what) in found if ".bak-" not in name and what is not None}


# Old archives


def shelve(store: Store, session: str, *companions: str) -> None:
    """Put archives of years ago beside a session."""
    for name in (f"{session}.jsonl", *(f"{session}{ending}" for ending in companions)):
        for stamp in OLD:
            write(store.folder() / names.archive_name(name, stamp), f"{name} of {stamp}\n")


@pytest.mark.parametrize("companions", [(), (".trajectory.jsonl", ".trajectory-path.json")])
@pytest.mark.parametrize("how", ["last", "backup", "backup without receipts", "killed"])
def test_an_archive_of_years_ago_stays_one(store: Store, how: str, companions: tuple[str, ...]) -> None:
    shelve(store, store.entries()[SILENT]["sessionId"], *companions)
    before = picture(store)
    if how == "killed":
        interrupt(store, "never-spoken", committed=True)
    else:
        close(store, "never-spoken")
    if how == "backup without receipts":
        shutil.rmtree(store.state / "session-closer")
    answer = restore(store, str(store.backups()[0]) if "backup" in how else "last")
    assert (answer.code, answer.rows) == (0, [(SILENT, "restored")])
    assert picture(store) == before


def test_what_an_earlier_run_has_put_away_is_not_a_later_one_s(store: Store) -> None:
    session = store.entries()[SILENT]["sessionId"]
    store.transcript(f"{session}.jsonl")
    close(store, "never-spoken")
    (archive,) = store.folder().glob(f"{session}.jsonl.deleted.*")
    store.add((SILENT, {"sessionId": session, "updatedAt": 1}))
    before = picture(store)
    close(store, "never-spoken")
    assert restore(store, "last").rows == [(SILENT, "restored")]
    assert picture(store) == before
    assert archive.is_file()


def test_an_interrupted_run_takes_no_old_archive_for_its_own(store: Store) -> None:
    entry = store.entries()[KELLY]
    live = Path(entry["sessionFile"])
    shelve(store, entry["sessionId"])
    interrupt(store, "kelly-dashboard", committed=True)
    # Somebody removes it before the run is finished: then it is gone, and another is not it.
    live.unlink()
    close(store, "topics")
    moves = [move for receipt in store.receipts() for each in receipt["stores"] for found in each["sessions"]
             for move in found["moves"] if found["key"] == KELLY]  # fmt: skip
    assert moves
    assert not {stamp for stamp in OLD for move in moves if move["target"].endswith(stamp)}


# Names that only JSON can hold


def odd_rows(store: Store) -> dict[str, Any]:
    rows = {
        f"{LEAD}half-{HALF}": store.session("half"),
        f"{LEAD}other-half": {"sessionId": f"id{HALF}", "updatedAt": 1},
        f"{LEAD}file": {"sessionId": session_id("f"), "sessionFile": f"{HALF}.jsonl", "updatedAt": 1, "label": HALF},
        f"{LEAD}nul\0": {"sessionId": "\0", "updatedAt": 1},
        f"{LEAD}folder": {"sessionId": session_id("g"), "sessionFile": f"/{HALF}/g.jsonl", "updatedAt": 1},
    }
    known = store.entries()
    write(store.index(), json.dumps({**known, **rows}, indent=2))
    return rows


@pytest.mark.parametrize("killed", [False, True])
def test_a_session_whose_names_hold_half_a_character_comes_back(store: Store, killed: bool) -> None:
    rows = odd_rows(store)
    before = picture(store)
    words = ("--stale", "other=1s,project=1s", "--unknown-age-is-old", "--yes", "--reason", "\udcff")
    if killed:
        with pytest.MonkeyPatch.context() as patch:
            # As if it were cut off just before the receipt.
            patch.setattr(journal.Journal, "finish", lambda *_: "")
            run_json(CleanupSessions, *words, state=store.state)
        assert store.open_runs()
    else:
        assert run_json(CleanupSessions, *words, state=store.state).code == 0
    answer = restore(store, "last")
    assert (answer.code, store.open_runs()) == (0, [])
    assert {key for key, status in answer.rows if status == "restored"} >= set(rows)
    assert picture(store) == before
    assert {row["state"] for row in restore(store, "--list").data["receipts"]} == {"done"}


def test_what_no_record_can_hold_is_refused_before_anything_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(store, "topics")
    before = tree(store.state)
    monkeypatch.setattr(journal, "LIMIT", 1000)
    answer = run_json(CloseProjectBatch, "kelly-dashboard", state=store.state)
    assert (answer.code, answer.error) == (3, "record")
    monkeypatch.undo()
    assert tree(store.state).keys() == before.keys()
    assert KELLY in store.listed()
    monkeypatch.setattr(journal, "LIMIT", 1000)
    answer = restore(store, "last")
    assert (answer.code, answer.error) == (3, "record")
    assert tree(store.state).keys() == before.keys()


# Clocks


class Clock(Ahead):
    """The clock that everybody here reads; the machine's own time goes on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        machine, began = clocks.uptime(), time.monotonic()
        self.boot = machine.boot or "a boot"
        up = lambda: clocks.Uptime(self.boot, machine.seconds + time.monotonic() - began)  # noqa: E731
        monkeypatch.setattr(clocks, "uptime", up)

    def set(self, **ahead: float) -> None:
        self.ahead = timedelta(**ahead)


@pytest.fixture
def clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    # The sample's own archive is of a fixed day.
    for archive in store.folder().glob("*.deleted.*"):
        archive.unlink()
    made = Clock(monkeypatch)
    with handed(made):
        yield made


@pytest.mark.parametrize("step", [{"hours": -1}, {"days": -800}])
def test_last_is_the_latest_run_after_the_clock_was_set_back(
    store: Store, clock: Clock, step: dict[str, float]
) -> None:
    before = picture(store)
    first = Path(close(store, "topics").data["receipt"]).stem
    clock.set(**step)
    second = Path(close(store, "alpha-review").data["receipt"]).stem
    assert [row["id"] for row in restore(store, "--list").data["receipts"]] == [second, first]
    assert restore(store, "last").rows == [(LEAD + "alpha-review", "restored")]
    # The one before is the last that closed something and is not back.
    assert restore(store, first).rows == [(TOPICS, "restored")]
    assert picture(store) == before


@pytest.mark.parametrize("old", [1, 2])
def test_receipts_without_a_place_in_the_order_are_from_before_the_others(store: Store, clock: Clock, old: int) -> None:
    clock.set(days=100)
    close(store, "topics")
    if old > 1:
        clock.set(days=200)
        close(store, "kelly-dashboard")
    for path in store.state.glob("session-closer/receipts/*.json"):
        data = json.loads(path.read_bytes())
        write(path, json.dumps({name: data[name] for name in data if name not in ("sequence", "boot", "uptime")}))
    assert (TOPICS if old == 1 else KELLY) in dict(restore(store, "last", "--check").rows)
    clock.set()
    close(store, "alpha-review")
    assert restore(store, "last").rows == [(LEAD + "alpha-review", "restored")]
    assert len(restore(store, "--list").data["receipts"]) == old + 2


def test_a_clock_two_years_ahead_deletes_nothing_that_was_put_away_a_second_ago(store: Store, clock: Clock) -> None:
    before = picture(store)
    close(store, "topics")
    put_away = tree(store.state)
    clock.set(days=730)
    answer = expire(store)
    assert answer.code == 3
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("refused", "clock")]
    assert tree(store.state) == put_away
    # What was old before is let go all the same.
    long_ago = names.stamp(clock.now() - timedelta(days=730 + 40))
    write(store.folder() / f"x.jsonl.deleted.{long_ago}", "")
    answer = expire(store)
    assert (answer.code, sorted(row["status"] for row in answer.data["results"])) == (1, ["expired", "refused"])
    clock.set()
    assert expire(store).data["results"] == []
    assert restore(store, "last").code == 0
    assert picture(store) == before


def test_after_a_restart_of_the_machine_the_clock_is_believed(store: Store, clock: Clock) -> None:
    close(store, "topics")
    clock.boot = "another boot"
    clock.set(days=730)
    assert {row["status"] for row in expire(store).data["results"]} == {"expired"}


def test_what_was_put_away_while_the_clock_was_behind_is_as_young_as_the_run_before_it(
    store: Store, clock: Clock
) -> None:
    close(store, "topics")
    clock.boot = "the battery was empty"
    clock.set(days=-9000)
    close(store, "kelly-dashboard")
    clock.boot = "and the network set it right"
    clock.set(days=20)
    before = tree(store.state)
    assert expire(store).data["results"] == []
    assert tree(store.state) == before
    clock.set(days=40)
    assert {row["status"] for row in expire(store).data["results"]} == {"expired"}


# An index that was lost


def gone(index: Path) -> None:
    index.unlink()


def empty(index: Path) -> None:
    write(index, "")


def torn(index: Path) -> None:
    write(index, index.read_bytes()[:-40])


def nul(index: Path) -> None:
    write(index, bytes(index.stat().st_size))


@pytest.mark.parametrize("lose", [gone, empty, torn, nul])
def test_a_backup_stands_for_an_index_that_was_lost(store: Store, lose: Any) -> None:
    before = picture(store)
    close(store, "kelly-dashboard")
    (backup,) = store.backups()
    lose(store.index())
    lost = store.index().read_bytes() if store.index().exists() else None
    there = tree(store.state)
    look = restore(store, str(backup), "--check")
    assert (look.code, {status for _, status in look.rows}) == (0, {"would_restore"})
    assert tree(store.state) == there
    answer = restore(store, str(backup))
    assert (answer.code, {status for _, status in answer.rows}) == (0, {"restored"})
    after = picture(store)
    aside = [name for name in after if ".unreadable-" in name]
    assert {name: what for name, what in after.items() if name not in aside}.keys() == before.keys()
    assert store.index().read_bytes() == backup.read_bytes()
    assert store.index().stat().st_mode & 0o777 == 0o600
    assert [(store.state / "agents" / name).read_bytes() for name in aside] == ([] if lost is None else [lost])
    for said in (look, answer):
        assert any(str(store.index()) in warning for warning in said.data["warnings"])
    assert all(any(name in warning for warning in answer.data["warnings"]) for name in aside)


def test_an_index_that_is_whole_is_never_moved_aside(store: Store) -> None:
    close(store, "kelly-dashboard")
    (backup,) = store.backups()
    store.write({})
    assert restore(store, str(backup)).code == 0
    assert not [name for name in store.names() if ".unreadable-" in name]


def test_a_folder_that_nobody_has_made_stops_no_undo_elsewhere(store: Store) -> None:
    away = store.state / "elsewhere"
    away.mkdir(mode=0o700)
    store.write({SILENT: {"sessionId": session_id("s"), "updatedAt": 1}})
    index = store.index().rename(away / "project-lead.json")
    store.configure(session={"store": str(away / "{agentId}.json")})
    shutil.rmtree(store.state / "agents" / "project-lead")
    before = index.read_bytes()
    close(store, SILENT)
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (0, [(SILENT, "restored")])
    assert index.read_bytes() == before
    # Nothing was to go there.
    assert not store.folder().exists()
