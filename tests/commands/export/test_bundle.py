"""What is in the folder of an exported session: all of it, byte for byte, and hashes that anybody can check."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.export_sessions import ExportSessions
from session_closer.system.pieces import PIECE
from support.commands import Answer, run, run_json
from support.keys import LEAD
from support.said import INBOUND, KEY, InDatabase, Said, files_of
from support.sqlite import packed
from support.stores import Store
from support.trees import tree, write


def export(said: Said, out: Path, *words: str) -> Answer:
    """Export the session."""
    return run_json(ExportSessions, "export-me", "--output", str(out), *words, state=said.store.state)


def bundle(answer: Answer) -> Path:
    """Return the folder of the only session that was exported."""
    assert (answer.code, answer.data["failed"], answer.data["error"]) == (0, [], None), answer
    [row] = answer.data["exported"]
    return Path(row["path"])


def test_all_of_a_session_is_in_its_folder_byte_for_byte(said: Said, out: Path) -> None:
    folder = bundle(export(said, out))
    found = files_of(folder)
    assert found.pop("transcript.jsonl") == said.transcript
    assert found.pop("entry.json") == said.entry
    assert set(found) - set(said.beside) == {"transcript.md", "manifest.json", "SHA256SUMS"}
    assert {name: found[name] for name in said.beside} == said.beside
    assert folder == out / "project-lead" / f"export-me-{said.own[:8]}"


def test_anybody_can_check_the_hashes_of_all_files(said: Said, out: Path) -> None:
    folder = bundle(export(said, out, "--media"))
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert {line.rpartition(": OK")[0] for line in done.stdout.splitlines()} == set(files_of(folder)) - {"SHA256SUMS"}


def test_nobody_else_can_read_it(said: Said, out: Path) -> None:
    before = os.umask(0)
    try:
        folder = bundle(export(said, out))
    finally:
        os.umask(before)
    for path in [out, folder.parent, folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_manifest_says_what_is_there_and_what_is_not(said: Said, out: Path) -> None:
    folder = bundle(export(said, out))
    told = json.loads((folder / "manifest.json").read_bytes())
    events = said.transcript.count(b"\n")
    assert (told["key"], told["sessionId"], told["agent"], told["label"]) == (
        KEY,
        said.own,
        "project-lead",
        "A *label*",
    )
    assert told["events"] + told["broken"] == events
    assert told["otherBranches"] == 1
    assert {file["path"]: file["bytes"] for file in told["files"]} == {
        name: len(text) for name, text in files_of(folder).items() if name not in ("manifest.json", "SHA256SUMS")
    }
    assert told["leftOut"] == [{"what": "media", "why": "not asked for: --media"}]
    assert (told["importable"], told["redacted"]) == (True, False)


def test_media_come_along_where_they_are_asked_for(said: Said, out: Path) -> None:
    found = files_of(bundle(export(said, out, "--media")))
    assert found[f"media/{INBOUND}"] == b"the image"
    assert [name for name in found if name.startswith("media/")] == [f"media/{INBOUND}"]


def test_a_link_among_media_is_not_followed(said: Said, tmp_path: Path, out: Path) -> None:
    path = said.store.state / "media" / "inbound" / INBOUND
    path.rename(tmp_path / "elsewhere.png")
    path.symlink_to(tmp_path / "elsewhere.png")
    assert not (bundle(export(said, out, "--media")) / "media").exists()


def test_media_are_found_wherever_a_packed_transcript_names_them(tmp_path: Path, closed_port: int, out: Path) -> None:
    said = InDatabase(Store(tmp_path / "state", closed_port))
    # Unpacked, it comes in pieces of this size, and its name is in two of them.
    begin = b'{"type":"custom","text":"'
    text = (
        begin + b"x" * (PIECE - len(begin) - len(f"media/inbound/{INBOUND}") // 2) + f"media/inbound/{INBOUND}".encode()
    )
    pack_whole(said, text + b'"}\n')
    assert (bundle(export(said, out, "--media")) / "media" / INBOUND).read_bytes() == b"the image"


def test_without_secrets_there_is_none_in_any_file_and_nothing_besides(said: Said, out: Path) -> None:
    secret = "ghp_" + "A1b2C3d4E5f6G7h8J9k0L1m2N3p4Q5r6abcd"
    said.grow(f"take {secret} and go")
    folder = bundle(export(said, out, "--redact"))
    found = files_of(folder)
    assert set(found) == {"transcript.redacted.jsonl", "transcript.redacted.md", "manifest.json", "SHA256SUMS"}
    assert [name for name, text in found.items() if secret.encode() in text] == []
    for name in ("transcript.redacted.jsonl", "transcript.redacted.md"):
        assert b"take [redacted] and go" in found[name]
    told = json.loads(found["manifest.json"])
    assert (told["importable"], told["redacted"]) == (False, True)
    left = {each["what"] for each in told["leftOut"] if each["why"] == "redacted"}
    assert left == {"entry.json", *said.beside}


def test_the_document_says_where_each_is_and_what_it_has(said: Said, out: Path) -> None:
    answer = export(said, out)
    folder, [row] = bundle(answer), answer.data["exported"]
    found = files_of(folder)
    assert (row["files"], row["bytes"]) == (len(found), sum(map(len, found.values())))
    assert row["events"] == said.transcript.count(b"\n")
    done = subprocess.run(["sha256sum", folder / "SHA256SUMS"], capture_output=True, text=True, check=True)
    assert row["sha256"] == done.stdout.split()[0]
    assert answer.data["output"] == str(out)


def test_a_page_alone_is_one_file(said: Said, out: Path) -> None:
    page = bundle(export(said, out, "--format", "md"))
    whole = bundle(export(said, out))
    assert page == whole.with_suffix(".md")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    # Only the page says that it has no more beside it.
    assert page.read_text().partition("\n## ")[2] == (whole / "transcript.md").read_text().partition("\n## ")[2]
    assert sorted(path.name for path in page.parent.iterdir()) == sorted([page.name, whole.name])


def test_an_export_leaves_the_store_as_it_is(said: Said, out: Path) -> None:
    before = tree(said.store.state)
    bundle(export(said, out, "--media"))
    assert tree(said.store.state) == before


def test_where_nothing_is_exported_nobody_is_warned_of_what_is_in_it(said: Said, out: Path) -> None:
    answer = run_json(ExportSessions, "nowhere", "--output", str(out), state=said.store.state)
    assert (answer.code, answer.data["warnings"]) == (1, [])


def test_people_read_what_was_exported_and_how_to_check_it(said: Said, out: Path) -> None:
    result = run(ExportSessions, KEY, "nowhere", "--output", str(out), state=said.store.state)
    lines = result.stdout.splitlines()
    assert (result.code, lines[0]) == (1, "1 exported, 1 not")
    assert any(line.startswith("  not_found  agent:project-lead:nowhere  ") for line in lines)
    assert f"            {out}/project-lead/export-me-{said.own[:8]}" in lines
    assert lines[-1] == "check    sha256sum -c SHA256SUMS, in each of these folders"
    assert result.stderr == (
        "warning: secrets that were said are in what is exported; "
        "--redact takes out those that can be told by their form\n"
    )


def test_a_session_that_never_spoke_is_exported_as_what_it_is(said: Said, out: Path) -> None:
    key = LEAD + "silent"
    if hasattr(said, "bases"):
        said.bases.add(key, events=0)
    else:
        said.store.add((key, said.store.session("silent", spoken=False)))
    answer = run_json(ExportSessions, key, "--output", str(out), state=said.store.state)
    found = files_of(bundle(answer))
    assert set(found) == {"entry.json", "transcript.md", "manifest.json", "SHA256SUMS"}
    left: list[dict[str, Any]] = json.loads(found["manifest.json"])["leftOut"]
    assert "transcript.jsonl" in [each["what"] for each in left]


def test_a_key_of_any_letters_gets_a_folder_of_its_own(said: Said, out: Path) -> None:
    keys = [LEAD + "Room/..:!x", LEAD + "room:..:!X"]
    for key in keys:
        if hasattr(said, "bases"):
            said.bases.add(key)
        else:
            said.store.add((key, said.store.session(key)))
    answer = run_json(ExportSessions, *keys, "--output", str(out), state=said.store.state)
    assert answer.code == 0, answer
    paths = {Path(row["path"]) for row in answer.data["exported"]}
    assert len(paths) == 2
    assert {path.parent for path in paths} == {out / "project-lead"}


def test_what_openclaw_has_archived_of_a_key_at_a_reset_is_a_window_of_it(
    tmp_path: Path, closed_port: int, out: Path
) -> None:
    said = InDatabase(Store(tmp_path / "state", closed_port))
    texts = [f'{{"type":"session","id":"older"}}\n{{"n":{at}}}\n' for at in range(4)]
    with said.bases.open("project-lead") as connection:
        columns = "archive_name, session_key, session_id, reason, created_at, archive_blob, archive_sha256"
        connection.execute(f"create table session_transcript_archives ({columns})")
        for at, (reason, key) in enumerate((("reset", KEY), ("reset", KEY), ("deleted", KEY), ("reset", LEAD + "x"))):
            blob = packed(texts[at])
            row = (f"older.jsonl.{at}.zst", key, "older", reason, at, blob, hashlib.sha256(blob).hexdigest())
            connection.execute(f"insert into session_transcript_archives values ({', '.join('?' * 7)})", row)
        wrong = ("wrong.jsonl.zst", KEY, "wrong", "reset", 8, None, "0" * 64)
        connection.execute("insert into session_transcript_archives values (?, ?, ?, ?, ?, ?, ?)", wrong)
        write(said.store.folder() / "wrong.jsonl.zst", packed("{}\n"))
        gone = ("lost.jsonl.zst", KEY, "lost", "reset", 9, None, "0" * 64)
        connection.execute("insert into session_transcript_archives values (?, ?, ?, ?, ?, ?, ?)", gone)
    found = files_of(bundle(export(said, out)))
    windows = {name: text.decode() for name, text in found.items() if name.startswith("windows/")}
    assert windows == {
        **{name: text.decode() for name, text in said.beside.items() if name.startswith("windows/")},
        "windows/older.jsonl": texts[0],
        "windows/older.1.jsonl": texts[1],
    }
    left = [each["what"] for each in json.loads(found["manifest.json"])["leftOut"]]
    assert left[:2] == ["windows/wrong.jsonl", "windows/lost.jsonl"]


def pack_whole(said: InDatabase, text: bytes, *, where: str = "row", wrong: str = "") -> None:
    """Pack a transcript as OpenClaw does once nobody has used it for long; `wrong`: its hash or its size is."""
    blob = packed(text.decode())
    digest = "0" * 64 if wrong == "hash" else hashlib.sha256(blob).hexdigest()
    name, size = f"{said.own}.cold.zst", len(text) + (wrong == "size")
    with said.bases.open("project-lead") as connection:
        connection.execute("delete from transcript_events where session_id = ?", (said.own,))
        columns = "session_id, archive_name, archive_sha256, event_count, raw_bytes, archive_blob"
        connection.execute(f"create table session_transcript_cold_archives ({columns})")
        row = (said.own, name, digest, text.count(b"\n"), size, blob if where == "row" else None)
        connection.execute(f"insert into session_transcript_cold_archives ({columns}) values (?, ?, ?, ?, ?, ?)", row)
    if where == "file":
        write(said.store.folder() / name, blob)


@pytest.mark.parametrize("where", ["row", "file"])
@pytest.mark.parametrize("wrong", ["", "hash", "size"])
def test_what_openclaw_has_packed_as_a_whole_is_unpacked(
    tmp_path: Path, closed_port: int, out: Path, where: str, wrong: str
) -> None:
    said = InDatabase(Store(tmp_path / "state", closed_port))
    pack_whole(said, said.transcript, where=where, wrong=wrong)
    answer = export(said, out)
    if wrong:
        assert (answer.data["exported"], len(answer.data["failed"])) == ([], 1)
    else:
        assert files_of(bundle(answer))["transcript.jsonl"] == said.transcript


@pytest.mark.parametrize("name", [".git", ".git/HEAD"])
def test_a_work_tree_of_git_is_warned_of(said: Said, tmp_path: Path, name: str) -> None:
    path = tmp_path / "repository" / name
    path.parent.mkdir(parents=True)
    write(path, "x")
    answer = export(said, tmp_path / "repository" / "out")
    assert answer.code == 0
    assert [warning for warning in answer.data["warnings"] if "git work tree" in warning]
