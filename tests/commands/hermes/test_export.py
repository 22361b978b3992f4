"""export-sessions --runtime hermes: rows and files of a session, byte for byte, a page to read; nothing is changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.hermes import names
from support.commands import run, run_json
from support.hermes import HermesHome
from support.leavings import OPEN, OVER, Leavings
from support.stores import Store
from support.worker import BeforeComparing

SNAPSHOT = f"session_{OVER}.json"
DUMP = f"request_dump_{OVER}_20200101_000000_abcdef.json"
CALLS = [{"id": "call-1", "type": "function", "function": {"name": "write", "arguments": '{"path":"hydration.md"}'}}]
PARTS = [
    {"type": "text", "text": "what is on it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


def say(home: HermesHome, name: str, role: str, content: Any, **more: Any) -> None:
    """Add a message as Hermes 0.19 writes it."""
    known = {column for _, column, *_ in home.database.execute("pragma table_info(messages)")}
    for column in ("tool_calls", "tool_call_id", "tool_name", "reasoning", "active"):
        if column not in known:
            home.database.execute(f"alter table messages add column {column}{' default 1' * (column == 'active')}")
    values = {"session_id": name, "role": role, "content": content, "timestamp": home.now, **more}
    marks = ", ".join("?" * len(values))
    home.database.execute(f"insert into messages ({', '.join(values)}) values ({marks})", tuple(values.values()))


def talk(home: HermesHome) -> None:
    """Let a session say all kinds of things."""
    home.database.execute("update sessions set title = 'Drink *water*', model = 'gpt-5' where id = ?", (OVER,))
    say(home, OVER, "user", "\x00json:" + json.dumps(PARTS))
    say(home, OVER, "assistant", "On it.", reasoning="hmm, quietly", tool_calls=json.dumps(CALLS))
    say(home, OVER, "tool", "20 bytes written", tool_call_id="call-1", tool_name="write")
    say(home, OVER, "user", "never mind this", active=0)
    say(home, OVER, "assistant", "Noted.\n\n# no heading")


def exported(home: Leavings, out: Path, *words: str) -> Path:
    """Export the session that is over; return its folder, its hashes checked by somebody else."""
    answer = home.run(ExportSessions, OVER, "--output", str(out), *words)
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    [row] = answer.data["exported"]
    assert (row["agent"], row["key"]) == ("default", OVER)
    if "--format" not in words:
        subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=row["path"], check=True)
    return Path(row["path"])


def rows(home: HermesHome, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows of a session by a reader of our own, those of its own table first."""
    found = []
    with contextlib.closing(sqlite3.connect(home.path / "state.db")) as connection:
        connection.row_factory = sqlite3.Row
        tables = [each for (each,) in connection.execute("select name from sqlite_master where type = 'table'")]
        found += [("sessions", dict(row)) for row in connection.execute("select * from sessions where id = ?", (name,))]
        for table in sorted(tables):
            if any(column == "session_id" for _, column, *_ in connection.execute(f"pragma table_info({table})")):
                query = f"select * from {table} where session_id = ? order by rowid"
                found += [(table, dict(row)) for row in connection.execute(query, (name,))]
    return found


@pytest.mark.parametrize("version", [11, 22, 99])
def test_all_rows_and_files_of_a_session_are_in_its_folder(tmp_path: Path, out: Path, version: int) -> None:
    home = Leavings(tmp_path / "home", version)
    home.lay_all()
    talk(home)
    before = home.tree()
    folder = exported(home, out)
    assert home.tree() == before
    lines = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert [(line["table"], line["row"]) for line in lines] == rows(home, OVER)
    assert len(lines) == 8
    for name in (SNAPSHOT, DUMP, f"{OVER}.jsonl"):
        assert (folder / "files" / name).read_bytes() == (home.path / "sessions" / name).read_bytes()
    names = {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}
    assert names == {
        "rows.jsonl", "transcript.md", "manifest.json", "SHA256SUMS",
        *(f"files/{name}" for name in (SNAPSHOT, DUMP, f"{OVER}.jsonl")),
    }  # fmt: skip
    assert {each.stat().st_mode & 0o777 for each in folder.rglob("*") if each.is_file()} == {0o600}
    home.close()


def test_the_page_reads_like_that_of_another_runtime(home: Leavings, out: Path) -> None:
    talk(home)
    page = (exported(home, out) / "transcript.md").read_text()
    assert page.startswith(f"# `{OVER}`\n")
    assert "- label: `Drink *water*`\n" in page
    assert "- model: `gpt-5`\n" in page
    assert "> what is on it?\n\n*image image/png, 3 bytes*\n" in page
    assert "<summary>write</summary>\n\n```json\n" in page
    assert "20 bytes written" in page
    assert "> Noted.\n>\n> # no heading\n" in page
    assert "never mind this" not in page
    assert "- events of other branches, which are not on this page: 1\n" in page
    assert "hmm, quietly" not in page


