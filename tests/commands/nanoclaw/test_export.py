"""export-sessions --runtime nanoclaw: rows, messages, transcript and files of a session; containers lead nowhere."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import Refused
from session_closer.nanoclaw import parts
from session_closer.system.clock import REAL
from support.commands import Answer, run_json
from support.nanoclaw import ACTIVE, CLOSED, DAY, GROUP, OTHER, OVER, USED, NanoclawHome, V1Home, V2Home
from support.worker import BeforeComparing

FIRST, LAST = "2020-01-01T00:00:00.000Z", "2020-01-01 00:00:02"
SAID = [
    {"type": "user", "uuid": "u1", "parentUuid": None, "timestamp": FIRST,
     "message": {"role": "user", "content": "Water, *please*"}},
    {"type": "assistant", "uuid": "u2", "parentUuid": "u1", "timestamp": FIRST,
     "message": {"id": "msg-1", "role": "assistant", "model": "claude-opus", "usage": {"input_tokens": 7},
                 "content": [{"type": "thinking", "thinking": "hmm, quietly"}]}},
    {"type": "assistant", "uuid": "u3", "parentUuid": "u2", "timestamp": FIRST,
     "message": {"id": "msg-1", "role": "assistant", "model": "claude-opus", "usage": {"input_tokens": 7},
                 "content": [{"type": "tool_use", "id": "call-1", "name": "Bash", "input": {"command": "pour"}}]}},
    {"type": "user", "uuid": "u4", "parentUuid": "u3", "timestamp": FIRST,
     "message": {"role": "user", "content": [
         {"type": "tool_result", "tool_use_id": "call-1", "content": "20 ml poured"}]}},
]  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


def transcript(home: NanoclawHome, sid: str = USED, events: Any = SAID) -> bytes:
    """Let Claude Code write a transcript; return it."""
    path = home.lay(
        f"{home.claude}/projects/{home.projects}/{sid}.jsonl", "".join(json.dumps(e) + "\n" for e in events)
    )
    return path.read_bytes()


def talk(home: V2Home) -> str:
    """Let the active session say something; return the path of its folder."""
    folder = home.session(ACTIVE, sid=USED)
    home.write(folder, "outbound", "alter table messages_out add column timestamp text")
    home.tell(folder, "outbound", "messages_out", id="o2", kind="chat", content='{"text": "Noted."}', timestamp=LAST)
    asked = {"text": "What is on it?", "sender": "kelly"}
    home.tell(folder, "inbound", "messages_in", id="m2", kind="chat", content=json.dumps(asked), timestamp=FIRST)
    home.lay(f"{folder}/inbox/m2/photo.png", "png")
    home.lay(f"{folder}/outbox/o2/report.txt", "done")
    home.add("pending_questions", question_id="q1", session_id=ACTIVE)
    return folder


def asked(home: NanoclawHome, out: Path, *words: str) -> Answer:
    """Export sessions."""
    return run_json(ExportSessions, *words, "--output", str(out), state=home.path)


def exported(home: NanoclawHome, out: Path, name: str, *words: str) -> Path:
    """Export a session; return its folder, its hashes checked by somebody else."""
    answer = asked(home, out, name, *words)
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    [row] = answer.data["exported"]
    assert (row["agent"], row["key"]) == ("nanoclaw", name)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=row["path"], check=True)
    return Path(row["path"])


def refused(home: NanoclawHome, out: Path, name: str) -> str:
    """Ask for an export that is refused; return why it was."""
    answer = asked(home, out, name)
    assert (answer.code, [row["status"] for row in answer.data["failed"]]) == (3, ["refused"]), answer
    assert [path for path in out.rglob("*") if path.is_file()] == []
    return str(answer.data["failed"][0]["error"])


def files(folder: Path) -> set[str]:
    """Return the paths of all files in a folder but for what each bundle has."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found >= {"manifest.json", "SHA256SUMS", "transcript.md"}
    return found - {"manifest.json", "SHA256SUMS", "transcript.md"}


def lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows in a file of them."""
    return [(each["table"], each["row"]) for each in map(json.loads, path.read_text().splitlines())]


def left_out(folder: Path) -> dict[str, str]:
    """Return what the manifest says is not there, and why."""
    return {each["what"]: each["why"] for each in json.loads((folder / "manifest.json").read_text())["leftOut"]}


def test_a_session_is_exported_with_its_rows_messages_transcript_and_files(second: V2Home, out: Path) -> None:
    laid = second.lay_all_of(second.claude, second.projects, USED)
    folder = talk(second)
    said = transcript(second)
    rotated = f"{second.claude}/projects/{second.projects}/{USED}.jsonl.rotated-1700000000000"
    second.lay(rotated)
    before = second.tree()
    made = exported(second, out, ACTIVE)
    assert second.tree() == before
    assert (made / "transcript.jsonl").read_bytes() == said
    beside = {
        path.removeprefix(f"{second.claude}/")
        for kind, path in laid.items()
        if kind not in ("transcript", "session_dir", "tool_results")
    }
    beside |= {rotated.removeprefix(f"{second.claude}/"), f"projects/{second.projects}/{USED}/tool-results/one.txt"}
    names = {"inbox/m2/photo.png", "outbox/o2/report.txt"}
    assert files(made) == {
        "rows.jsonl", "conversation.jsonl", "transcript.jsonl", *(f"files/{name}" for name in names),
        *(f"beside/{GROUP}/{name}" for name in beside),
    }  # fmt: skip
    for name in names:
        assert (made / "files" / name).read_bytes() == (second.path / folder / name).read_bytes()
    assert lines(made / "rows.jsonl") == [
        ("sessions", second.values("sessions", id=ACTIVE)),
        ("pending_questions", {"question_id": "q1", "session_id": ACTIVE}),
    ]
    told = lines(made / "conversation.jsonl")
    assert [(table, row["id"]) for table, row in told[:4]] == [
        ("messages_in", "m1"), ("messages_out", "o1"), ("messages_in", "m2"), ("messages_out", "o2"),
    ]  # fmt: skip
    assert [table for table, _ in told[4:]] == ["delivered", "session_state"]
    assert left_out(made) == {
        f"{folder}/{name}": "its rows are in conversation.jsonl" for name in ("inbound.db", "outbound.db")
    }
    assert {path.stat().st_mode & 0o777 for path in made.rglob("*") if path.is_file()} == {0o600}


def test_the_page_has_what_the_transcript_has(second: V2Home, out: Path) -> None:
    talk(second)
    transcript(second)
    page = (exported(second, out, ACTIVE) / "transcript.md").read_text()
    assert page.startswith(f"# `{ACTIVE}`\n")
    assert "- model: `claude-opus`\n" in page
    assert "- messages: 4 (2 assistant, 1 user, 1 toolResult)\n- tokens: 7 input\n" in page
    assert "> Water, *please*\n" in page
    assert "<summary>Bash</summary>" in page
    assert "20 ml poured" in page
    assert "hmm, quietly" not in page


def test_without_a_transcript_the_page_has_the_messages(second: V2Home, out: Path) -> None:
    talk(second)
    made = exported(second, out, ACTIVE)
    page = (made / "transcript.md").read_text()
    assert page.index("> What is on it?\n") < page.index("> Noted.\n")
    assert '"sender": "kelly"' in page
    assert left_out(made)["transcript.jsonl"] == "there is none"


def test_of_two_transcripts_that_it_goes_on_with_the_page_is_of_the_last_one(second: V2Home, out: Path) -> None:
    folder = talk(second)
    second.tell(folder, "outbound", "session_state", key="sdk_session_id", value=OVER)
    said = transcript(second)
    other = second.lay(f"{second.claude}/projects/{second.projects}/{OVER}.jsonl", "{}\n", age=61 * DAY)
    made = exported(second, out, ACTIVE)
    assert (made / "transcript.jsonl").read_bytes() == said
    assert (made / "beside" / GROUP / "projects" / second.projects / other.name).read_text() == "{}\n"


def test_the_manifest_says_that_nothing_takes_it_back(second: V2Home, out: Path) -> None:
    talk(second)
    made = exported(second, out, ACTIVE)
    said = json.loads((made / "manifest.json").read_text())
    assert {name: said[name] for name in ("runtime", "agent", "key", "importable")} == {
        "runtime": "nanoclaw", "agent": "nanoclaw", "key": ACTIVE, "importable": False,
    }  # fmt: skip
    assert run_json(RestoreSessions, str(made), state=second.path).code == 3


@pytest.mark.parametrize("sid", [USED, OVER])
def test_of_the_first_version_a_transcript_goes_with_its_folder_and_what_names_it(
    first: V1Home, out: Path, sid: str
) -> None:
    for each in (USED, OVER):
        first.lay_all_of(first.claude, first.projects, each)
    said = transcript(first, sid)
    before = first.tree()
    made = exported(first, out, sid)
    assert first.tree() == before
    assert (made / "transcript.jsonl").read_bytes() == said
    beside = {
        path.relative_to(made / "beside" / "main").as_posix() for path in (made / "beside").rglob("*") if path.is_file()
    }
    assert len(beside) == 4
    assert all(sid in path for path in beside)
    assert (made / "rows.jsonl").exists() == (sid == USED)
    if sid == USED:
        assert lines(made / "rows.jsonl") == [("sessions", {"group_folder": "main", "session_id": USED})]


def test_what_is_of_another_session_or_group_is_not_in_its_folder(second: V2Home, out: Path) -> None:
    talk(second)
    transcript(second)
    second.lay_all_of(second.claude, second.projects, OVER)
    second.lay_all_of(f"data/v2-sessions/{OTHER}/.claude-shared", second.projects, USED)
    second.lay(f"{second.claude}/projects/{second.projects}/{USED}0.jsonl")
    folder = second.session(ACTIVE, group="ag-first")
    made = exported(second, out, ACTIVE)
    assert [path for path in files(made) if path.startswith("beside/")] == []
    assert left_out(made)[folder] == "it is of another group"


def test_a_session_without_a_row_and_one_that_only_claude_code_knows(second: V2Home, out: Path) -> None:
    second.session("sess-9-lost")
    transcript(second, OVER)
    second.lay(f"{second.claude}/inbound.db")
    made = exported(second, out, "sess-9-lost")
    assert left_out(made)["rows.jsonl"] == "there are none"
    assert (exported(second, out, OVER) / "transcript.jsonl").exists()
    answer = asked(second, out, "nowhere", OVER[:8], ".claude-shared", "../..", "\udcff", GROUP)
    assert (answer.code, {row["status"] for row in answer.data["failed"]}) == (1, {"not_found"}), answer


def test_links_and_odd_names_that_a_container_has_planted_are_left_out(
    second: V2Home, tmp_path: Path, out: Path
) -> None:
    folder = talk(second)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text("of somebody else")
    (second.path / folder / "outbox" / "link").symlink_to(tmp_path / "elsewhere" / "secret")
    (second.path / folder / "outbox" / "folder").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(second.path / folder / "outbox" / "pipe")
    (second.path / folder / "outbox" / "a\nb").write_text("odd")
    made = exported(second, out, ACTIVE)
    said = left_out(made)
    assert {path.rpartition("/")[2]: why for path, why in said.items() if "outbox" in path} == {
        "link": "it is a link", "folder": "it is a link", "pipe": "it is no file",
        "a-b": "no list of hashes can have its name",
    }  # fmt: skip
    assert not any("of somebody else" in path.read_text() for path in made.rglob("*") if path.is_file())


def test_a_folder_deeper_than_any_path_does_not_stop_it(second: V2Home, out: Path) -> None:
    folder = talk(second)
    second.dig(f"{folder}/outbox")
    assert "it lies too deep" in left_out(exported(second, out, ACTIVE)).values()


@pytest.mark.parametrize("part", ["", "/outbox/o2", "/outbox/o2/report.txt"])
def test_a_link_that_is_planted_while_it_is_exported_is_not_followed(
    second: V2Home, tmp_path: Path, out: Path, before_comparing: BeforeComparing, part: str
) -> None:
    folder = talk(second)
    copy = tmp_path / "elsewhere"
    place = second.path / f"{folder}{part}"

    def plant(_: str) -> None:
        if not place.is_symlink():
            place.rename(copy)
            place.symlink_to(copy)

    before_comparing(plant)
    answer = asked(second, out, ACTIVE)
    for row in answer.data["exported"]:
        assert not any(path.name == "report.txt" for path in Path(row["path"]).rglob("*"))
    assert place.is_symlink()


def test_a_link_that_is_planted_behind_a_look_is_not_followed(second: V2Home, tmp_path: Path) -> None:
    folder = talk(second)
    found = parts.parts(str(second.path), ACTIVE, REAL)
    assert found is not None
    [stream] = [each for each in found.streams if each.name.endswith("report.txt")]
    (second.path / folder / "outbox").rename(tmp_path / "elsewhere")
    (second.path / folder / "outbox").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match=r"report\.txt cannot be read"):
        list(stream.chunks())


def test_a_link_in_the_place_of_claude_codes_folder_is_not_followed(second: V2Home, tmp_path: Path, out: Path) -> None:
    talk(second)
    transcript(second)
    (second.path / second.claude / "projects").rename(tmp_path / "elsewhere")
    (second.path / second.claude / "projects").symlink_to(tmp_path / "elsewhere")
    assert "transcript.jsonl" not in files(exported(second, out, ACTIVE))


def test_a_session_whose_database_is_being_written_to_is_refused(second: V2Home, out: Path) -> None:
    folder = talk(second)
    second.lay(f"{folder}/outbound.db-journal")
    assert "outbound.db cannot be read: it has a journal" in refused(second, out, ACTIVE)
    (second.path / folder / "outbound.db-journal").unlink()
    second.lay(f"{folder}/inbound.db", "no database")
    assert "cannot be read" in refused(second, out, ACTIVE)


def test_text_that_is_none_is_bytes(second: V2Home, out: Path) -> None:
    folder = talk(second)
    second.write(folder, "outbound", "insert into session_state values ('odd', cast(x'ff' as text), null)")
    told = lines(exported(second, out, ACTIVE) / "conversation.jsonl")
    assert ("session_state", {"key": "odd", "value": {"base64": "/w=="}, "updated_at": None}) in told


def test_without_the_central_database_nothing_is_exported(second: V2Home, out: Path) -> None:
    talk(second)
    second.close()
    for path in (second.path / "data").glob("v2.db*"):
        path.write_text("no database")
    assert "v2.db cannot be read" in refused(second, out, ACTIVE)


def test_a_session_that_goes_on_is_exported_again(second: V2Home, out: Path, before_comparing: BeforeComparing) -> None:
    folder = talk(second)
    grown: list[str] = []

    def once(key: str) -> None:
        if not grown:
            second.tell(folder, "inbound", "messages_in", id="m3", kind="chat", content="one more", timestamp=LAST)
        grown.append(key)

    before_comparing(once)
    assert "one more" in (exported(second, out, ACTIVE) / "conversation.jsonl").read_text()
    assert len(grown) == 2


def test_without_secrets_those_of_the_settings_are_gone_too(second: V2Home, out: Path) -> None:
    talk(second)
    (second.path / ".env").write_text("# keys\nASSISTANT_NAME=Andy\nTELEGRAM_BOT_TOKEN='watering-can-9' # mine\n")
    transcript(
        second, events=[*SAID, {"type": "user", "message": {"role": "user", "content": "it is watering-can-9, Andy"}}]
    )
    made = exported(second, out, ACTIVE, "--redact")
    names = {"transcript.redacted.jsonl", "transcript.redacted.md", "manifest.json", "SHA256SUMS"}
    assert {path.name for path in made.rglob("*")} == names
    texts = [(made / name).read_text() for name in names]
    assert not any("watering-can-9" in text for text in texts)
    assert all(
        "it is [redacted], Andy" in (made / f"transcript.redacted.{form}").read_text() for form in ("jsonl", "md")
    )


def test_nothing_is_exported_into_a_home(first: V1Home) -> None:
    transcript(first)
    answer = asked(first, first.path / "data" / "out", USED)
    assert (answer.code, answer.error) == (3, "output")
    with contextlib.closing(sqlite3.connect(first.path / "store" / "messages.db")) as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_session_of_no_folder_is_exported_by_its_row(second: V2Home, out: Path) -> None:
    second.row(CLOSED)
    assert files(exported(second, out, CLOSED)) == {"rows.jsonl"}
