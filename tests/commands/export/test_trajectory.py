"""OpenClaw's own bundles: its command makes them, for its support, and they are never told as copies."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.export_sessions import ExportSessions
from support.commands import Answer, run, run_json
from support.gateway import StubGateway, StubOpenClaw
from support.said import KEY, InFiles, Said
from support.stores import TOKEN, Store
from support.trees import tree

WORD = "export-trajectory"
NO_COPY = "a trajectory is for OpenClaw's support, and no backup"


@pytest.fixture
def openclaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubOpenClaw:
    """The command on PATH."""
    made = StubOpenClaw(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace of one's own."""
    (tmp_path / "workspace").mkdir(mode=0o700)
    return tmp_path / "workspace"


def bundle(workspace: Path, name: str = "openclaw-trajectory-1") -> dict[str, Any]:
    """Lay down what OpenClaw would; return what it would say."""
    folder = workspace / ".openclaw" / "trajectory-exports" / name
    folder.mkdir(parents=True)
    return {"outputDir": str(folder), "eventCount": 7, "files": ["manifest.json"]}


def asked(said: Said, workspace: Path, *words: str) -> Answer:
    return run_json(ExportSessions, "--trajectory", "--workspace", str(workspace), *words, state=said.store.state)


def test_its_command_is_run_for_the_session_and_what_it_says_is_reported(
    said: Said, workspace: Path, openclaw: StubOpenClaw
) -> None:
    says = bundle(workspace)
    openclaw.answers(WORD, says)
    before = tree(said.store.state)
    answer = asked(said, workspace, KEY.rpartition(":")[2])
    assert (answer.code, answer.data["failed"], answer.data["output"]) == (0, [], str(workspace)), answer
    [row] = answer.data["trajectories"]
    assert row == {"agent": "project-lead", "key": KEY, "path": says["outputDir"], "openclaw": says}
    [call] = openclaw.calls(WORD)
    words = f"--session-key={KEY} --agent=project-lead --workspace={workspace} --json"
    assert call == f"sessions {WORD} {words}"
    assert tree(said.store.state) == before


def test_it_is_never_told_as_a_copy(said: Said, workspace: Path, openclaw: StubOpenClaw) -> None:
    openclaw.answers(WORD, bundle(workspace))
    answer = asked(said, workspace, KEY)
    assert answer.data["exported"] == []
    first, second = answer.data["warnings"]
    assert first.startswith(NO_COPY)
    assert second.endswith("read it before you hand it on")
    words = ("--trajectory", "--workspace", str(workspace), KEY)
    shown = run(ExportSessions, *words, state=said.store.state)
    assert shown.stdout.startswith("1 for support, no copies\n")
    assert "sha256sum" not in shown.stdout
    assert NO_COPY in shown.stderr


def test_a_name_is_handed_on(said: Said, workspace: Path, openclaw: StubOpenClaw) -> None:
    openclaw.answers(WORD, bundle(workspace))
    assert asked(said, workspace, "--name", "for-support", KEY).code == 0
    assert "--output=for-support" in openclaw.calls(WORD)[0].split()


def test_it_works_above_a_gateway(said: Said, workspace: Path, openclaw: StubOpenClaw, stub: StubGateway) -> None:
    stub.serve(said.store.state, TOKEN)
    openclaw.answers(WORD, bundle(workspace))
    answer = asked(said, workspace, KEY)
    assert (answer.code, len(answer.data["trajectories"])) == (0, 1), answer
    assert stub.methods() == []


@pytest.mark.parametrize(
    ("says", "code", "complaint", "why"),
    [
        ({}, 1, f"Session not found: {KEY}\n", f"Session not found: {KEY}"),
        ({"ok": False, "error": {"message": "too large"}}, 1, "", "too large"),
        ({"ok": False}, 1, "it is gone\n", "it is gone"),
        ({"ok": False, "error": "EEXIST"}, 1, "", "EEXIST"),
        ({}, 1, "error: unknown option '--session-key'", "error: unknown option '--session-key'"),
        ({}, 7, "", "it ended with 7"),
        ({}, 0, "", "it ended with 0"),
        ({"outputDir": "/nowhere/at/all"}, 0, "", '{"outputDir": "/nowhere/at/all"}'),
    ],
)
def test_what_it_does_not_make_is_said(
    said: Said,
    workspace: Path,
    openclaw: StubOpenClaw,
    says: dict[str, Any],
    code: int,
    complaint: str,
    why: str,
) -> None:
    openclaw.answers(WORD, says, code=code, complaint=complaint)
    answer = asked(said, workspace, KEY)
    assert (answer.code, answer.data["trajectories"], answer.data["exported"]) == (1, [], []), answer
    [row] = answer.data["failed"]
    assert (row["key"], row["status"]) == (KEY, "failed")
    assert row["error"] == f"openclaw has made no bundle: {why}"


