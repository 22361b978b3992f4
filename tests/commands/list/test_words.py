"""Words that list-sessions takes and those that make no sense; readers that go away."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from session_closer.cli.app import EXIT_CODES
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.core.words import Kind
from support.commands import run, run_process
from support.keys import LEAD
from support.listing import listed
from support.programs import BARE, importable
from support.stores import Store
from support.trees import tree


@pytest.mark.parametrize(
    "words",
    [
        ("alpha", ""),
        ("--match", ""),
        ("--label", "-x"),
        ("--sort", "newest"),
        ("--dry-run",),
        ("--restart", "never"),
        ("--no-restart",),
        ("--reason", "x"),
        ("--limit",),
        ("--limit", "0"),
        ("--limit", "-1"),
        ("--limit", "ALL"),
        ("--limit", "1e3"),
        ("--active", "0"),
        ("--active", "5m"),
        ("--older-than", "24"),
        ("--older-than", "h"),
        ("--older-than", "-1h"),
        ("--kind", "cron-runs"),
        ("--kind", ""),
        ("--kind", "cron,,hook"),
        ("--agent", "../x"),
        ("--agent", "UPPER"),
        ("--agent", "main", "--all-agents"),
        ("--agent", "main", "--agent", "researcher"),
        ("--profile", "work"),
        ("--token-file", "/dev/null"),
        ("-v",),
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense(store: Store, words: tuple[str, ...]) -> None:
    before = tree(store.state)
    answer = listed(store, *words)
    assert (answer.code, answer.data["error"]["name"], answer.data["sessions"]) == (2, "usage", [])
    result = run(ListSessions, *words, state=store.state)
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert tree(store.state) == before


def test_an_unknown_kind_names_all_kinds(store: Store) -> None:
    remedy = listed(store, "--kind", "project,crons").data["error"]["remedy"]
    assert remedy.split("one of ")[1].split(", ") == list(map(str, Kind))


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("x", "--help")])
def test_help_has_what_a_list_takes_and_nothing_of_a_change(store: Store, words: tuple[str, ...]) -> None:
    result = run(ListSessions, *words, state=store.state)
    assert (result.code, result.stderr) == (0, "")
    options = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", result.stdout, re.MULTILINE))
    assert options == {
        "--agent", "--all-agents", "--store", "--active", "--kind", "--older-than", "--limit", "--json", "--verbose",
        "--match", "--label", "--sort", "--reverse", "--usage", "--runtime", "--help", "--report", "--pager",
        "--version", "--state-dir", "--profile", "--url", "--token-file", "--gateway-state-dir",
    }  # fmt: skip
    assert [line for line in EXIT_CODES if line not in result.stdout] == []
    assert all(kind in result.stdout for kind in Kind)


def test_it_ends_with_stdin_closed_and_no_terminal(store: Store) -> None:
    result = run_process("list-sessions", state=store.state)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("18 sessions\n")


SHOWS = [
    ("list_sessions", "--limit", "all"),
    ("list_sessions", "--limit", "all", "--json"),
    ("close_project_batch", "--dry-run", "--yes", "--verbose", *(str(number) for number in range(2000))),
    ("keep_only_sessions", "--dry-run", "--yes", "--verbose", "1"),
    ("cleanup_sessions", "--dry-run", "--yes", "--verbose", "--max-entries", "1"),
    ("cleanup_sessions", "--print-policy"),
    ("restore_sessions", "--list"),
    ("close_project", "--help"),
    ("restore_sessions", "--version"),
]


@pytest.mark.parametrize(
    ("words", "read"),
    [
        # Who reads nothing at all goes away at another moment: of each kind of output one.
        pytest.param(words, read, marks=[] if read or words in SHOWS[1:3] + SHOWS[-2:] else [pytest.mark.depth])
        for words in SHOWS
        for read in (0, 1)
    ],
    ids=lambda each: " ".join(each[:3]) if isinstance(each, tuple) else str(each),
)
def test_a_reader_that_has_seen_enough_is_no_failure(store: Store, words: tuple[str, ...], read: int) -> None:
    rows = {f"{LEAD}{number}": {"sessionId": f"s{number}", "updatedAt": 10**12} for number in range(5000)}
    store.write(rows)
    code, said = cut_short(store, *words, read=read)
    assert (code, said) == (0, b"")


@pytest.mark.long
def test_a_reader_of_an_account_that_goes_away_is_a_failure(store: Store) -> None:
    store.write({f"{LEAD}{number}": {} for number in range(5000)})
    assert cut_short(store, "keep_only_sessions", "--yes", "--verbose", "1", read=1)[0] == 1


def cut_short(store: Store, name: str, *words: str, read: int) -> tuple[int, bytes]:
    """Return exit code and stderr of a command whose stdout nobody reads any more after so many lines."""
    environ = {**os.environ, "PYTHONPATH": importable()}
    # A buffer is what fails at the end.
    environ.pop("PYTHONUNBUFFERED", None)
    program = f"import sys; from session_closer.cli.commands.{name} import main; sys.exit(main())"
    command = [sys.executable, *BARE, "-B", "-c", program, "--state-dir", str(store.state), *words]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for _ in range(read):
            process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    return process.returncode, said
