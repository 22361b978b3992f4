"""export-sessions --runtime hermes --from RECEIPT: what a cleanup has put away of a session, from its archive."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support import fake_hermes
from support.hermes import DAY
from support.leavings import FREE, OVER, Leavings

OF_SESSION = [FREE[kind] for kind in ("session_json", "request_dump", "transcript_jsonl")]
SECOND = "20200103_000000_aaaaaa"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "out"


def put_away(home: Leavings, *words: str) -> str:
    """Clean up; return the receipt's id."""
    answer = home.run(CleanupSessions, *words)
    assert answer.code == 0, answer
    return Path(answer.data["receipt"]).stem


def names_in(folder: Path) -> set[str]:
    return {each.relative_to(folder).as_posix() for each in folder.rglob("*") if each.is_file()}


def test_what_was_put_away_of_a_session_is_exported_with_its_rows(home: Leavings, out: Path) -> None:
    home.lay_all()
    before = {path: (home.path / path).read_bytes() for path in OF_SESSION}
    run_id = put_away(home)
    tree, archived = home.tree(), home.archived()
    for which in ("last", run_id, run_id[:12]):
        answer = home.run(ExportSessions, "--from", which, "--output", str(out / which))
        assert (answer.code, answer.data["failed"]) == (0, []), answer
        [row] = answer.data["exported"]
        folder = Path(row["path"])
        assert (row["agent"], row["key"], row["events"]) == ("default", OVER, 2)
        for path, data in before.items():
            assert (folder / "files" / Path(path).name).read_bytes() == data
        assert len((folder / "rows.jsonl").read_text().splitlines()) == 3
        assert json.loads((folder / "manifest.json").read_text())["importable"] is False
    assert (home.tree(), home.archived()) == (tree, archived)
    assert [line for line in answer.data["warnings"] if line.startswith("left out")] == [
        "left out: 3 files and folders without a session"
    ]


def test_sessions_that_are_named_are_exported_and_a_name_that_is_none_is_said(home: Leavings, out: Path) -> None:
    home.lay_all()
    home.session(SECOND)
    home.lay(f"sessions/session_{SECOND}.json", json.dumps({"session_id": SECOND}), age=60 * DAY)
    put_away(home)
    answer = home.run(ExportSessions, "--from", "last", SECOND, "nobody", "--output", str(out))
    assert answer.code == 1
    assert [row["key"] for row in answer.data["exported"]] == [SECOND]
    assert [(row["key"], row["status"]) for row in answer.data["failed"]] == [("nobody", "not_found")]


def test_a_file_of_a_session_that_no_row_has_is_found_by_its_name(home: Leavings, out: Path) -> None:
    gone = "20190101_000000_bbbbbb"
    home.lay(f"sessions/session_{gone}.json", json.dumps({"session_id": gone}), age=60 * DAY)
    put_away(home)
    answer = home.run(ExportSessions, "--from", "last", "--output", str(out))
    [row] = answer.data["exported"]
    assert row["key"] == gone
    assert f"files/session_{gone}.json" in names_in(Path(row["path"]))


@pytest.mark.parametrize("how", ["restored", "freed", "changed"])
def test_what_is_not_in_the_archive_as_it_was_is_refused(home: Leavings, out: Path, how: str) -> None:
    home.lay_all()
    run_id = put_away(home)
    archive = home.path / "session-closer" / "archives" / run_id
    if how == "restored":
        assert home.run(RestoreSessions, run_id).code == 0
    elif how == "freed":
        shutil.rmtree(archive)
    else:
        (archive / FREE["session_json"]).write_text("something else")
    answer = home.run(ExportSessions, "--from", run_id, "--output", str(out))
    [row] = answer.data["failed"]
    assert (answer.code, row["status"], row["key"]) == (3, "refused", OVER)
    assert f"archive of run {run_id}" in row["error"]
    assert not (out / "default").exists()


def test_rows_that_went_are_exported_from_what_was_kept_of_them(
    home: Leavings, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", fake_hermes.install(tmp_path / "bin"))
    home.lay_all()
    kept = {path: (home.path / path).read_bytes() for path in OF_SESSION}
    put_away(home, "--rows", "cli=30d")
    assert not home.database.execute("select 1 from sessions where id = ?", (OVER,)).fetchall()
    answer = home.run(ExportSessions, "--from", "last", OVER, "--output", str(out))
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    [row] = answer.data["exported"]
    assert row["events"] == 2
    folder = Path(row["path"])
    assert len((folder / "rows.jsonl").read_text().splitlines()) == 3
    assert {f"files/{Path(path).name}" for path in kept} <= names_in(folder)


def test_files_that_hermes_removed_with_rows_are_exported_from_what_was_kept_of_them(
    home: Leavings, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", fake_hermes.install(tmp_path / "bin"))
    path = FREE["request_dump"]
    home.lay_kind("request_dump", path, age=DAY)
    data = (home.path / path).read_bytes()
    run_id = put_away(home, "--rows", "cli=30d")
    assert not home.has(path)
    answer = home.run(ExportSessions, "--from", run_id, "--output", str(out))
    assert (answer.code, answer.data["failed"]) == (0, []), answer
    [row] = answer.data["exported"]
    assert (Path(row["path"]) / "files" / Path(path).name).read_bytes() == data


def test_a_run_that_brought_things_back_has_put_nothing_away(home: Leavings, out: Path) -> None:
    home.lay_all()
    put_away(home)
    back = home.run(RestoreSessions, "last")
    answer = home.run(ExportSessions, "--from", Path(back.data["receipt"]).stem, "--output", str(out))
    assert (answer.code, answer.data["error"]["name"]) == (3, "no_receipt")
    assert not out.exists()


def test_without_secrets_and_as_a_page_alone(home: Leavings, out: Path) -> None:
    home.lay_all()
    put_away(home)
    page = home.run(ExportSessions, "--from", "last", "--output", str(out / "page"), "--format", "md")
    assert (page.code, Path(page.data["exported"][0]["path"]).suffix) == (0, ".md")
    clean = home.run(ExportSessions, "--from", "last", "--output", str(out / "clean"), "--redact")
    assert names_in(Path(clean.data["exported"][0]["path"])) == {
        "rows.redacted.jsonl", "transcript.redacted.md", "manifest.json", "SHA256SUMS"
    }  # fmt: skip


def test_a_session_that_no_row_knows_comes_back_by_the_id_that_its_file_has(home: Leavings) -> None:
    paths = [home.lay(f"sessions/session_{name}.json", "{}", age=60 * DAY) for name in ("lost", "other")]
    put_away(home)
    answer = home.run(RestoreSessions, "last", "lost")
    assert [(row["path"], row["status"]) for row in answer.data["results"]] == [(str(paths[0]), "restored")]
    assert [path.exists() for path in paths] == [True, False]


def test_an_undo_that_brings_nothing_back_has_no_receipt(home: Leavings) -> None:
    path = home.lay(FREE["session_json"], "{}", age=60 * DAY)
    run_id = put_away(home)
    path.write_text("another")
    before = home.tree(), home.archived()
    for _ in range(2):
        answer = home.run(RestoreSessions, "last")
        assert [row["status"] for row in answer.data["results"]] == ["conflict"]
        assert (answer.code, answer.data["receipt"], answer.data["undo"]) == (1, None, None)
    ours = home.path / "session-closer"
    assert [each.name for each in (ours / "receipts").iterdir()] == [f"{run_id}.json"]
    assert list((ours / "open").iterdir()) == []
    assert (home.tree(), home.archived()) == before
