"""--json is exactly one document in every ending, and says the same as the files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.openclaw.files import close
from support.commands import Answer, one_document, run, run_json, run_process
from support.contract import check_envelope
from support.gateway import StubOpenClaw
from support.interrupted import Killed, perform
from support.keys import LEAD
from support.stores import Store
from support.terminal import RAW

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
    if before or words == ("alpha",):
        result = run_process("close-project", *words, "--json", state=store.state, before=before)
    else:
        result = run(CloseProject, *words, "--json", state=store.state)
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
