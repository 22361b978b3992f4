"""NanoClaw: copies of sessions ahead of a cleanup, and from what one has put away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import Answer, run_json
from support.nanoclaw import CLOSED, LOST, OVER, USED, NanoclawHome, V1Home, V2Home

CLAUDES = ("transcript", "tool_results", "debug", "todo", "telemetry")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


def ran(home: NanoclawHome, command: type, *words: str) -> Answer:
    return run_json(command, *words, "--home", str(home.path), state=None)


def contents(home: NanoclawHome, path: str) -> set[bytes]:
    whole = home.path / path
    return {each.read_bytes() for each in ([whole] if whole.is_file() else whole.rglob("*")) if each.is_file()}


def copied(answer: Answer) -> dict[str, set[bytes]]:
    """Return by session the bytes of every file of its copy."""
    return {
        row["key"]: {each.read_bytes() for each in Path(row["path"]).rglob("*") if each.is_file()}
        for row in answer.data["exported"]
    }


@pytest.fixture(params=["first", "second"])
def home(request: pytest.FixtureRequest) -> NanoclawHome:
    """A home of either version."""
    found: NanoclawHome = request.getfixturevalue(request.param)
    return found


def receipts(home: NanoclawHome) -> list[str]:
    """Return the ids of all runs, the first one first."""
    return sorted(each.stem for each in (home.path / "session-closer" / "receipts").iterdir())


def lay(home: NanoclawHome) -> tuple[dict[str, str], set[bytes]]:
    """Leave one of each kind; return the paths, and all that Claude Code has left of one session."""
    assert isinstance(home, V1Home | V2Home)
    paths = home.lay_free()
    return paths, set().union(*(contents(home, paths[kind]) for kind in CLAUDES))


@pytest.mark.parametrize("member", ["type", "uuid"])
def test_half_a_surrogate_pair_in_an_event_does_not_end_the_run(home: NanoclawHome, out: Path, member: str) -> None:
    paths, _ = lay(home)
    home.lay(paths["transcript"], json.dumps({"type": "user", "uuid": "1", member: "\ud800"}) + "\n")
    answer = ran(home, CleanupSessions, "--export", str(out))
    assert answer.code == 0, answer
    [folder] = (row["path"] for row in answer.data["exported"] if row["key"] == OVER)
    found = json.loads((Path(folder) / "manifest.json").read_text())
    assert any(said.endswith("\ud800") for said in (found["lastId"], *found["kinds"]))


def test_a_session_that_only_claude_code_knows_has_a_copy_before_it_goes(home: NanoclawHome, out: Path) -> None:
    paths, said = lay(home)
    answer = ran(home, CleanupSessions, "--export", str(out))
    assert answer.code == 0, answer
    assert not any((home.path / path).exists() for path in paths.values())
    found = copied(answer)
    assert said <= found[OVER]
    assert set(found) == ({OVER, CLOSED, USED} if isinstance(home, V2Home) else {OVER})


def test_what_was_put_away_is_exported_from_its_archive(home: NanoclawHome, out: Path) -> None:
    _, said = lay(home)
    assert ran(home, CleanupSessions).code == 0
    before = home.tree()
    answer = ran(home, ExportSessions, "--from", "last", "--output", str(out))
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    found = copied(answer)
    assert said <= found[OVER]
    assert set(found) == ({OVER, CLOSED, USED} if isinstance(home, V2Home) else {OVER})
    assert home.tree() == before


def test_what_is_back_is_refused_session_by_session(home: NanoclawHome, out: Path) -> None:
    lay(home)
    assert ran(home, CleanupSessions).code == 0
    assert ran(home, RestoreSessions, "last").code == 0
    answer = ran(home, ExportSessions, "--from", receipts(home)[0], "--output", str(out))
    assert (answer.code, answer.data["error"]) == (3, None), answer
    assert {row["status"] for row in answer.data["failed"]} == {"refused"}
    assert {row["key"] for row in answer.data["failed"]} == (
        {OVER, CLOSED, USED} if isinstance(home, V2Home) else {OVER}
    )


def test_a_session_that_no_row_knows_comes_back_by_its_id(home: NanoclawHome) -> None:
    paths, _ = lay(home)
    assert ran(home, CleanupSessions).code == 0
    own = {str(home.path / paths[kind]) for kind in CLAUDES}
    answer = ran(home, RestoreSessions, "last", OVER)
    assert answer.code == 0, answer
    assert {(row["path"], row["status"]) for row in answer.data["results"]} == {(path, "restored") for path in own}
    again = ran(home, RestoreSessions, receipts(home)[0], OVER)
    assert {(row["path"], row["status"]) for row in again.data["results"]} == {
        (path, "already_restored") for path in own
    }


def test_of_several_runs_the_one_that_has_such_a_session_is_asked(home: NanoclawHome) -> None:
    paths, _ = lay(home)
    assert ran(home, CleanupSessions).code == 0
    home.lay_all_of(home.claude, home.projects, "c" * 8 + OVER[8:])
    assert ran(home, CleanupSessions).code == 0
    for words in (receipts(home), ["--since", "1h"]):
        answer = ran(home, RestoreSessions, *words, OVER, "--dry-run")
        assert answer.code == 0, answer
        assert {row["path"] for row in answer.data["results"]} == {str(home.path / paths[kind]) for kind in CLAUDES}


def test_a_session_folder_is_exported_with_its_messages_from_the_archive(second: V2Home, out: Path) -> None:
    second.row(CLOSED)
    folder = second.session(CLOSED)
    second.lay(f"{folder}/inbox/m1/photo.png", "png")
    second.age(folder, 60 * 86_400)
    assert ran(second, CleanupSessions).code == 0
    assert not (second.path / folder).exists()
    answer = ran(second, ExportSessions, "--from", "last", CLOSED, "--output", str(out))
    [row] = answer.data["exported"]
    copy = Path(row["path"])
    assert row["events"] == 2
    assert (copy / "files/inbox/m1/photo.png").read_text() == "png"
    assert '"messages_out"' in (copy / "conversation.jsonl").read_text()
    assert CLOSED in (copy / "rows.jsonl").read_text()


def test_all_sessions_in_the_folder_of_a_group_that_is_gone_have_copies(second: V2Home, out: Path) -> None:
    for name in ("sess-7-lost", "sess-8-lost"):
        second.session(name, group=LOST)
        second.lay(f"data/v2-sessions/{LOST}/{name}/inbox/m1/photo.png", f"png of {name}")
    group = f"data/v2-sessions/{LOST}"
    second.age(group, 60 * 86_400)
    taken = out / "nanoclaw" / "sess-8-lost-sess-8-l"
    taken.mkdir(parents=True)
    out.chmod(0o700)
    answer = ran(second, CleanupSessions, "--export", str(out), "--delete")
    assert [(row["path"], row["status"]) for row in answer.data["results"]] == [(str(second.path / group), "refused")]
    taken.rmdir()
    for each in (out / "nanoclaw").iterdir():
        each.rename(out / each.name)
    answer = ran(second, CleanupSessions, "--export", str(out), "--delete")
    assert answer.code == 0
    assert not (second.path / group).exists()
    found = copied(answer)
    assert {name: f"png of {name}".encode() in data for name, data in found.items()} == {
        "sess-7-lost": True, "sess-8-lost": True
    }  # fmt: skip
    assert not any("no export" in line for line in answer.data["warnings"])


def test_a_session_that_cannot_be_exported_stays_and_the_others_go(second: V2Home, out: Path) -> None:
    paths = second.lay_free()
    taken = out / "nanoclaw" / f"{CLOSED}-{CLOSED[:8]}"
    taken.mkdir(parents=True)
    out.chmod(0o700)
    answer = ran(second, CleanupSessions, "--export", str(out), "--delete")
    assert answer.code == 1
    [row] = [row for row in answer.data["results"] if row["status"] == "refused"]
    assert (row["path"], row["reason"]) == (str(second.path / paths["session_dir"]), "export")
    assert (second.path / paths["session_dir"]).is_dir()
    assert not (second.path / paths["transcript"]).exists()


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "a\u2028b"])
@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_a_file_that_no_copy_can_have_keeps_all_that_its_session_has_left(
    second: V2Home, out: Path, words: tuple[str, ...], name: str
) -> None:
    paths, _ = lay(second)
    odd = second.path / paths["session_dir"] / "inbox" / name
    odd.write_text("the only copy")
    second.age(paths["session_dir"], 60 * 86400)
    answer = ran(second, CleanupSessions, "--delete", "--export", str(out), *words)
    [row] = [row for row in answer.data["results"] if row["status"] == "refused"]
    assert (answer.code, row["reason"], row["path"]) == (1, "export", str(second.path / paths["session_dir"]))
    assert row["error"].endswith("/inbox/a-b: no list of hashes can have its name")
    assert odd.read_text() == "the only copy"


@pytest.mark.parametrize("name", ["at 9.41\u202fAM.png", "\U0001f468\u200d\U0001f469.jpg", "10\u00a0EUR.pdf", "plain"])
def test_what_people_call_their_files_is_in_the_copy(second: V2Home, out: Path, name: str) -> None:
    paths, _ = lay(second)
    (second.path / paths["session_dir"] / "inbox" / name).write_bytes(b"of a person")
    second.age(paths["session_dir"], 60 * 86400)
    answer = ran(second, CleanupSessions, "--delete", "--export", str(out))
    assert (answer.code, second.has(paths["session_dir"])) == (0, False)
    [folder] = (Path(row["path"]) for row in answer.data["exported"] if (Path(row["path"]) / "files").exists())
    assert (folder / "files" / "inbox" / name).read_bytes() == b"of a person"
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=folder, check=True)


def test_what_a_group_has_besides_its_sessions_is_said_to_be_in_no_export(second: V2Home, out: Path) -> None:
    group = "data/v2-sessions/ag-lost"
    second.row("sess-a", group="ag-lost")
    second.session("sess-a", group="ag-lost", sid=USED)
    second.lay(f"{group}/.claude-shared/projects/-workspace-agent/{USED}.jsonl", "{}\n")
    second.age(group, 60 * 86400)

    def said() -> list[str]:
        answer = ran(second, CleanupSessions, "--export", str(out), "--dry-run")
        assert [row["path"] for row in answer.data["results"]] == [str(second.path / group)]
        return [line for line in answer.data["warnings"] if "no export" in line]

    assert said() == []
    second.lay(f"{group}/.claude-shared/CLAUDE.md", "what all of them know")
    second.age(group, 60 * 86400)
    [line] = said()
    assert line.startswith("1 file or folder that goes is in no export, or not whole")
