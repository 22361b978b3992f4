"""What a command says of words that make no sense: what is wrong with them, and what to write instead."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from session_closer.cli.app import Reader
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from support.commands import run, run_process
from support.stores import Store

RANGE = "is no number from 1 to 999999999"
SIZE = "a size above 0, such as 500mb or 2gb"
NONE = "no session was given; next: name a project id or a session key"
LEAVE_OUT = "leave out --state-dir, --home, --runtime, --profile, --url, --token-file, --gateway-state-dir"
SAID: list[tuple[type[Reader], tuple[str, ...], str]] = [
    (ListSessions, ("--active", "2h"), f'"2h" {RANGE}; next: --active MINUTES, as in --active 120'),
    (ListSessions, ("--limit", "0"), f'"0" {RANGE}; next: --limit all|N, as in --limit 50'),
    (ListSessions, ("--agent", ""), "the AGENT of --agent is empty; next: --agent AGENT"),
    (CleanupSessions, ("--max-entries", "x"), f'"x" {RANGE}; next: --max-entries N, as in --max-entries 500'),
    (CleanupSessions, ("--orphans", ""), "the AGE of --orphans is empty; next: --orphans [AGE]"),
    (CleanupSessions, ("x",), '"x" is one word too many; next: --agent AGENT, --active-key KEY or --help'),
    (CloseProject, ("x", "--max", "1" * 10), f'"{"1" * 10}" {RANGE}; next: --max N, as in --max 200'),
    (CloseProject, ("x", "--reason", ""), "the TEXT of --reason is empty; next: --reason TEXT"),
    (CloseProject, ("x", "--reason=-x"), '"-x" begins with -, so it is no TEXT for --reason; next: --reason TEXT'),
    (CloseProject, ("--session-key", ""), "the KEY of --session-key is empty; next: --session-key KEY"),
    (KeepOnlySessions, ("x", "--missing-ok"), "unknown option --missing-ok; next: keep-only-sessions --help"),
    (ExportSessions, ("x",), "no folder was given; next: --output DIR"),
    (ExportSessions, ("--output", "y"), NONE),
    (
        ExportSessions,
        ("x", "--output", "y", "--format", "pdf"),
        '"pdf" is no value of --format; next: --format bundle|md',
    ),
    (ExportSessions, ("x", "--output", "y", "--max-bytes", "0"), f'--max-bytes is "0"; next: {SIZE}'),
    (ExportSessions, ("x", "--output", "y", "--url", "x"), "unknown option --url; next: export-sessions --help"),
    (CloseProject, (), NONE),
    (CloseProjectBatch, (), NONE),
    (KeepOnlySessions, (), NONE.replace("session was", "session to keep was")),
    (
        CloseProject,
        ("x", "y"),
        "one project id or session key was expected, 2 were given; next: several are closed with: close-project-batch",
    ),
    (
        CloseProject,
        ("x", "--session-key", "y"),
        "one project id or session key was expected, 2 were given; next: leave out one of them",
    ),
    (
        CloseProject,
        ("x", "--demo", "--gateway-state-dir", "/x"),
        f"--demo works on a sample store of its own; next: {LEAVE_OUT}",
    ),
]


@pytest.mark.parametrize(("command", "words", "said"), SAID, ids=[f"{c.OPERATION} {' '.join(w)}" for c, w, _ in SAID])
def test_a_usage_error_says_what_is_wrong_and_what_to_write(
    monkeypatch: pytest.MonkeyPatch, store: Store, command: type[Reader], words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("OPENCLAW_STATE_DIR", str(store.state))
    result = run(command, *words)  # type: ignore[arg-type]
    assert (result.code, result.stdout, result.stderr) == (2, "", f"error: {said}\n")


def test_a_number_of_any_length_is_named_in_a_short_line(store: Store) -> None:
    result = run(CloseProject, "x", "--max", "1" * 5000, state=store.state)
    assert result.code == 2
    assert RANGE in result.stderr
    assert len(result.stderr) < 400


def test_the_way_to_the_help_can_be_pasted_into_a_shell(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "the closer"
    folder.mkdir()
    (folder / "close-project").touch()
    before = f"sys.argv[0] = {os.fspath(folder / 'close-project')!r}"
    result = run_process("close-project", "--no-such-option", state=store.state, before=before)
    assert result.stderr == f"error: unknown option --no-such-option; next: '{folder}/close-project' --help\n"


def test_the_help_of_close_project_names_all_keys_of_an_id() -> None:
    said = " ".join(run(CloseProject, "--help").stdout.split())
    keys = ("agent:<agent>:<id>", "agent:<agent>:project-<id>", "bare keys <id> and project-<id>")
    assert [key for key in keys if key not in said] == []
