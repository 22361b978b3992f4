"""What is not exported, and why: nothing is replaced, nothing half done has a name, what grows is not a copy."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.artifacts.bundle import Bundle
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.system import trust
from session_closer.system.disk import Disk
from support.commands import Answer, run, run_json
from support.said import KEY, InDatabase, InFiles, Said
from support.stores import Store
from support.trees import tree, write
from support.worker import BeforeComparing


def export(said: Said, out: Path, *words: str) -> Answer:
    """Export the session."""
    return run_json(ExportSessions, KEY, "--output", str(out), *words, state=said.store.state)


def refused(answer: Answer) -> str:
    """Return why the only session was refused."""
    assert (answer.code, answer.data["exported"], answer.data["error"]) == (3, [], None), answer
    [row] = answer.data["failed"]
    assert (row["key"], row["status"]) == (KEY, "refused")
    return str(row["error"])


def names(out: Path) -> list[str]:
    """Return all that is below a folder, whatever it is called."""
    return sorted(str(path.relative_to(out)) for path in out.rglob("*"))


@pytest.mark.parametrize("form", ["bundle", "md"])
def test_what_is_there_is_never_replaced(said: Said, out: Path, form: str) -> None:
    assert export(said, out, "--format", form).code == 0
    before = tree(out)
    assert refused(export(said, out, "--format", form)).endswith(
        " is there already: move it away, or name another folder"
    )
    assert tree(out) == before


@pytest.mark.parametrize("form", ["bundle", "md"])
def test_a_session_that_grew_is_exported_again(
    said: Said, out: Path, form: str, before_comparing: BeforeComparing
) -> None:
    grown: list[int] = []

    def once(_: str) -> None:
        if not grown:
            said.grow()
        grown.append(1)

    before_comparing(once)
    answer = export(said, out, "--format", form)
    assert (answer.code, len(grown)) == (0, 2), answer
    [row] = answer.data["exported"]
    assert row["events"] == said.transcript.count(b"\n") + 1
    assert list((out / "project-lead").iterdir()) == [Path(row["path"])]


@pytest.mark.parametrize("words", [(), ("--format", "md"), ("--redact",)])
def test_a_session_that_grows_each_time_is_no_copy(
    said: Said, out: Path, words: tuple[str, ...], before_comparing: BeforeComparing
) -> None:
    before_comparing(lambda _: said.grow())
    answer = export(said, out, *words)
    assert (answer.code, answer.data["exported"]) == (1, [])
    [row] = answer.data["failed"]
    assert (row["status"], row["key"]) == ("came_back", KEY)
    assert not out.exists()


@pytest.mark.parametrize(
    "damaged", [lambda text: text.replace(b"folder", b"fodler"), lambda text: text + b"x", lambda text: text[:-1]]
)
def test_a_copy_that_is_not_what_was_written_is_none(
    said: Said, out: Path, before_comparing: BeforeComparing, damaged: Callable[[bytes], bytes]
) -> None:
    def damage(_: str) -> None:
        [copy] = out.rglob("transcript.jsonl")
        write(copy, damaged(copy.read_bytes()))

    before_comparing(damage)
    assert export(said, out).data["failed"][0]["status"] == "came_back"
    assert not out.exists()


def test_a_file_that_has_come_is_not_left_out(
    tmp_path: Path, closed_port: int, out: Path, before_comparing: BeforeComparing
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    late = said.store.folder() / f"{said.own}-topic-7.jsonl"
    before_comparing(lambda _: write(late, b'{"type":"session"}\n'))
    [row] = export(said, out).data["exported"]
    assert Path(row["path"], "windows", late.name).read_bytes() == late.read_bytes()


def test_a_session_that_is_gone_by_then_is_no_copy(
    tmp_path: Path, closed_port: int, out: Path, before_comparing: BeforeComparing
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    before_comparing(lambda _: said.store.write({}))
    assert "not in its store any more" in refused(export(said, out))
    assert not out.exists()


def test_another_session_of_the_same_name_is_not_taken_for_it(
    tmp_path: Path, closed_port: int, out: Path, before_comparing: BeforeComparing
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    another = said.store.session("another one")
    before_comparing(lambda _: said.store.add((KEY, another)))
    assert "not in its store any more" in refused(export(said, out))
    assert not out.exists()


@pytest.mark.parametrize(
    "where", ["agents/project-lead/sessions", "agents/researcher/sessions/x", "agents", "agents/new", "session-closer"]
)
def test_nothing_is_exported_into_what_openclaw_keeps(said: Said, where: str) -> None:
    (said.store.state / "agents/researcher/sessions").mkdir(parents=True, exist_ok=True)
    before = tree(said.store.state)
    answer = export(said, said.store.state / where)
    assert (answer.code, answer.error) == (3, "output"), answer
    assert tree(said.store.state) == before


def test_ones_own_link_to_another_disk_is_followed(said: Said, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    [row] = export(said, tmp_path / "link" / "out").data["exported"]
    assert Path(row["path"]).is_relative_to(tmp_path / "disk" / "out")


def test_a_link_into_the_sessions_does_not_lead_past_that(said: Said, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(said.store.folder())
    assert export(said, tmp_path / "link" / "out").error == "output"


def test_a_link_of_somebody_else_is_not_followed(said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "theirs").symlink_to(tmp_path / "disk")
    monkeypatch.setattr(trust, "is_trusted", lambda uid: False)
    answer = export(said, tmp_path / "theirs" / "out")
    assert answer.error == "output"
    assert "is a link of somebody else" in answer.data["error"]["message"]
    assert list((tmp_path / "disk").iterdir()) == []


def test_a_folder_that_others_may_write_to_is_none(said: Said, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert export(said, tmp_path / "open").error == "output"
    assert export(said, tmp_path / "open" / "out").error == "output"
    (tmp_path / "open").chmod(0o1777)
    assert export(said, tmp_path / "open").error == "output"
    assert export(said, tmp_path / "open" / "out").code == 0


def test_a_file_in_the_place_of_the_folder_is_said(said: Said, tmp_path: Path) -> None:
    write(tmp_path / "file", "x")
    answer = export(said, tmp_path / "file" / "out")
    assert (answer.error, answer.code) == ("output", 3)


def test_a_disk_without_room_gets_nothing(said: Said, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result([*real(path)[:3], 0, 0, *real(path)[5:]]))
    assert " free" in refused(export(said, out))
    assert not out.exists()


def test_without_secrets_room_is_wanted_for_the_transcript_alone(
    tmp_path: Path, closed_port: int, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    write(said.store.folder() / f"{said.own}.trajectory.jsonl", b"{}\n" * (1 << 20))
    real = os.statvfs

    def full(path: str) -> os.statvfs_result:
        blocks = (4 << 20) // real(path).f_frsize
        return os.statvfs_result([*real(path)[:3], blocks, blocks, *real(path)[5:]])

    monkeypatch.setattr(os, "statvfs", full)
    assert " free" in refused(export(said, out))
    assert export(said, out, "--redact").code == 0


def test_no_bundle_is_larger_than_it_may_be(said: Said, out: Path) -> None:
    assert "--max-bytes 4.0K" in refused(export(said, out, "--max-bytes", "4K"))
    assert not out.exists()
    out.mkdir()
    assert "--max-bytes 4.0K" in refused(export(said, out, "--max-bytes", "4K"))
    assert names(out) == []
    [row] = export(said, out, "--max-bytes", "10M").data["exported"]
    largest = max(path.stat().st_size for path in Path(row["path"]).iterdir())
    # What counts is all of it together.
    assert "--max-bytes" in refused(export(said, out / "other", "--max-bytes", f"{largest + 1}B"))


def test_a_folder_that_another_run_has_removed_is_made_again(
    said: Said, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, gone = Bundle.__init__, []

    def begun(self: Bundle, disk: Disk, folder: str, **more: Any) -> None:
        if not gone:
            gone.append(folder)
            os.rmdir(folder)
        real(self, disk, folder, **more)

    monkeypatch.setattr(Bundle, "__init__", begun)
    answer = export(said, out)
    assert (answer.code, len(gone), Path(answer.data["exported"][0]["path"]).is_dir()) == (0, 1, True)


def test_what_is_no_size_is_said(said: Said, out: Path) -> None:
    result = run(ExportSessions, KEY, "--output", str(out), "--max-bytes", "much", state=said.store.state)
    assert (result.code, result.stderr) == (
        2, 'error: --max-bytes is "much"; next: a size above 0, such as 500mb or 2gb\n',
    )  # fmt: skip
    assert not out.exists()


def test_a_transcript_that_is_a_link_is_refused_and_the_others_go(tmp_path: Path, closed_port: int, out: Path) -> None:
    said = InFiles(Store(tmp_path / "state", closed_port))
    said.store.add((KEY + "-2", said.store.session("second")))
    moved = tmp_path / "elsewhere.jsonl"
    said.path.rename(moved)
    said.path.symlink_to(moved)
    answer = run_json(ExportSessions, KEY, KEY + "-2", "--output", str(out), state=said.store.state)
    assert answer.code == 1
    assert [row["status"] for row in answer.data["failed"]] == ["refused"]
    assert [row["key"] for row in answer.data["exported"]] == [KEY + "-2"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("event_utf8_bytes = 7 where session_id = ? and seq = 1", "bytes, and its row says 7"),
        ("event_json = null where session_id = ? and seq = 1", "has neither text nor what could be unpacked"),
        ("event_zstd = x'00' where session_id = ? and event_json is null", "cannot be unpacked"),
        ("event_json = char(10), event_utf8_bytes = null where session_id = ? and seq = 1", "is more than one line"),
    ],
)
def test_a_database_that_contradicts_itself_gives_no_copy(
    tmp_path: Path, closed_port: int, out: Path, change: str, why: str
) -> None:
    said = InDatabase(Store(tmp_path / "state", closed_port))
    with said.bases.open("project-lead") as connection:
        connection.execute(f"update transcript_events set {change}", (said.own,))
    answer = export(said, out)
    assert answer.code in (1, 3)
    [row] = answer.data["failed"]
    assert (answer.data["exported"], why in row["error"]) == ([], True), row
    assert not out.exists()


def test_an_error_of_the_disk_leaves_nothing(said: Said, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(Bundle, "publish", full)
    answer = export(said, out)
    [row] = answer.data["failed"]
    assert (answer.code, row["status"]) == (1, "failed")
    assert "No space left on device" in row["error"]
    assert not out.exists()


def test_a_folder_must_be_named(said: Said) -> None:
    result = run(ExportSessions, KEY, state=said.store.state)
    assert (result.code, result.stderr) == (2, "error: no folder was given; next: --output DIR\n")
