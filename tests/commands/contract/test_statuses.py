"""Exit codes and statuses: closed, already closed, not found, refused, busy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.clock import Brisk, HandIn
from support.commands import run, run_json
from support.keys import LEAD
from support.stores import Store
from support.trees import tree


def test_closing_twice_says_already_closed_in_one_row(store: Store) -> None:
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    before = tree(store.folder())
    again = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert again.code == 0
    assert [row["status"] for row in again.data["results"]] == ["already_closed"]
    assert again.data["receipt"] is None
    assert tree(store.folder()) == before


@pytest.mark.parametrize("word", [LEAD + "alpha", "alpha"])
def test_already_closed_outlives_the_store_itself(store: Store, word: str) -> None:
    run_json(CloseProject, "alpha", state=store.state)
    for path in store.folder().iterdir():
        path.unlink()
    assert run_json(CloseProject, word, state=store.state).rows == [(LEAD + "alpha", "already_closed")]


def test_already_closed_is_a_matter_of_the_agent(store: Store) -> None:
    run_json(CloseProject, "agent:researcher:kelly-dashboard", state=store.state)
    assert run_json(CloseProject, "kelly-dashboard", "--agent", "main", state=store.state).code == 1


def test_a_session_that_was_made_again_is_closed_again(store: Store) -> None:
    run_json(CloseProject, "topics", state=store.state)
    store.add((LEAD + "topics", store.session("topics again")))
    assert run_json(CloseProject, "topics", state=store.state).rows == [(LEAD + "topics", "closed")]
    assert len(store.receipts()) == 2


def test_a_key_never_seen_is_not_found_with_a_hint(store: Store) -> None:
    result = run(CloseProject, "kely-dashbord", state=store.state)
    assert result.code == 1
    assert "did you mean kelly-dashboard?" in result.stdout, "the project id stands for both keys that exist"


def test_missing_ok_is_for_missing_targets_only(store: Store) -> None:
    answer = run_json(CloseProjectBatch, "nowhere", "--missing-ok", state=store.state)
    assert (answer.code, [row["ok"] for row in answer.data["results"]]) == (0, [True])
    assert run_json(CloseProjectBatch, "nowhere", "main", "--missing-ok", state=store.state).code != 0


def test_a_batch_goes_on_past_what_it_refuses_or_cannot_find(store: Store) -> None:
    answer = run_json(CloseProjectBatch, "main", "nowhere", "alpha", state=store.state)
    assert answer.code == 1
    assert [row["status"] for row in answer.data["results"]] == ["refused", "not_found", "closed"]


@pytest.mark.parametrize(("words", "code"), [(("main",), 3), (("main", "nowhere"), 1), (("main", "alpha"), 1)])
def test_exit_3_means_that_a_refusal_kept_the_whole_run_from_changing_anything(
    store: Store, words: tuple[str, ...], code: int
) -> None:
    before = tree(store.state)
    assert run_json(CloseProjectBatch, *words, state=store.state).code == code
    assert (tree(store.state) == before) is ("alpha" not in words)


def test_a_missing_state_directory_is_one_line(tmp_path: Path) -> None:
    result = run(CloseProject, "alpha", state=tmp_path / "nowhere")
    assert result.code == 3
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


def test_a_lock_of_openclaw_that_is_not_released_is_busy(store: Store, hand_in: HandIn) -> None:
    hand_in(Brisk(leap=50))
    lock = store.folder() / "sessions.json.lock"
    lock.write_text(json.dumps({"pid": os.getpid(), "createdAt": "now"}))
    entries = store.entries()
    answer = run_json(CloseProject, "alpha", state=store.state)
    assert (answer.code, answer.error) == (4, "busy")
    assert str(os.getpid()) in answer.data["error"]["message"]
    assert store.entries() == entries
    assert lock.exists()
    lock.unlink()
    assert run_json(CloseProject, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]
    assert store.open_runs() == []