def test_a_session_that_is_not_there_is_not_asked_for(said: Said, workspace: Path, openclaw: StubOpenClaw) -> None:
    openclaw.answers(WORD, bundle(workspace))
    answer = asked(said, workspace, "nowhere", KEY)
    assert (answer.code, len(answer.data["trajectories"])) == (1, 1)
    assert [row["status"] for row in answer.data["failed"]] == ["not_found"]
    assert asked(said, workspace, "nowhere").data["warnings"] == []
    assert len(openclaw.calls(WORD)) == 1


def test_without_a_command_all_are_refused(said: Said, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(workspace))
    answer = asked(said, workspace, KEY)
    [row] = answer.data["failed"]
    assert (answer.code, row["status"], row["error"]) == (3, "refused", "there is no openclaw command on PATH")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trajectory"], "no workspace was given; next: --workspace DIR"),
        (["--trajectory", "--workspace", "/nowhere"], '"/nowhere" is no folder; next: --workspace DIR, which is there'),
        (["--workspace", "W"], "--workspace and --name belong to --trajectory; next: --trajectory, or leave them out"),
        (["--output", "W", "--name", "x"], "--workspace and --name belong to --trajectory; next: --trajectory, or"),
        *(
            (["--trajectory", "--workspace", "W", "--name", name], f"{json.dumps(name)} is no name for a bundle; next:")
            for name in ("../x", "/x", "~x", ".", "..", ".x", "a/b", "a b", "x" * 101)
        ),
        *(
            (["--trajectory", "--workspace", "W", *other], f"{other[0]} and --trajectory contradict each other; next:")
            for other in (
                ["--output", "W"], ["--from", "last"], ["--format", "md"], ["--format", "bundle"], ["--media"],
                ["--thinking"], ["--redact"], ["--max-bytes", "1G"],
            )
        ),
        (["--trajectory", "--workspace", "W", "--name", "x", "more"], "--name is for one bundle, and 2 sessions were"),
    ],
)  # fmt: skip
def test_bad_words_are_one_line_and_nothing_is_run(
    said: Said, workspace: Path, openclaw: StubOpenClaw, words: list[str], message: str
) -> None:
    given = [str(workspace) if word == "W" else word for word in words]
    result = run(ExportSessions, *given, KEY, state=said.store.state)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result
    assert result.stderr.startswith(f"error: {message}")
    assert openclaw.calls(WORD) == []
    assert list(workspace.iterdir()) == []


def test_no_session_is_no_request(said: Said, workspace: Path) -> None:
    result = run(ExportSessions, "--trajectory", "--workspace", str(workspace), state=said.store.state)
    assert (result.code, result.stderr.count("\n")) == (2, 1)


def test_a_workspace_that_others_may_write_to_is_none(said: Said, workspace: Path, openclaw: StubOpenClaw) -> None:
    workspace.chmod(0o777)
    answer = asked(said, workspace, KEY)
    assert (answer.code, answer.error) == (3, "output")
    assert openclaw.calls(WORD) == []
    assert asked(said, said.store.folder(), KEY).error == "output"


def test_a_folder_that_is_there_of_a_command_that_failed_is_no_bundle(
    said: Said, workspace: Path, openclaw: StubOpenClaw
) -> None:
    openclaw.answers(WORD, bundle(workspace), code=1)
    answer = asked(said, workspace, KEY)
    assert (answer.code, answer.data["trajectories"], len(answer.data["failed"])) == (1, [], 1)


def test_a_work_tree_of_git_is_warned_of(said: Said, workspace: Path, openclaw: StubOpenClaw) -> None:
    (workspace / ".git").mkdir()
    openclaw.answers(WORD, bundle(workspace))
    assert any("git work tree" in warning for warning in asked(said, workspace, KEY).data["warnings"])


def test_what_was_made_before_the_command_went_is_reported(
    tmp_path: Path, closed_port: int, workspace: Path, openclaw: StubOpenClaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    said.store.add((KEY + "-2", said.store.session("second")))
    openclaw.answers(WORD, bundle(workspace))
    openclaw.path.write_text(openclaw.path.read_text().replace("#!/bin/sh\n", '#!/bin/sh\nrm "$0"\n'))
    monkeypatch.setenv("PATH", f"{openclaw.folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    answer = asked(said, workspace, KEY, KEY + "-2")
    assert (answer.code, [row["key"] for row in answer.data["trajectories"]]) == (1, [KEY]), answer
    assert [row["status"] for row in answer.data["failed"]] == ["refused"]


def test_a_workspace_within_the_state_directory_is_one(said: Said, openclaw: StubOpenClaw) -> None:
    workspace = said.store.state / "workspace"
    workspace.mkdir(mode=0o700)
    openclaw.answers(WORD, bundle(workspace))
    assert asked(said, workspace, KEY).code == 0