def test_what_it_has_thought_is_on_the_page_where_that_is_asked_for(home: Leavings, out: Path) -> None:
    talk(home)
    assert "> hmm, quietly\n" in (exported(home, out, "--thinking") / "transcript.md").read_text()


def test_the_page_alone(home: Leavings, out: Path) -> None:
    talk(home)
    home.lay(f"sessions/{OVER}.jsonl", "x" * 100_000)
    # Nothing is read of what is not on it.
    path = exported(home, out, "--format", "md", "--max-bytes", "50K")
    assert path.is_file()
    assert "> On it.\n" in path.read_text()
    assert [each for each in out.rglob("*") if each.is_file()] == [path]


def test_the_manifest_says_whose_it_is_and_that_nothing_takes_it_back(home: Leavings, out: Path) -> None:
    home.lay_all(optional=True)
    talk(home)
    folder = exported(home, out)
    said = json.loads((folder / "manifest.json").read_text())
    told = {name: said[name] for name in ("runtime", "agent", "key", "sessionId", "label", "importable", "redacted")}
    assert told == {
        "runtime": "hermes", "agent": "default", "key": OVER, "sessionId": OVER, "label": "Drink *water*",
        "importable": False, "redacted": False,
    }  # fmt: skip
    assert said["events"] == 7
    left = {each["what"] for each in said["leftOut"]}
    assert left == {f"spawn-trees/{OVER}", f"moa-traces/{OVER}.jsonl", f"hook_outputs/{OVER}"}


def test_a_file_that_says_it_is_of_another_session_is_left_out(home: Leavings, out: Path) -> None:
    home.lay(f"sessions/{SNAPSHOT}", json.dumps({"session_id": "another"}))
    folder = exported(home, out)
    assert not (folder / "files").exists()
    [left] = json.loads((folder / "manifest.json").read_text())["leftOut"]
    assert left == {"what": f"sessions/{SNAPSHOT}", "why": "what is in it is of another session"}


def test_files_of_a_session_whose_rows_are_gone_are_exported(home: Leavings, out: Path) -> None:
    home.lay_all()
    home.database.execute("delete from messages where session_id = ?", (OVER,))
    home.database.execute("delete from sessions where id = ?", (OVER,))
    folder = exported(home, out)
    assert (folder / "files" / SNAPSHOT).exists()
    assert not (folder / "rows.jsonl").exists()
    said = json.loads((folder / "manifest.json").read_text())
    assert {"what": "rows.jsonl", "why": "there are none"} in said["leftOut"]


def test_a_session_is_exported_of_each_profile_that_has_it(home: Leavings, out: Path) -> None:
    other = Leavings(home.path / "profiles" / "coder")
    other.session("only-there")
    answer = home.run(ExportSessions, OVER, "only-there", "--output", str(out))
    found = sorted((row["agent"], row["key"]) for row in answer.data["exported"])
    assert (answer.code, found) == (0, [("coder", OVER), ("coder", "only-there"), ("default", OVER)]), answer
    answer = home.run(ExportSessions, OPEN, "--output", str(out), "--profile", "coder")
    assert [row["agent"] for row in answer.data["exported"]] == ["coder"]
    other.close()


def test_an_open_session_may_be_exported_and_one_that_is_not_there_is_said(home: Leavings, out: Path) -> None:
    answer = home.run(ExportSessions, OPEN, "nowhere", "\udcff", "--output", str(out))
    assert [row["key"] for row in answer.data["exported"]] == [OPEN]
    assert answer.code == 1
    assert [(row["input"], row["status"]) for row in answer.data["failed"]] == [
        ("nowhere", "not_found"), ("\udcff", "not_found"),
    ]  # fmt: skip
    assert "list-sessions" in answer.data["failed"][0]["error"]


def test_a_session_that_goes_on_is_exported_again_and_at_last_is_no_copy(
    home: Leavings, out: Path, before_comparing: BeforeComparing
) -> None:
    grown: list[int] = []

    def once(_: str) -> None:
        if not grown:
            say(home, OVER, "user", "one more")
        grown.append(1)

    before_comparing(once)
    assert "one more" in (exported(home, out) / "rows.jsonl").read_text()
    assert len(grown) == 2
    before_comparing(lambda _: say(home, OPEN, "user", "and more"))
    answer = home.run(ExportSessions, OPEN, "--output", str(out))
    assert [row["status"] for row in answer.data["failed"]] == ["came_back"]
    assert [each.name for each in (out / "default").iterdir()] == [f"{OVER}-{OVER[:8]}"]


