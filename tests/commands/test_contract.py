"""The command-line contract, line by line: arguments, dry run, JSON, exit codes, words for people."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from session_closer.cli.app import EXIT_CODES, Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.openclaw.files import close
from support.commands import Answer, one_document, run, run_json, run_process
from support.gateway import StubOpenClaw
from support.interrupted import Killed, interrupt, perform
from support.keys import LEAD
from support.programs import LIB
from support.stores import Store, build
from support.trees import tree

COMMANDS: list[type[Command]] = [CloseProject, CloseProjectBatch, KeepOnlySessions]
ENVELOPE = {
    "ok", "exitCode", "operation", "dryRun", "stores", "results", "kept", "gateway", "restart", "receipt", "undo",
    "free", "warnings", "error",
}  # fmt: skip
ROW = {
    "input", "agent", "key", "ok", "status", "reason", "sessionId", "route", "archives", "left", "keyFree", "message",
    "effects", "error",
}  # fmt: skip
STORE = {"agent", "path", "era", "backup"}
RESTART = {"needed", "ok", "result", "detail"}
GATEWAY = {"state", "pid", "port", "version", "evidence"}
ERROR = {"code", "name", "message", "remedy"}
# Nothing that a terminal could take for an order: C0 but the newline that ends a line, DEL, C1.
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def check_envelope(answer: Answer) -> None:
    """The key set is the same in every ending."""
    data = answer.data
    assert set(data) == ENVELOPE
    assert data["exitCode"] == answer.code
    assert data["ok"] is (answer.code == 0)
    assert set(data["restart"]) == RESTART
    for name, keys in (("gateway", GATEWAY), ("error", ERROR)):
        assert data[name] is None or set(data[name]) == keys
    for row in data["results"]:
        assert set(row) == ROW
    for found in data["stores"]:
        assert set(found) == STORE
    assert all(isinstance(warning, str) for warning in data["warnings"])


# 1. stdin, terminal, time


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
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", f"{program}; {child}"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(LIB), *filter(None, sys.path)])}
    assert subprocess.run(closed, env=environ, check=False).returncode == 0


@pytest.mark.parametrize("words", [("topics",), ("topics", "--json"), ("--help",)])
def test_a_result_that_cannot_be_written_is_one_line_and_exit_1(store: Store, words: tuple[str, ...]) -> None:
    result = run_process("close-project", *words, state=store.state, closed="</dev/null >/dev/full")
    assert result.code == 1
    assert result.stderr.startswith("error: the result cannot be written: No space left on device; next: ")
    assert result.stderr.count("\n") == 1
    assert (LEAD + "topics" in store.entries()) is ("--help" in words)


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
    assert result.stderr.endswith(f"next: '{tmp_path}/the closer/bin/close-project-batch' closes several\n")


def test_a_session_that_is_called_like_a_command_stays_what_it_is(store: Store, tmp_path: Path) -> None:
    words = ("list-sessions", "x: restore-sessions --list")
    store.add(*((LEAD + word, store.session(LEAD + word)) for word in words))
    program = installed(tmp_path / "bin")
    asked = ("--max", "1", "list-sessions", LEAD + words[1])
    batch = program.replace("COMMAND", "close-project-batch")
    result = run_process("close-project-batch", *asked, state=store.state, before=batch)
    assert result.code == 3
    command = _words_of_shell(result.stderr.partition("; next: if all of them are meant: ")[2].strip())
    assert command == [f"{tmp_path}/bin/close-project-batch", "--yes", "--state-dir", str(store.state), *asked]
    listed = run_process("list-sessions", "--agent", "list-sessions", state=store.state)
    kept = ("keep-only-sessions", "nowhere", "--agent", "list-sessions")
    result = run_process(*kept, state=store.state, before=program.replace("COMMAND", "keep-only-sessions"))
    assert (listed.code, listed.stderr.partition(" here;")[0]) == (1, "error: there is no agent list-sessions")
    assert result.stderr.endswith(
        f"see them with: {tmp_path}/bin/list-sessions --state-dir {store.state} --agent list-sessions\n"
    )


# 2. arguments


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


# 3. dry run


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (CloseProject, ("alpha",), 0),
        (CloseProject, ("nowhere",), 1),
        (CloseProject, ("main",), 3),
        (CloseProjectBatch, ("alpha", "nowhere"), 1),
        (CloseProjectBatch, ("alpha", "main"), 1),
        (CloseProjectBatch, ("nowhere", "--missing-ok"), 0),
        (CloseProjectBatch, ("alpha", "topics", "--max", "1"), 3),
        (CloseProject, ("alpha", "--via", "gateway"), 6),
        (CloseProject, ("alpha", "--restart", "always"), 0),
        (KeepOnlySessions, ("alpha",), 0),
        (KeepOnlySessions, ("nowhere",), 3),
        (CloseProject, ("topics", "--agent", "main"), 1),
    ],
)
@pytest.mark.parametrize("interrupted", ["", "committed", "uncommitted"])
def test_a_dry_run_leaves_the_tree_as_it_is_and_has_the_code_of_the_real_run(
    store: Store, command: type[Command], words: tuple[str, ...], code: int, interrupted: str
) -> None:
    if interrupted:
        interrupt(store, "kelly-dashboard", committed=interrupted == "committed")
    before = tree(store.state)
    dry = run_json(command, "--dry-run", *words, state=store.state)
    assert tree(store.state) == before
    assert dry.data["dryRun"] is True
    assert dry.code == code
    assert bool(interrupted) == any("was interrupted" in warning for warning in dry.data["warnings"])
    real = run_json(command, *words, state=store.state)
    assert real.code == code
    # Where the whole run is refused the real one shows the plan, too.
    planned = "would_close" if real.data["error"] else "closed"
    assert [(key, status.replace("would_close", planned)) for key, status in dry.rows] == real.rows
    check_envelope(dry)
    check_envelope(real)


@pytest.mark.parametrize("committed", [True, False])
def test_a_dry_run_for_the_session_of_an_interrupted_run_says_what_the_real_run_says(
    store: Store, committed: bool
) -> None:
    interrupt(store, "topics", committed=committed)
    before = tree(store.state)
    dry = run_json(CloseProject, "--dry-run", "topics", state=store.state)
    assert tree(store.state) == before
    real = run_json(CloseProject, "topics", state=store.state)
    assert (real.code, real.rows) == (0, [(LEAD + "topics", "already_closed" if committed else "closed")])
    assert (dry.code, [row["status"] for row in dry.data["results"]]) == (
        0,
        ["already_closed" if committed else "would_close"],
    )


def test_a_dry_run_is_no_reason_to_say_already_closed(store: Store) -> None:
    run_json(CloseProject, "--dry-run", "alpha", state=store.state)
    assert run_json(CloseProject, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]


# 4. JSON

_CLOSE = "from session_closer.operations import close as c\n"
BUG = _CLOSE + "def boom(*a, **k): raise RuntimeError('a\\nb\\x1b[31m')\nc.execute = boom"
FULL = BUG.replace("RuntimeError('a\\nb\\x1b[31m')", "MemoryError")
STOP = _CLOSE + "def stop(*a, **k): raise KeyboardInterrupt\nc.execute = stop"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--nope",), "unknown option --nope"),
        (("--dry-run", "--dry-run"), "option --dry-run already given"),
        (("--max",), "option --max requires an argument"),
    ],
)
def test_a_wrong_option_is_named_in_english_and_as_the_help_calls_it(
    store: Store, words: tuple[str, ...], said: str
) -> None:
    german = "import locale; locale.getlocale = lambda *_: ('de_DE', 'UTF-8')"
    result = run_process("close-project", *words, state=store.state, before=german)
    assert (result.code, result.stderr) == (2, f"error: {said}; next: close-project --help\n")


@pytest.mark.parametrize(
    ("words", "before", "code", "name"),
    [
        (("alpha",), "", 0, None),
        (("--dry-run", "alpha"), "", 0, None),
        (("nowhere",), "", 1, None),
        (("--no-such-flag", "alpha"), "", 2, "usage"),
        (("alpha", "--max", "many"), "", 2, "usage"),
        ((), "", 2, "usage"),
        (("main",), "", 3, None),
        (("kelly-dashboard", "--max", "1"), "", 3, "too_many"),
        (("alpha", "--via", "gateway"), "", 6, "gateway_needed"),
        (("alpha",), BUG, 70, "bug"),
        (("alpha",), FULL, 1, "memory"),
        (("alpha",), STOP, 130, "interrupted"),
    ],
)
def test_json_is_exactly_one_document_in_every_ending(
    store: Store, words: tuple[str, ...], before: str, code: int, name: str | None
) -> None:
    result = run_process("close-project", *words, "--json", state=store.state, before=before)
    answer = Answer(result.code, one_document(result.stdout), result.stderr)
    check_envelope(answer)
    assert (answer.code, answer.error) == (code, name)
    assert answer.data["operation"] == "close-project"
    assert answer.data["dryRun"] is ("--dry-run" in words)
    assert "Traceback" not in result.stderr
    assert not RAW.search(result.stderr)


def test_a_bug_is_one_line_and_exit_70(store: Store) -> None:
    result = run_process("close-project", "alpha", state=store.state, before=BUG)
    assert result.code == 70
    assert result.stderr.startswith("error: RuntimeError at ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not RAW.search(result.stderr)


def test_json_has_one_row_for_each_key_and_one_for_each_name_without(store: Store) -> None:
    answer = run_json(
        CloseProjectBatch, "nowhere", "kelly-dashboard", "kelly-dashboard", "main", "gone", state=store.state
    )
    assert [(row["input"], row["key"], row["status"]) for row in answer.data["results"]] == [
        ("nowhere", LEAD + "nowhere", "not_found"),
        ("kelly-dashboard", LEAD + "kelly-dashboard", "closed"),
        ("kelly-dashboard", LEAD + "project-kelly-dashboard", "closed"),
        ("main", LEAD + "main", "refused"),
        ("gone", LEAD + "gone", "not_found"),
    ]
    check_envelope(answer)


def test_json_says_the_same_as_the_files(store: Store) -> None:
    entry = store.entries()[LEAD + "kelly-dashboard"]
    before = store.index().read_bytes()
    answer = run_json(CloseProject, LEAD + "kelly-dashboard", "--reason", "the project ended", state=store.state)
    (row,) = answer.data["results"]
    assert row["sessionId"] == entry["sessionId"]
    assert (row["route"], row["ok"], row["error"], row["reason"]) == ("files", True, None, None)
    assert len(row["archives"]) == 4
    assert all(os.path.isabs(path) and os.path.exists(path) for path in row["archives"])
    (kept,) = answer.data["stores"]
    assert Path(kept["backup"]).read_bytes() == before
    assert (kept["agent"], kept["era"], kept["path"]) == ("project-lead", "files", str(store.index()))
    receipt = json.loads(Path(answer.data["receipt"]).read_bytes())
    assert (receipt["state"], receipt["reason"], receipt["operation"]) == ("done", "the project ended", "close-project")
    assert answer.data["kept"] == len(store.listed())
    assert answer.data["gateway"]["state"] == "down"


def test_what_the_gateway_took_out_is_noted_so_and_an_interrupted_run_owes_no_restart(
    served: Store, openclaw: StubOpenClaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> NoReturn:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(close, "through_files", killed)
        with pytest.raises(Killed):
            perform(served, "topics")
    assert served.open_runs()
    assert run_json(CloseProject, "never-spoken", state=served.state).code == 0
    assert served.open_runs() == []
    noted = [one for receipt in served.receipts() for store in receipt["stores"] for one in store["sessions"]]
    expected = [(LEAD + "topics", "gateway", "closed"), (LEAD + "never-spoken", "gateway", "closed")]
    assert [(one["key"], one["route"], one["status"]) for one in noted] == expected
    assert openclaw.calls("restart") == []


@pytest.mark.parametrize(
    "words", [("alpha",), ("nowhere",), ("alpha", "--max", "x"), ("kelly-dashboard", "--max", "1")]
)
def test_diagnostics_go_to_stderr_and_never_into_the_document(store: Store, words: tuple[str, ...]) -> None:
    result = run(CloseProject, "--json", *words, state=store.state)
    one_document(result.stdout)
    for line in result.stderr.splitlines():
        assert line.startswith(("error: ", "warning: ", "closing ", "restarting "))


# 5. exit codes and statuses


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


def test_a_lock_of_openclaw_that_is_not_released_is_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from session_closer.openclaw.files.lock import StoreLock, store_lock

    monkeypatch.setattr(store_lock, "__wrapped__", store_lock.__wrapped__)  # type: ignore[attr-defined]
    monkeypatch.setattr(StoreLock, "acquire", _impatient(StoreLock.acquire))
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


def _impatient(acquire: Any) -> Any:
    return lambda self, _wait: acquire(self, 0.2)


# 6. keep-only and --max


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
    store.lock_transcript(LEAD + "kelly-dashboard")
    answer = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert answer.code == 1
    assert [row["key"] for row in answer.data["results"] if row["status"] != "closed"] == [LEAD + "kelly-dashboard"]
    assert set(store.listed()) == {LEAD + "main", LEAD + "alpha", LEAD + "kelly-dashboard"}


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
    again = _words_of_shell(command)[1:]
    second = run_json(CloseProjectBatch, *again)
    assert second.code == 0
    assert len(second.rows) == 2
    assert {status for _, status in second.rows} == {"closed"}


def _words_of_shell(line: str) -> list[str]:
    """Return the words that bash, which knows $'…', makes of a line."""
    printed = subprocess.run(
        ["bash", "-c", f"set -- {line}; printf '%s\\0' \"$@\""], capture_output=True, check=True, text=True
    )
    return printed.stdout.split("\0")[:-1]


def test_exactly_max_needs_no_yes(store: Store) -> None:
    assert run_json(CloseProjectBatch, "alpha", "topics", "--max", "2", state=store.state).code == 0


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


# 9., 10. words for people


@pytest.mark.parametrize("environ", [{}, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, {"NO_COLOR": "1"}])
@pytest.mark.parametrize("words", [("alpha",), ("main",), ("nowhere",), ("--help",), ("--nonsense",)])
def test_there_is_no_colour_off_a_terminal(store: Store, words: tuple[str, ...], environ: dict[str, str]) -> None:
    result = run_process("close-project", *words, state=store.state, env=environ)
    assert not RAW.search(result.stdout + result.stderr)


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


# 12. places


def homes(world: Path, port: int, *names: str) -> dict[str, Store]:
    """Return a store for each name in the home."""
    return {name: build(world / "home" / name, port) for name in names}


@pytest.mark.parametrize(
    ("words", "environ", "name"),
    [
        ((), {}, ".openclaw"),
        (("--profile", "work"), {}, ".openclaw-work"),
        (("--profile", "default"), {}, ".openclaw"),
        ((), {"OPENCLAW_PROFILE": "work"}, ".openclaw"),
        ((), {"OPENCLAW_STATE_DIR": "{home}/elsewhere"}, "elsewhere"),
        ((), {"OPENCLAW_STATE_DIR": "~/elsewhere"}, "elsewhere"),
        ((), {"OPENCLAW_STATE_DIR": " "}, ".openclaw"),
        ((), {"OPENCLAW_HOME": "{home}/other"}, "other/.openclaw"),
        (("--state-dir", "{home}/elsewhere"), {"OPENCLAW_STATE_DIR": "{home}/.openclaw"}, "elsewhere"),
        (("--state-dir", "~/elsewhere"), {"OPENCLAW_HOME": "{home}"}, "elsewhere"),
        (("--state-dir={home}/elsewhere",), {}, "elsewhere"),
    ],
)
def test_the_state_directory_is_the_one_that_was_named(
    world: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...], environ: dict[str, str], name: str,
) -> None:  # fmt: skip
    home = str(world / "home")
    stores = homes(world, closed_port, ".openclaw", ".openclaw-work", "elsewhere", "other/.openclaw")
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value.format(home=home))
    before = {each: tree(store.state) for each, store in stores.items() if each != name}
    answer = run_json(CloseProject, "alpha", *(word.format(home=home) for word in words))
    assert answer.code == 0
    assert answer.data["stores"][0]["path"] == str(stores[name].index())
    assert {each: tree(stores[each].state) for each in before} == before


def test_the_old_name_of_the_state_directory_is_known(world: Path, closed_port: int) -> None:
    store = homes(world, closed_port, ".clawdbot")[".clawdbot"]
    assert run_json(CloseProject, "alpha").data["stores"][0]["path"] == str(store.index())


@pytest.mark.parametrize(
    ("words", "environ"),
    [
        (("--profile", "work", "--state-dir", "/x"), {}),
        (("--profile", "work"), {"OPENCLAW_STATE_DIR": "/elsewhere"}),
        (("--demo", "--profile", "work"), {}),
        (("--demo", "--state-dir", "/x"), {}),
    ],
)
def test_two_state_directories_are_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], environ: dict[str, str]
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert run_json(CloseProject, "alpha", *words).error == "usage"


def test_state_dir_ignores_the_configuration_of_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"session": {"store": str(tmp_path / "nowhere.json")}}))
    monkeypatch.setenv("OPENCLAW_CONFIG_PATH", str(other))
    assert run_json(CloseProject, "alpha", state=store.state).code == 0


def test_a_custom_store_is_found_where_the_configuration_says(store: Store) -> None:
    elsewhere = store.state / "stores" / "project-lead.json"
    elsewhere.parent.mkdir()
    store.configure(session={"store": str(store.state / "stores" / "{agentId}.json")})
    store.index().rename(elsewhere)
    answer = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert answer.code == 0
    assert answer.data["stores"][0]["path"] == str(elsewhere)
    assert LEAD + "kelly-dashboard" not in json.loads(elsewhere.read_bytes())
    # The transcripts of a custom store are where they always are.
    assert sum(os.path.dirname(path) == str(store.folder()) for path in answer.data["results"][0]["archives"]) == 4


def test_a_store_of_all_agents_is_only_changed_for_the_one_that_was_named(store: Store) -> None:
    shared = store.state / "all.json"
    store.configure(session={"store": str(shared)})
    rows = {**store.entries(), **store.entries("researcher")}
    store.index().unlink()
    shared.write_text(json.dumps(rows, indent=2))
    answer = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert answer.code == 0
    left = set(json.loads(shared.read_bytes()))
    bare = {key for key in rows if not key.startswith("agent:")}
    assert bare, "in a file for all agents nobody can tell whose a bare key is, so it stays"
    assert left == {LEAD + "main", LEAD + "alpha", *bare, *store.entries("researcher")}


# --demo


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("close-project", ("kelly-dashboard",)),
        ("close-project-batch", ("kelly-dashboard", "hydration-tracker")),
        ("keep-only-sessions", ("kelly-dashboard",)),
    ],
)
def test_the_demo_touches_nothing(world: Path, closed_port: int, name: str, words: tuple[str, ...]) -> None:
    store = homes(world, closed_port, ".openclaw")[".openclaw"]
    before = tree(store.state)
    result = run_process(name, "--demo", *words)
    assert result.code == 0
    assert "before" in result.stdout
    assert "after" in result.stdout
    assert tree(store.state) == before
    assert os.listdir(world / "tmp") == []


def test_the_demo_says_that_its_files_are_gone_and_its_counts_agree(world: Path) -> None:
    said = run_process("close-project-batch", "--demo", "kelly-dashboard", "hydration-tracker").stdout
    about = said.partition("\n")[0]
    assert "removed at the end, with every file that is named below" in about
    for line in said.splitlines():
        if line.startswith(("backup ", "receipt ")):
            assert not Path(line.split()[1]).exists()
    counts = re.findall(r"^  agent (\S+), (\d+) sessions$", said, re.MULTILINE)
    assert counts[:3] == [("main", "2"), ("project-lead", "12"), ("researcher", "2")]
    assert counts[3:] == [("main", "2"), ("project-lead", "8"), ("researcher", "2")]
    assert "\n4 closed, 8 kept\n" in said
    for part, sessions in zip(said.split("\nafter\n"), (16, 12), strict=True):
        assert len(re.findall(r"^    \S", part, re.MULTILINE)) == sessions


def test_the_demo_speaks_json(world: Path) -> None:
    answer = run_json(CloseProject, "--demo", "kelly-dashboard")
    check_envelope(answer)
    assert answer.code == 0
    assert answer.data["gateway"]["state"] == "down"


def test_shell_quoting_helper_reads_what_shlex_writes() -> None:
    words = ["a b", "c'd", 'e"f', "$(g)"]
    assert _words_of_shell(shlex.join(words)) == words
