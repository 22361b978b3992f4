"""What keep-only-sessions keeps, and that --max shows a plan before it grows large."""

from __future__ import annotations

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import run, run_json
from support.contract import words_of_shell
from support.keys import LEAD
from support.stores import Store
from support.terminal import RAW
from support.trees import tree


@pytest.mark.parametrize("words", [("nowhere",), ("alpha", "nowhere"), ("nowhere", "--yes", "--force")])
def test_keep_only_with_any_unknown_name_changes_nothing(store: Store, words: tuple[str, ...]) -> None:
    before = tree(store.state)
    answer = run_json(KeepOnlySessions, *words, state=store.state)
    assert (answer.code, answer.error) == (3, "unknown_name")
    assert "nowhere" in answer.data["error"]["message"]
    assert tree(store.state) == before


def test_keep_only_works_on_one_agent(store: Store) -> None:
    before = tree(store.folder())
    assert run_json(KeepOnlySessions, "kelly-dashboard", "--agent", "researcher", state=store.state).code == 0
    assert tree(store.folder()) == before
    assert run_json(KeepOnlySessions, "agent:researcher:kelly-dashboard", state=store.state).code == 2
    assert tree(store.folder()) == before


def test_keep_only_keeps_global_unknown_main_and_rows_of_other_agents(store: Store) -> None:
    store.add(*((key, store.session(key)) for key in ("global", "unknown", "agent:main:elsewhere", LEAD + "global")))
    assert run_json(KeepOnlySessions, "alpha", state=store.state).code == 0
    assert set(store.listed()) == {LEAD + "main", LEAD + "alpha", "global", "unknown", "agent:main:elsewhere",
                                 LEAD + "global"}  # fmt: skip


def test_keep_only_takes_groups_cron_jobs_and_pinned_sessions_unless_they_are_named(store: Store) -> None:
    store.add((LEAD + "pinned", store.session("pinned", pinnedAt=1)))
    kept = [LEAD + "telegram:group:-1001234", LEAD + "cron:nightly"]
    assert run_json(KeepOnlySessions, *kept, state=store.state).code == 0
    assert set(store.listed()) == {LEAD + "main", *kept}


def test_keep_only_refuses_a_running_session_and_goes_on(store: Store) -> None:
    # It is not the first of its file.
    store.write(dict(reversed(store.entries().items())))
    store.lock_transcript(LEAD + "kelly-dashboard")
    dry = run_json(KeepOnlySessions, "alpha", "topics", "--dry-run", state=store.state)
    answer = run_json(KeepOnlySessions, "alpha", "topics", state=store.state)
    assert answer.code == 1
    assert [row["key"] for row in answer.data["results"]] == [row["key"] for row in dry.data["results"]]
    assert [row["key"] for row in answer.data["results"] if row["status"] != "closed"] == [LEAD + "kelly-dashboard"]
    assert set(store.listed()) == {LEAD + "main", LEAD + "alpha", LEAD + "topics", LEAD + "kelly-dashboard"}


def test_keep_only_keeps_canonical_and_legacy_key_of_a_name(store: Store) -> None:
    assert run_json(KeepOnlySessions, "kelly-dashboard", state=store.state).code == 0
    assert set(store.listed()) == {LEAD + "main", LEAD + "kelly-dashboard", LEAD + "project-kelly-dashboard"}


def test_more_than_max_shows_the_plan_and_changes_nothing(store: Store) -> None:
    before = tree(store.state)
    result = run(CloseProjectBatch, "alpha", "topics", "--max", "1", state=store.state)
    assert result.code == 3
    assert result.stdout.count("would_close") == 2
    assert tree(store.state) == before


def test_force_and_yes_do_not_stand_for_each_other(store: Store) -> None:
    store.lock_transcript(LEAD + "kelly-dashboard")
    before = tree(store.state)
    assert run_json(CloseProject, LEAD + "kelly-dashboard", "--yes", state=store.state).code == 3
    words = ("alpha", "topics", "--max", "1", "--force")
    assert run_json(CloseProjectBatch, *words, state=store.state).error == "too_many"
    assert tree(store.state) == before


@pytest.mark.parametrize(
    "words",
    [
        ("never-spoken", "topics"),
        ("--", "never-spoken", "topics"),
        ("topics", LEAD + "it's odd; $(id)"),
        ("topics", LEAD + "new\nline"),
        ("topics", LEAD + "red\x1b[31m"),
    ],
)
def test_the_next_command_that_is_printed_does_it(store: Store, words: tuple[str, ...]) -> None:
    store.add(*((word, store.session(word)) for word in words if word.startswith(LEAD)))
    first = run(CloseProjectBatch, "--max", "1", *words, state=store.state)
    assert first.code == 3
    assert first.stderr.count("\n") == 1
    assert not RAW.search(first.stderr)
    command = first.stderr.partition("; next: if all of them are meant: ")[2].strip()
    assert command.startswith("close-project-batch ")
    again = words_of_shell(command)[1:]
    second = run_json(CloseProjectBatch, *again)
    assert second.code == 0
    assert len(second.rows) == 2
    assert {status for _, status in second.rows} == {"closed"}


def test_exactly_max_needs_no_yes(store: Store) -> None:
    assert run_json(CloseProjectBatch, "alpha", "topics", "--max", "2", state=store.state).code == 0
