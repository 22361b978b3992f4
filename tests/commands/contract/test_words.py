"""What people read: the result first, bounded, and nothing that moves a cursor."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import run, run_json, run_process
from support.keys import LEAD
from support.stores import Store, build
from support.terminal import RAW


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, {"NO_COLOR": "1"}])
@pytest.mark.parametrize("words", [("alpha",), ("main",), ("nowhere",), ("--help",), ("--nonsense",)])
def test_there_is_no_colour_off_a_terminal(
    store: Store, words: tuple[str, ...], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    result = run(CloseProject, *words, state=store.state)
    assert not RAW.search(result.stdout + result.stderr)
    if words == ("alpha",):
        result = run_process("close-project", *words, state=store.state)
        assert (result.code, bool(RAW.search(result.stdout + result.stderr))) == (0, False)


ODD = [
    LEAD + "new\nline",
    LEAD + "red\x1b[31m",
    LEAD + "bell\x07\x9b",
    LEAD + "del\x7f\u2028\u202e",
    LEAD + 'quote"\\',
    LEAD + "emoji 🙂",
]


@pytest.mark.parametrize("key", ODD)
@pytest.mark.parametrize("words", [("--dry-run",), ("--verbose",), (), ("--via", "gateway")])
def test_odd_keys_never_reach_the_terminal_raw(store: Store, key: str, words: tuple[str, ...]) -> None:
    store.add((key, store.session(key, status="running")))
    result = run(CloseProjectBatch, key, key + "x", *words, state=store.state)
    assert not RAW.search(result.stdout + result.stderr)
    assert not {"\u2028", "\u202e"}.intersection(result.stdout + result.stderr)
    assert len([line for line in result.stdout.splitlines() if "line" in line and "new" in line]) <= 2


@pytest.mark.parametrize("key", ODD)
def test_odd_keys_in_keep_only_and_in_hints_never_reach_the_terminal_raw(store: Store, key: str) -> None:
    store.add((key, store.session(key)))
    for command, word in ((KeepOnlySessions, "alpha"), (CloseProject, key + "x"), (KeepOnlySessions, key + "x")):
        result = run(command, word, "--dry-run", state=store.state)
        assert not RAW.search(result.stdout + result.stderr)


@pytest.mark.parametrize("flag", ["--no\x1b[31m", "--no\nsuch", "--max=\x1b[31m", "--agent=\x1b[31m"])
def test_odd_words_are_quoted_in_usage_errors(store: Store, flag: str) -> None:
    result = run(CloseProject, flag, "alpha", state=store.state)
    assert result.code == 2
    assert result.stderr.count("\n") == 1
    assert not RAW.search(result.stderr)


def test_odd_state_directories_are_quoted(tmp_path: Path, closed_port: int) -> None:
    odd = build(tmp_path / "a\nb\x1b[31m", closed_port)
    for state in (odd.state, tmp_path / "not\nthere\x1b[31m"):
        for words in (("alpha",), ("alpha", "--verbose"), ("nowhere",)):
            result = run(CloseProject, *words, state=state)
            assert not RAW.search(result.stdout + result.stderr)
            assert all(line.startswith(("error: ", "warning: ")) for line in result.stderr.splitlines())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_that_cannot_show_a_key_is_no_reason_to_fail(store: Store, encoding: str) -> None:
    keys = [LEAD + "emoji 🙂", LEAD + "héllo", LEAD + "\udc80".encode("utf-8", "surrogatepass").decode("latin-1")]
    store.add(*((key, store.session(key)) for key in keys))
    store.add(*((f"{LEAD}more-{number}", store.session(f"more-{number}")) for number in range(25)))
    result = run_process(
        "keep-only-sessions", "alpha", state=store.state, env={"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    )
    assert result.code == 0, result.stderr
    assert store.listed() == [LEAD + "main", LEAD + "alpha"]


def test_output_for_people_is_bounded_and_verbose_shows_all(store: Store) -> None:
    rows = [f"{LEAD}many-{number}" for number in range(60)]
    store.add(*((row, store.session(row)) for row in rows))
    words = ("alpha", "--dry-run")
    short = run(KeepOnlySessions, *words, state=store.state)
    assert len(short.stdout.splitlines()) < 35
    long = run(KeepOnlySessions, *words, "--verbose", state=store.state)
    assert all(row in long.stdout for row in rows)


def test_what_went_wrong_stands_before_what_went_well(store: Store) -> None:
    rows = [f"many-{number}" for number in range(40)]
    store.add(*((LEAD + row, store.session(LEAD + row)) for row in rows))
    result = run(CloseProjectBatch, *rows, "nowhere", state=store.state)
    assert "nowhere" in result.stdout


def test_results_come_in_the_order_of_the_command_line(store: Store) -> None:
    words = ("topics", "nowhere", "agent:main:hydration-tracker", "alpha", "main", "agent:researcher:kelly-dashboard")
    for options in (("--dry-run",), ()):
        answer = run_json(CloseProjectBatch, *words, *options, state=store.state)
        assert [row["input"] for row in answer.data["results"]] == list(words)
