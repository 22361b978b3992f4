"""Which session a word stands for: agents and project ids."""

from __future__ import annotations

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import run_json
from support.contract import COMMANDS
from support.keys import LEAD
from support.stores import Store
from support.trees import tree

# 7. agents


def test_a_full_key_wins_over_the_default_agent(store: Store) -> None:
    answer = run_json(CloseProjectBatch, "agent:researcher:kelly-dashboard", "hydration-tracker", state=store.state)
    assert [(row["agent"], row["status"]) for row in answer.data["results"]] == [
        ("researcher", "closed"),
        ("project-lead", "closed"),
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_contradiction_with_agent_is_exit_2_for_the_whole_run(store: Store, command: type[Command]) -> None:
    before = tree(store.state)
    words = ["agent:researcher:kelly-dashboard", "--agent", "project-lead"]
    if command is not CloseProject:
        words.insert(0, "alpha")
    answer = run_json(command, *words, state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(store.state) == before


def test_agent_that_agrees_is_fine(store: Store) -> None:
    words = ("agent:researcher:kelly-dashboard", "--agent", "researcher")
    assert run_json(CloseProject, *words, state=store.state).code == 0


# 8. project ids


@pytest.mark.parametrize(
    ("word", "keys"),
    [
        ("kelly-dashboard", [LEAD + "kelly-dashboard", LEAD + "project-kelly-dashboard"]),
        ("hydration-tracker", [LEAD + "project-hydration-tracker"]),
        ("project-hydration-tracker", [LEAD + "project-hydration-tracker"]),
        ("invoices", ["project-invoices"]),
        ("project-invoices", ["project-invoices"]),
        (LEAD + "kelly-dashboard", [LEAD + "kelly-dashboard"]),
    ],
)
def test_a_project_id_means_canonical_and_legacy_key(store: Store, word: str, keys: list[str]) -> None:
    answer = run_json(CloseProject, word, state=store.state)
    assert answer.rows == [(key, "closed") for key in keys]


def test_a_project_id_is_no_pattern_and_no_part_of_a_key(store: Store) -> None:
    before = tree(store.state)
    for word in ("kelly", "dashboard", "nightly", "2b1c", "*", "alph", "ALPHA"):
        assert run_json(CloseProject, word, state=store.state).code != 0
    assert tree(store.state) == before
