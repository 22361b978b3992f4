"""Earlier runs: the list of them says what each did, and one is shown in full."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.journal import history, stores
from support.commands import restore, run, run_json
from support.hermes import DAY
from support.interrupted import interrupt
from support.leavings import Leavings
from support.restore import ALPHA, KELLY, TOPICS, close, purged, receipt_of
from support.stores import Store
from support.trees import tree


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.data["receipts"]]


@pytest.fixture
def three(store: Store) -> list[str]:
    """Three runs that closed something, the newest first."""
    return [receipt_of(store, close(store, word)) for word in ("topics", "alpha", "never-spoken")][::-1]


def test_a_list_says_first_how_many_runs_there_are_and_has_a_head(store: Store, three: list[str]) -> None:
    shown = run(RestoreSessions, "--list", state=store.state).stdout.splitlines()
    assert shown[0] == "3 runs"
    assert shown[1].split() == ["RUN", "AGE", "COMMAND", "DID", "AGENT", "REASON"]
    assert [line.split()[0] for line in shown[2:]] == three
    cut = run(RestoreSessions, "--list", "--limit", "1", state=store.state).stdout.splitlines()
    assert cut[0] == "3 runs, 1 of them shown"
    assert [line.split()[0] for line in cut[2:3]] == three[:1]
    assert cut[-1].startswith("2 more: --limit all")


@pytest.mark.parametrize(("words", "many"), [((), 3), (("--limit", "2"), 2), (("--limit", "all"), 3)])
def test_a_document_says_first_whether_there_are_more(
    store: Store, three: list[str], words: tuple[str, ...], many: int
) -> None:
    answer = restore(store, "--list", *words)
    assert (next(iter(answer.data)), answer.data["hasMore"]) == ("hasMore", many < 3)
    assert (ids(answer), answer.data["receiptsTotal"]) == (three[:many], 3)


def test_each_run_has_an_age_and_what_has_become_of_it(store: Store) -> None:
    old = receipt_of(store, close(store, "topics"))
    path = store.state / "session-closer" / "receipts" / f"{old}.json"
    text = json.loads(path.read_bytes())
    path.write_text(json.dumps({**text, "startedAt": "2016-11-21T06:40:03.544Z"}))
    restore(store, "last")
    (back, first) = restore(store, "--list").data["receipts"]
    assert first["ageSeconds"] > 5 * 365 * 86400
    assert 0 <= back["ageSeconds"] < 3600
    assert (first["restored"], first["expired"]) == (1, 0)


def test_what_came_back_is_counted_for_the_run_that_was_undone(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.state / "agents", tmp_path / "agents")
    first = receipt_of(store, close(store, "topics"))
    # Somebody brings it back by hand.
    shutil.copytree(tmp_path / "agents", store.state / "agents", dirs_exist_ok=True)
    second = receipt_of(store, close(store, "topics"))
    restore(store, "last")
    found = restore(store, "--list").data["receipts"]
    assert [(one["id"], one["closed"], one["restored"]) for one in found[1:]] == [(second, 1, 1), (first, 1, 0)]


def test_what_an_undo_has_not_brought_back_is_not_counted(store: Store) -> None:
    close(store, "topics", "alpha")
    undone = Path(restore(store, "last").data["receipt"])
    receipt = json.loads(undone.read_bytes())
    receipt["stores"][0]["sessions"][0]["status"] = "conflict"
    undone.write_text(json.dumps(receipt))
    found = restore(store, "--list").data["receipts"]
    assert [(one["sessions"], one["closed"], one["restored"]) for one in found] == [(2, 0, 1), (2, 2, 1)]


@pytest.mark.parametrize("large", [1, stores.LARGE])
def test_a_receipt_that_goes_while_they_are_listed_is_in_no_list(
    store: Store, three: list[str], monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    named_paths = history.named_paths

    def going(state: str) -> Iterator[tuple[str, str]]:
        for run_id, path in named_paths(state):
            if run_id == three[1]:
                Path(path).unlink()
            yield run_id, path

    monkeypatch.setattr(history, "named_paths", going)
    monkeypatch.setattr(stores, "LARGE", large)
    assert ids(restore(store, "--list")) == [three[0], three[2]]


def test_a_run_whose_archives_were_freed_says_so_and_so_does_the_one_that_freed_them(tmp_path: Path) -> None:
    home = Leavings(tmp_path / "hermes")
    many = len(home.lay_all())
    closed = Path(home.run(CleanupSessions).data["receipt"]).stem
    home.age_receipts(8 * DAY)
    home.run(CleanupSessions, "--expire-archives", "7d")
    freed, first = home.run(RestoreSessions, "--list").data["receipts"]
    assert (first["id"], first["closed"], first["expired"], first["freed"]) == (closed, many, many, 0)
    assert (freed["closed"], freed["freed"]) == (0, 1)
    shown = run(RestoreSessions, "--list", state=home.path).stdout.splitlines()
    assert f"  {many} of {many} put away, {many} expired  " in shown[3]
    assert "  1 archive freed  " in shown[2]
    found = home.run(RestoreSessions, "--show", closed).data["run"]
    assert {(part["status"], part["now"]) for part in found["parts"]} == {("archived", "failed")}


def test_a_session_whose_archive_a_later_run_has_deleted_is_expired(store: Store) -> None:
    closed = close(store, "topics")
    (archive,) = (Path(path).name for path in closed["results"][0]["archives"])
    later = json.loads(Path(close(store, "alpha")["receipt"]).read_bytes())
    later["stores"][0] = {**later["stores"][0], "removes": [archive], "sessions": []}
    (store.state / "session-closer" / "receipts" / f"{later['id']}.json").write_text(json.dumps(later))
    freed, first = restore(store, "--list").data["receipts"]
    assert (first["id"], first["expired"], freed["freed"]) == (receipt_of(store, closed), 1, 1)


def test_one_run_is_shown_with_each_session_and_what_can_be_brought_back_of_it(store: Store) -> None:
    name = receipt_of(store, close(store, "topics", "kelly-dashboard", "--reason", "spring \x1b[31mcleaning"))
    restore(store, name, "topics")
    before = tree(store.state)
    answer = restore(store, "--show", name)
    found = answer.data["run"]
    assert (answer.code, found["id"], found["reason"], found["state"]) == (0, name, "spring \x1b[31mcleaning", "done")
    assert found["closed"] == 3
    assert found["restored"] == 1
    parts = {part["key"]: part for part in found["parts"]}
    assert (parts[TOPICS]["status"], parts[TOPICS]["now"]) == ("closed", "already_restored")
    assert (parts[KELLY]["status"], parts[KELLY]["now"]) == ("closed", "would_restore")
    assert parts[KELLY]["bytes"] == sum(Path(path).stat().st_size for path in parts[KELLY]["archives"])
    assert found["finishedAt"] >= found["startedAt"]
    assert set(found["by"]) == {"uid", "pid", "host"}
    shown = run(RestoreSessions, "--show", "last", state=store.state).stdout
    assert shown.startswith("close-project-batch, ")
    assert f"run      {name}\n" in shown
    assert "THEN" in shown
    assert f"{KELLY}\n" in shown
    assert "\x1b" not in shown
    assert tree(store.state) == before


def test_what_can_no_longer_be_brought_back_is_shown_with_the_reason(store: Store) -> None:
    name = receipt_of(store, close(store, "kelly-dashboard"))
    purged(store)
    (part, _) = restore(store, "--show", name).data["run"]["parts"]
    assert (part["status"], part["now"]) == ("closed", "failed")
    assert "is gone" in part["error"]


def test_a_run_that_was_interrupted_or_refused_something_is_shown_too(store: Store) -> None:
    name = Path(run_json(CloseProjectBatch, "topics", "main", state=store.state).data["receipt"]).stem
    rows = {part["key"]: part for part in restore(store, "--show", name).data["run"]["parts"]}
    assert [part["status"] for part in rows.values()] == ["closed", "refused"]
    interrupt(store, "alpha", committed=True)
    (left,) = store.open_runs()
    found = restore(store, "--show", left).data["run"]
    assert (found["state"], found["parts"][0]["key"], found["parts"][0]["now"]) == ("interrupted", ALPHA, None)
    assert "interrupted" in found["unknown"]
    assert store.open_runs() == [left]


def test_a_damaged_receipt_is_shown_as_damaged(store: Store) -> None:
    data = close(store, "topics")
    Path(data["receipt"]).write_bytes(b"{")
    answer = restore(store, "--show", receipt_of(store, data))
    assert (answer.code, answer.data["run"]["state"], answer.data["run"]["parts"]) == (0, "damaged", [])


def test_last_that_is_back_already_names_the_run_before_it(store: Store, three: list[str]) -> None:
    restore(store, "last")
    result = run(RestoreSessions, "last", state=store.state)
    assert result.code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"warning: run {three[0]} is back already; ")
    assert f"restore-sessions --state-dir {store.state} {three[1]} undoes" in line or three[1] in line
    for name in three[1:]:
        restore(store, name)
    assert "so is all" in run(RestoreSessions, "last", state=store.state).stderr


def test_of_a_run_of_which_a_part_is_back_the_rest_is_brought_back_and_no_other_run_is_named(store: Store) -> None:
    close(store, "never-spoken")
    close(store, "topics", "alpha")
    restore(store, "last", "topics")
    for words in (("--dry-run",), ()):
        result = run(RestoreSessions, "last", *words, state=store.state)
        assert (result.code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("--limit", "3", "last"), ("--show", "last", "topics"), ("--show", "last", "--list"), ("--list", "--check"),
        ("--list", "--since", "1d"), ("--list", "--limit", "none"), ("--show", ""), ("--since", "soon"),
    ],
)  # fmt: skip
def test_words_that_make_no_sense_together_are_one_line_and_exit_2(store: Store, words: tuple[str, ...]) -> None:
    close(store, "topics")
    before = tree(store.state)
    result = run(RestoreSessions, *words, state=store.state)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result
    assert tree(store.state) == before
