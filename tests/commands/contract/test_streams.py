"""A command needs no stdin and no terminal, and what cannot be written changes nothing but what is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import run_process
from support.contract import words_of_shell
from support.keys import LEAD
from support.programs import BARE, importable
from support.stores import Store


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("close-project", ("alpha",)),
        ("close-project-batch", ("alpha", "topics")),
        ("keep-only-sessions", ("alpha",)),
        ("close-project", ()),
        ("close-project", ("--help",)),
        ("close-project-batch", ("--demo", "kelly-dashboard")),
    ],
)
def test_every_command_ends_with_stdin_closed_and_no_terminal(store: Store, name: str, words: tuple[str, ...]) -> None:
    place = None if "--demo" in words else store.state
    result = run_process(name, *words, state=place)
    assert result.code == (0 if words else 2)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_caller_has_closed_changes_nothing_but_what_is_said(store: Store, closed: str) -> None:
    result = run_process("close-project", "topics", state=store.state, closed=closed)
    assert result.code == 0
    assert ("1 closed" in result.stdout) is (closed == "2>&-")
    assert result.stderr == ""
    assert LEAD + "topics" not in store.entries()
    # A file that got the number of a stream would hold what was said.
    [receipt] = (store.state / "session-closer" / "receipts").iterdir()
    assert json.loads(receipt.read_text())["state"] == "done"


def test_a_child_gets_the_streams_that_were_closed() -> None:
    program = "import sys; from session_closer.cli import streams; streams.prepare()"
    child = "import subprocess; sys.exit(subprocess.call(['sh', '-c', 'echo x && echo x >&2 && ! read -r line']))"
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, *BARE, "-c", f"{program}; {child}"]
    environ = {**os.environ, "PYTHONPATH": importable()}
    assert subprocess.run(closed, env=environ, check=False).returncode == 0


@pytest.mark.parametrize("words", [("topics",), ("topics", "--json"), ("--help",)])
def test_a_result_that_cannot_be_written_is_one_line_and_exit_1(store: Store, words: tuple[str, ...]) -> None:
    result = run_process("close-project", *words, state=store.state, closed="</dev/null >/dev/full")
    assert result.code == 1
    why = "error: the result cannot be written: No space left on device"
    assert result.stderr == (
        f"{why}\n" if "--help" in words else f"{why}; next: if anything was changed, its receipt says what\n"
    )
    assert (LEAD + "topics" in store.entries()) is ("--help" in words)


@pytest.mark.parametrize(
    "words",
    [("list-sessions",), ("restore-sessions", "--list"), ("restore-sessions", "--found"),
     ("close-project", "--dry-run", "topics"), ("cleanup-sessions", "--print-policy")],
)  # fmt: skip
def test_where_nothing_was_done_no_receipt_is_said_to_have_it(store: Store, words: tuple[str, ...]) -> None:
    result = run_process(*words, state=store.state, closed="</dev/null >/dev/full")
    assert (result.code, result.stderr) == (1, "error: the result cannot be written: No space left on device\n")


def test_a_complaint_that_cannot_be_written_is_exit_1_and_nothing_else(store: Store) -> None:
    result = run_process("close-project", "alpha", state=store.state, closed="</dev/null >/dev/full 2>/dev/full")
    assert result.code == 1
    assert LEAD + "alpha" not in store.entries()
    result = run_process("close-project", "nowhere", state=store.state, closed="</dev/null 2>/dev/full")
    assert result.code == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [(("topics", "--self", "ghost"), 0), (("topics", "alpha", "--max", "1"), 3), (("nowhere",), 1), ((), 2)],
)
@pytest.mark.parametrize("full", ["2>/dev/full", "2>&-"])
def test_a_document_says_how_the_process_ends_whatever_becomes_of_its_complaints(
    store: Store, words: tuple[str, ...], code: int, full: str
) -> None:
    result = run_process("close-project-batch", "--json", *words, state=store.state, closed=f"</dev/null {full}")
    assert (result.code, json.loads(result.stdout)["exitCode"]) == (code, code)


def test_a_line_that_cannot_be_written_stops_no_run_in_the_middle(served: Store) -> None:
    full = "</dev/null 2>/dev/full"
    result = run_process("close-project-batch", "topics", "never-spoken", "--verbose", state=served.state, closed=full)
    assert result.code == 0
    assert "2 closed" in result.stdout
    assert (len(served.receipts()), served.open_runs()) == (1, [])


def installed(folder: Path) -> str:
    """Put empty commands into a folder; return Python that makes COMMAND the one that was called."""
    folder.mkdir(parents=True)
    for name in ("close-project", "close-project-batch", "keep-only-sessions", "list-sessions", "restore-sessions"):
        (folder / name).touch()
    return f"import os; sys.argv[0] = os.path.join({str(folder)!r}, 'COMMAND')"


def test_the_next_command_is_named_where_it_is(store: Store, tmp_path: Path) -> None:
    program = installed(tmp_path / "the closer/bin").replace("COMMAND", "close-project")
    result = run_process("close-project", "alpha", "beta", state=store.state, before=program)
    assert result.code == 2
    assert result.stderr.endswith(f"next: several are closed with: '{tmp_path}/the closer/bin/close-project-batch'\n")


def test_a_session_that_is_called_like_a_command_stays_what_it_is(store: Store, tmp_path: Path) -> None:
    words = ("list-sessions", "x: restore-sessions --list")
    store.add(*((LEAD + word, store.session(LEAD + word)) for word in words))
    program = installed(tmp_path / "bin")
    asked = ("--max", "1", "list-sessions", LEAD + words[1])
    batch = program.replace("COMMAND", "close-project-batch")
    result = run_process("close-project-batch", *asked, state=store.state, before=batch)
    assert result.code == 3
    command = words_of_shell(result.stderr.partition("; next: if all of them are meant: ")[2].strip())
    assert command == [f"{tmp_path}/bin/close-project-batch", "--yes", "--state-dir", str(store.state), *asked]
    listed = run_process("list-sessions", "--agent", "list-sessions", state=store.state)
    kept = ("keep-only-sessions", "nowhere", "--agent", "list-sessions")
    result = run_process(*kept, state=store.state, before=program.replace("COMMAND", "keep-only-sessions"))
    assert (listed.code, listed.stderr.partition(" here;")[0]) == (1, "error: there is no agent list-sessions")
    assert result.stderr.endswith(
        f"see them with: {tmp_path}/bin/list-sessions --state-dir {store.state} --agent list-sessions\n"
    )
