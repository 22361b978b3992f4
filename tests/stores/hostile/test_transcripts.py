"""Session ids, session files and transcripts of every kind: only what is the session's own is archived."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from support.commands import run_json
from support.hostile import KEPT, TARGET, as_dangling_link, as_directory, as_pipe, as_socket, close
from support.keys import LEAD
from support.patience import it_ends
from support.stores import Store
from support.trees import tree

# sessionId


BAD_IDS = [
    None, 7, 1.5, True, [], {}, "", ".", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "nul\0", "new\nline", "a b",
    "x" * 129, "x" * 5000, "\ud800", "-x", ".x", "é", "*", "t.jsonl/..", "sessions.json",
]  # fmt: skip


@pytest.mark.parametrize("with_file", [False, True])
@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: ascii(bad)[:20])
def test_an_unusable_session_id_closes_the_entry_and_touches_no_file(store: Store, bad: Any, with_file: bool) -> None:
    entry: dict[str, Any] = {"sessionId": bad}
    files = ["t.jsonl", "sessions.json.jsonl", "innocent.jsonl"]
    for name in files:
        store.transcript(name)
    usable = bad == "sessions.json"
    if with_file:
        entry["sessionFile"] = str(store.folder() / "innocent.jsonl")
    text = json.dumps({TARGET: entry, KEPT: {"sessionId": "k"}})
    store.index().write_text(text)
    outside = tree(store.state.parent)
    answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert store.listed() == [KEPT]
    if usable:
        return
    if bad is None and with_file:
        # Without an id the file that the entry names is still its own.
        files.remove("innocent.jsonl")
    else:
        assert answer.data["results"][0]["archives"] == []
        assert any("sessionId" in warning for warning in answer.data["warnings"])
    assert set(files) <= store.names()
    changed = {name for name in outside if tree(store.state.parent).get(name) != outside[name]}
    assert not [name for name in changed if not name.startswith("state")]


def test_a_missing_session_id_is_no_reason_to_keep_the_entry(store: Store) -> None:
    store.index().write_text(json.dumps({TARGET: {"updatedAt": 1}, KEPT: {"sessionId": "k"}}))
    assert close(store).rows == [(TARGET, "closed")]


# sessionFile


@pytest.mark.parametrize(
    "path",
    [
        "{outside}/mine.jsonl", "/etc/passwd", "../../../mine.jsonl", "{folder}/../mine.jsonl",
        "{folder}/sub/mine.jsonl", "{folder}/sessions.json", "{folder}/t.jsonl.lock", "{folder}/openclaw.json",
        "{folder}/", "{folder}", "", "~/x",
        "{folder}/nul\0.jsonl", "{folder}/..", "{folder}/t.jsonl.deleted.2016-11-01T00-00-00.000Z", "file:///etc/passwd",
        "x" * 5000, 7, None, ["{folder}/kept.jsonl"], "{link}/mine.jsonl", "/half\ud83d/t.jsonl", "half\ud83d",
    ],
    ids=lambda path: ascii(path)[:40],
)  # fmt: skip
def test_a_session_file_is_no_authority(store: Store, tmp_path: Path, path: Any) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for place in (outside, store.folder().parent, store.folder() / "sub"):
        place.mkdir(exist_ok=True)
        (place / "mine.jsonl").write_text("mine\n")
    (store.folder() / "link").symlink_to(outside)
    for name in ("t.jsonl", "innocent.jsonl", "t.jsonl.deleted.2016-11-01T00-00-00.000Z"):
        store.transcript(name)
    if isinstance(path, str):
        path = path.format(outside=outside, folder=store.folder(), link=store.folder() / "link")
    # In escapes: half a surrogate pair is legal JSON, and no file can have it in its name.
    store.index().write_text(json.dumps({TARGET: {"sessionId": "t", "sessionFile": path}, KEPT: {"sessionId": "k"}}))
    before = tree(tmp_path)
    answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    after = tree(tmp_path)
    gone = {name for name in before if name not in after}
    folder = str(store.folder().relative_to(tmp_path))
    # Its own transcript by id is all that may go.
    assert gone == {f"{folder}/t.jsonl"}
    same = {name for name in before if name not in gone and not stat.S_ISDIR(before[name][0])}
    assert {name for name in same if after[name] != before[name]} == {f"{folder}/sessions.json"}


def test_the_spelling_of_the_folder_in_session_file_does_not_matter(store: Store, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(store.state)
    for number, folder in enumerate(
        (tmp_path / "alias/agents/project-lead/sessions", f"{store.folder()}/../sessions", f"{store.folder()}/.")
    ):
        store.transcript(f"file-{number}.jsonl")
        key = f"{LEAD}spelled-{number}"
        store.add((key, {"sessionId": f"other-{number}", "sessionFile": f"{folder}/file-{number}.jsonl"}))
        assert close(store, key).rows == [(key, "closed")]
        assert f"file-{number}.jsonl" not in store.names()


# Two entries, one transcript


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ({"sessionId": "t"}, {"sessionId": "t"}),
        ({"sessionId": "t"}, {"sessionId": "k", "sessionFile": "{folder}/t.jsonl"}),
        ({"sessionId": "x", "sessionFile": "{folder}/t.jsonl"}, {"sessionId": "t"}),
        ({"sessionId": "x", "sessionFile": "{folder}/t.jsonl"}, {"sessionId": "y", "sessionFile": "{folder}/t.jsonl"}),
        ({"sessionId": "t"}, {"sessionId": "k", "sessionFile": "/elsewhere/t.jsonl"}),
        ({"sessionId": "t"}, {"sessionId": "k", "sessionFile": "t.jsonl"}),
    ],
)
@pytest.mark.parametrize("both", [False, True])
def test_a_transcript_goes_with_the_last_entry_that_uses_it(
    store: Store, target: dict[str, str], kept: dict[str, str], both: bool
) -> None:
    path = store.transcript("t.jsonl")
    companion = store.transcript("t.trajectory.jsonl")
    rows = {}
    for key, entry in ((TARGET, target), (KEPT, kept)):
        rows[key] = {name: value.format(folder=store.folder()) for name, value in entry.items()}
    store.write(rows)
    raw = path.read_bytes()
    answer = run_json(CloseProjectBatch, TARGET, *([KEPT] if both else []), state=store.state)
    assert answer.code == 0
    assert {row["status"] for row in answer.data["results"]} == {"closed"}
    if both:
        archives = [name for name in store.names() if name.startswith("t.jsonl.deleted.")]
        assert len(archives) == 1
        assert (store.folder() / archives[0]).read_bytes() == raw
        assert not path.exists()
    else:
        assert path.read_bytes() == raw
        assert companion.exists()
        assert any("used by another session" in warning for warning in answer.data["warnings"])


# Odd transcripts


def as_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "precious")


@pytest.mark.parametrize("make", [as_link, as_dangling_link, as_directory, as_pipe, as_socket])
@pytest.mark.parametrize("named", [False, True])
def test_a_transcript_that_is_no_file_stays_with_a_warning(
    store: Store, make: Callable[[Path], None], named: bool
) -> None:
    (store.folder().parent / "precious").write_text("mine\n")
    path = store.folder() / "t.jsonl"
    make(path)
    store.write({TARGET: {"sessionId": "t", **({"sessionFile": str(path)} if named else {})}, KEPT: {}})
    before = path.lstat()
    with it_ends():
        answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert path.lstat() == before
    assert any("t.jsonl" in warning and "left where it is" in warning for warning in answer.data["warnings"])
    assert (store.folder().parent / "precious").read_text() == "mine\n"


def test_a_missing_transcript_is_no_failure(store: Store) -> None:
    store.write({TARGET: {"sessionId": "t", "sessionFile": str(store.folder() / "t.jsonl")}})
    answer = close(store)
    assert (answer.code, answer.rows, answer.data["warnings"]) == (0, [(TARGET, "closed")], [])


def test_a_hard_linked_transcript_is_archived_and_its_other_name_stays(store: Store, tmp_path: Path) -> None:
    path = store.transcript("t.jsonl")
    os.link(path, tmp_path / "second")
    store.write({TARGET: {"sessionId": "t"}})
    assert close(store).rows == [(TARGET, "closed")]
    assert (tmp_path / "second").stat().st_nlink == 2
    assert not path.exists()


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o400])
def test_a_transcript_keeps_its_mode_and_its_bytes(store: Store, mode: int) -> None:
    path = store.transcript("t.jsonl")
    path.chmod(mode)
    raw = path.read_bytes()
    store.write({TARGET: {"sessionId": "t"}})
    (archive,) = close(store).data["results"][0]["archives"]
    assert Path(archive).stat().st_mode & 0o777 == mode
    assert Path(archive).read_bytes() == raw