def test_a_session_that_is_gone_by_then_is_no_copy(
    home: Leavings, out: Path, before_comparing: BeforeComparing
) -> None:
    def gone(_: str) -> None:
        home.database.execute("delete from messages where session_id = ?", (OPEN,))
        home.database.execute("delete from sessions where id = ?", (OPEN,))

    before_comparing(gone)
    answer = home.run(ExportSessions, OPEN, "--output", str(out))
    [row] = answer.data["failed"]
    assert (answer.code, row["status"], row["error"]) == (3, "refused", "it is not in its home any more")
    assert not out.exists()


def test_a_file_that_comes_meanwhile_is_not_left_out(
    home: Leavings, out: Path, before_comparing: BeforeComparing
) -> None:
    before_comparing(lambda _: home.lay(f"sessions/{OVER}.jsonl", "{}\n"))
    assert (exported(home, out) / "files" / f"{OVER}.jsonl").read_text() == "{}\n"


def test_a_link_in_the_place_of_a_file_is_refused(home: Leavings, tmp_path: Path, out: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (home.path / "sessions" / f"{OVER}.jsonl").symlink_to(tmp_path / "elsewhere")
    answer = home.run(ExportSessions, OVER, "--output", str(out))
    assert (answer.code, answer.data["failed"][0]["status"]) == (3, "refused"), answer
    assert list(out.rglob("*.md")) == []


def test_nothing_is_exported_into_a_home(home: Leavings) -> None:
    before = home.tree()
    answer = home.run(ExportSessions, OVER, "--output", str(home.path / "sessions" / "out"))
    assert (answer.code, answer.error) == (3, "output")
    assert home.tree() == before


def test_what_is_there_is_not_replaced_and_what_is_too_large_is_not_written(home: Leavings, out: Path) -> None:
    exported(home, out)
    again = home.run(ExportSessions, OVER, "--output", str(out))
    assert (again.code, again.data["failed"][0]["status"]) == (3, "refused")
    large = home.run(ExportSessions, OPEN, "--output", str(out), "--max-bytes", "100B")
    assert (large.code, large.data["failed"][0]["status"]) == (3, "refused")


def test_without_its_database_a_session_is_refused(home: Leavings, out: Path) -> None:
    home.close()
    for each in home.path.glob("state.db*"):
        each.unlink()
    answer = run_json(ExportSessions, OVER, "--output", str(out), "--runtime", "hermes", state=home.path)
    assert (answer.code, answer.data["failed"][0]["status"]) == (3, "refused"), answer
    assert "state.db" in answer.data["failed"][0]["error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no session was given; next: "),
        ([""], "no session was given; next: "),
        ([OVER], "no folder was given; next: --output DIR"),
        *(
            ([OVER, "--output", "x", *more], f"{more[0]} means nothing for hermes; next: leave it out;")
            for more in (["--media"], ["--agent", "x"], ["--trajectory"])
        ),
        ([OVER, "--output", "x", "--profile", "nobody"], None),
        ([OVER, "--output", "x", "--format", "html"], None),
    ],
)
def test_bad_words_are_one_line(home: Leavings, words: list[str], message: str | None, out: Path) -> None:
    given = [str(out) if word == "x" else word for word in words]
    result = run(ExportSessions, *given, state=home.path)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result
    assert message is None or result.stderr.startswith(f"error: {message}"), result
    assert not out.exists()


def test_what_has_the_name_of_another_session_is_not_in_its_folder(home: Leavings, out: Path) -> None:
    home.lay(f"sessions/{OPEN}.jsonl")
    home.lay(f"sessions/{OVER}0.jsonl")
    home.lay("sessions/sessions.json", "{}")
    assert not (exported(home, out) / "files").exists()


def test_files_of_an_id_that_is_no_name_are_found_by_the_name_that_hermes_makes_of_it(
    home: Leavings, out: Path
) -> None:
    odd = "cron:a/../b\n"
    home.session(odd)
    name = f"session_{names.safe(odd)}.json"
    home.lay(f"sessions/{name}", json.dumps({"session_id": odd}))
    answer = home.run(ExportSessions, odd, "--output", str(out))
    [row] = answer.data["exported"]
    assert Path(row["path"]).parent == out / "default"
    assert (Path(row["path"]) / "files" / name).exists()


def test_a_name_that_no_list_of_hashes_can_have_is_left_out(home: Leavings, out: Path) -> None:
    odd = "a\nb"
    home.session(odd)
    home.lay(f"sessions/{odd}.jsonl")
    answer = home.run(ExportSessions, odd, "--output", str(out))
    folder = Path(answer.data["exported"][0]["path"])
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    [left] = json.loads((folder / "manifest.json").read_text())["leftOut"]
    assert left == {"what": "sessions/a-b.jsonl", "why": "no list of hashes can have its name"}


