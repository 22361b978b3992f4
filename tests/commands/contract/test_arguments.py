"""Arguments: help and version change nothing, and neither do words that make no sense."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from session_closer.cli.app import EXIT_CODES, Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import one_document, run, run_json, run_process
from support.contract import COMMANDS
from support.keys import LEAD
from support.stores import Store
from support.terminal import RAW
from support.trees import tree


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("-h",),
        ("alpha", "--help"),
        ("alpha", "-h"),
        ("-h", "alpha"),
        ("--yes", "alpha", "--help", "--no-such-flag"),
        ("--reason", "x", "-h"),
        ("--max", "many", "--help"),
    ],
)
def test_help_in_any_position_is_help_and_nothing_else(
    store: Store, command: type[Command], words: tuple[str, ...]
) -> None:
    before = tree(store.state)
    result = run(command, *words, state=store.state)
    assert result.code == 0
    assert f"usage: {command.OPERATION} " in result.stdout
    assert result.stderr == ""
    assert tree(store.state) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_exit_code(command: type[Command]) -> None:
    shown = run(command, "--help").stdout
    assert [line for line in EXIT_CODES if line not in shown] == []
    assert {line.split()[0] for line in EXIT_CODES} == {"0", "1", "2", "3", "4", "5", "6", "69", "70", "130"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("words", [("--version",), ("alpha", "--version"), ("--version", "alpha")])
def test_version_changes_nothing(store: Store, command: type[Command], words: tuple[str, ...]) -> None:
    before = tree(store.state)
    result = run(command, *words, state=store.state)
    assert result.code == 0
    assert re.fullmatch(rf"{command.OPERATION} \d+\.\d+\.\d+\S*\n", result.stdout)
    assert tree(store.state) == before


WRONG = [
    ("--no-such-flag",),
    ("-x",),
    ("-v",),
    ("-hh",),
    ("-",),
    ("--dry-run=yes",),
    ("--dry-run", "--dry-run"),
    ("--dry",),
    ("--max",),
    ("--max", "0"),
    ("--max", "-1"),
    ("--max", "many"),
    ("--max", "1e3"),
    ("--max", "--yes"),
    ("--max="),
    ("--max", "-h"),
    ("--reason", "-h"),
    ("--reason", "--help"),
    ("--reason=", "-h"),
    ("--reason", "=", "-h"),
    ("--agent=--help",),
    ("--via", "carrier-pigeon"),
    ("--via", "--yes"),
    ("--restart", "maybe"),
    ("--restart", "always", "--no-restart"),
    ("--agent",),
    ("--agent", ""),
    ("--agent", "--yes"),
    ("--agent", "Project-Lead"),
    ("--agent", "../main"),
    ("--agent", "a:b"),
    ("--reason",),
    ("--profile",),
    ("--profile", "../x"),
    ("--profile", "work"),
    ("--demo",),
]


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("words", WRONG, ids=" ".join)
@pytest.mark.parametrize("command", COMMANDS)
def test_words_that_make_no_sense_change_nothing(
    store: Store, command: type[Command], words: Sequence[str], place: str
) -> None:
    words = (words,) if isinstance(words, str) else words
    before = tree(store.state)
    line = ("alpha", *words) if place == "after" else (*words, "alpha")
    if place == "before" and words in (("--max",), ("--agent",), ("--reason",), ("--profile",)):
        line = words
    result = run(command, *line, state=store.state)
    assert result.code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "; next: " in result.stderr
    assert tree(store.state) == before


@pytest.mark.parametrize("option", ["--reason", "--session-key"])
def test_an_option_is_never_taken_for_the_missing_value_of_another(store: Store, option: str) -> None:
    before = tree(store.state)
    words = ["alpha"] if option == "--reason" else []
    result = run(CloseProject, *words, option, "--dry-run", state=store.state)
    assert result.code == 2
    assert tree(store.state) == before


@pytest.mark.parametrize("value", ["-h", "--help", "--version", "--json"])
@pytest.mark.parametrize("name", ["KEY", "REASON"])
def test_what_a_script_hands_over_as_a_value_is_never_taken_for_a_switch(store: Store, name: str, value: str) -> None:
    before = tree(store.state)
    given = {"KEY": LEAD + "alpha", "REASON": "the project has ended", name: value}
    result = run(CloseProject, "--json", "--session-key", given["KEY"], "--reason", given["REASON"], state=store.state)
    assert (result.code, one_document(result.stdout)["error"]["name"]) == (2, "usage")
    assert tree(store.state) == before


@pytest.mark.parametrize("words", [("alpha", "--reason", "--json"), ("beta", "--", "--json")])
def test_json_as_a_value_or_a_target_asks_for_no_json(store: Store, words: tuple[str, ...]) -> None:
    result = run(CloseProject, *words, state=store.state)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize("words", [("--reason", "--json"), ("--", "--json")])
def test_json_as_a_value_asks_for_none_after_a_bug_either(words: tuple[str, ...]) -> None:
    bug = "from session_closer.cli.app import Reader; Reader.obey = lambda *a: 1 / 0"
    result = run_process("close-project", *words, before=bug)
    assert (result.code, result.stdout) == (70, "")
    assert run_process("close-project", "--json", *words, before=bug).stdout.startswith("{")


@pytest.mark.parametrize("command", COMMANDS)
def test_no_target_at_all_is_a_usage_error(store: Store, command: type[Command]) -> None:
    answer = run_json(command, state=store.state)
    assert (answer.code, answer.error) == (2, "usage")


@pytest.mark.parametrize(
    "word",
    ["", ".", "..", "a/b", "../x", "a\\b", "a\nb", "a\x1b[31mb", "a\x7f", "x" * 129, "agent:", "agent:x", "agent::x",
     "agent:project-lead:", "agent:UPPER:x", "agent:..:x"],
)  # fmt: skip
@pytest.mark.parametrize("command", COMMANDS)
def test_words_that_are_no_target_change_nothing(store: Store, command: type[Command], word: str) -> None:
    before = tree(store.state)
    result = run(command, word, state=store.state)
    assert result.code == 2
    assert result.stderr.count("\n") == 1
    assert not RAW.search(result.stderr)
    assert tree(store.state) == before


def test_a_leading_dash_is_a_target_after_two_dashes_only(store: Store) -> None:
    store.add((LEAD + "-odd", store.session("-odd")))
    before = tree(store.state)
    assert run(CloseProject, "-odd", state=store.state).code == 2
    assert tree(store.state) == before
    assert run_json(CloseProject, "--", "-odd", state=store.state).rows == [(LEAD + "-odd", "closed")]


def test_options_after_two_dashes_are_targets(store: Store) -> None:
    before = tree(store.state)
    result = run(CloseProjectBatch, "--", "--dry-run", "--json", "--help", state=store.state)
    assert result.code == 1
    assert "3 not found" in result.stdout
    assert tree(store.state) == before


def test_close_project_takes_exactly_one_of_positional_and_session_key(store: Store) -> None:
    before = tree(store.state)
    for words in (("alpha", "--session-key", LEAD + "alpha"), (), ("alpha", "topics")):
        assert run(CloseProject, *words, state=store.state).code == 2
    assert tree(store.state) == before


def test_completion_words_in_the_environment_are_ignored(store: Store) -> None:
    before = tree(store.state)
    result = run_process("close-project", "alpha", "--dry-run", state=store.state, env={"COMP_WORDS": "x"})
    assert "would close" in result.stdout
    assert tree(store.state) == before