def test_a_folder_of_sessions_that_is_a_link_is_not_followed(home: Leavings, tmp_path: Path, out: Path) -> None:
    home.lay(f"sessions/{OVER}.jsonl")
    (home.path / "sessions").rename(tmp_path / "elsewhere")
    (home.path / "sessions").symlink_to(tmp_path / "elsewhere")
    folder = exported(home, out)
    assert not (folder / "files").exists()
    assert {"what": "sessions/", "why": "it is a link"} in json.loads((folder / "manifest.json").read_text())["leftOut"]


def test_a_page_says_when(home: Leavings, out: Path) -> None:
    home.database.execute("update messages set timestamp = 1600000000.5")
    page = (exported(home, out) / "transcript.md").read_text()
    assert "- from: 2020-09-13 12:26:40Z to 2020-09-13 12:26:40Z\n" in page
    assert "## 1 · user · 2020-09-13 12:26:40Z\n" in page


def test_what_is_in_no_form_that_is_known_is_shown_as_it_is(home: Leavings, out: Path) -> None:
    home.database.execute("update messages set timestamp = 9e999 where session_id = ?", (OVER,))
    say(home, OVER, "assistant", "\x00json:{broken", tool_calls="no list")
    say(home, OVER, "assistant", b"\xff\x00", tool_calls='[7, {"function": 7}]')
    say(home, OVER, "user", '\x00json:{"an": "object"}')
    page = (exported(home, out) / "transcript.md").read_text()
    for shown in ("{broken", "no list", "/wA=", '"function": 7', '"an": "object"', "no time"):
        assert shown in page


def test_a_session_that_is_named_twice_is_exported_once(home: Leavings, out: Path) -> None:
    answer = home.run(ExportSessions, OVER, OVER, "--output", str(out))
    assert (answer.code, len(answer.data["exported"])) == (0, 1), answer
    [warning] = answer.data["warnings"]
    assert warning.startswith("secrets that were said are in what is exported; --redact")


def test_a_folder_that_others_may_write_to_is_none(home: Leavings, out: Path) -> None:
    out.mkdir()
    out.chmod(0o777)
    answer = home.run(ExportSessions, OVER, "--output", str(out))
    assert (answer.code, answer.error, list(out.iterdir())) == (3, "output", [])


def test_a_folder_of_hermes_is_not_taken_back_into_another_runtime(home: Leavings, out: Path, store: Store) -> None:
    folder = exported(home, out)
    result = run(RestoreSessions, str(folder), state=store.state)
    said = f"error: {folder} is of hermes, which takes no session back; next: read it where it is\n"
    assert (result.code, result.stderr) == (3, said)


def test_without_secrets_those_of_the_settings_are_gone_from_rows_page_names_and_manifest(
    home: Leavings, out: Path
) -> None:
    secret = "watering-can-9"
    (home.path / ".env").write_text(f"export OPENROUTER_API_KEY={secret}  # mine\nHERMES_MODEL=gpt-5\n")
    (home.path / "config.yaml").write_text('model: gpt-5\nproviders:\n  - name: one\n    api_key: "rain-barrel-10"\n')
    named = f"chat-{secret}"
    home.session(named)
    home.database.execute("update sessions set title = ? where id = ?", (f"About {secret}", named))
    calls = [{"id": "1", "function": {"name": "curl", "arguments": json.dumps({"header": "X-Key: rain-barrel-10"})}}]
    say(home, named, "assistant", f"I used {secret} and sk-proj-{'a' * 40}.", tool_calls=json.dumps(calls))
    home.lay(f"sessions/{named}.jsonl")
    answer = home.run(ExportSessions, named, "--output", str(out), "--redact")
    [row] = answer.data["exported"]
    folder = Path(row["path"])
    names = {"rows.redacted.jsonl", "transcript.redacted.md", "manifest.json", "SHA256SUMS"}
    assert {path.name for path in folder.rglob("*")} == names
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    told = "".join([str(folder.relative_to(out)), *((folder / name).read_text() for name in names)])
    assert [each for each in (secret, secret[:8], "rain-barrel-10", "sk-proj-") if each in told] == []
    assert "> I used [redacted] and [redacted].\n" in told
    assert "- label: `About [redacted]`\n" in told
    assert answer.data["warnings"] == []


def test_where_settings_cannot_be_read_nothing_is_exported_without_secrets(home: Leavings, out: Path) -> None:
    (home.path / ".env").mkdir()
    answer = home.run(ExportSessions, OVER, "--output", str(out), "--redact")
    [row] = answer.data["failed"]
    assert (answer.code, row["status"]) == (3, "refused")
    assert ".env cannot be read, and may hold secrets" in row["error"]
    assert home.run(ExportSessions, OVER, "--output", str(out)).code == 0
