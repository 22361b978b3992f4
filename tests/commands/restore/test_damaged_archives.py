"""Archives and backups that are not what they were are not brought back, and the rest is."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from typing import Any

import pytest
from session_closer.core.budget import FILE_BYTES
from support.commands import restore
from support.keys import session_id
from support.restore import ALPHA, KELLY, LEGACY, READER, REVIEW, TOPICS, backup_of, close, ends, purged, rows, statuses
from support.stores import Store
from support.trees import tree, write


def size(store: Store) -> None:
    with ends(store)[1].open("a") as file:
        file.write("more\n")


def content(store: Store) -> None:
    path = ends(store)[1]
    status, raw = path.stat(), path.read_bytes()
    path.write_bytes(raw.swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def companion_purged(store: Store) -> None:
    ends(store, ending=".trajectory.jsonl")[1].unlink()


def a_link(store: Store) -> None:
    path = ends(store)[1]
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_folder(store: Store) -> None:
    path = ends(store)[1]
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (size, "bytes"),
        (content, "does not hold what was archived"),
        (purged, "is gone"),
        (companion_purged, "is gone"),
        (a_link, ""),
        (a_folder, ""),
    ],
)
def test_an_archive_that_is_not_what_it_was_is_not_brought_back_and_the_rest_is(
    store: Store, spoil: Any, says: str
) -> None:
    close(store, "kelly-dashboard", "topics")
    spoil(store)
    spoilt = tree(store.folder())
    for words in (("--dry-run",), ("--check",), ()):
        answer = restore(store, "last", *words)
        assert answer.code == 1
        fine = "would_restore" if words else "restored"
        assert statuses(answer) == {KELLY: "failed", LEGACY: fine, TOPICS: fine}
        assert says in rows(answer)[KELLY]["error"]
        assert ".deleted." in rows(answer)[KELLY]["error"] or ".bak." in rows(answer)[KELLY]["error"]
    assert KELLY not in store.listed()
    kelly = ends(store)[0].name.removesuffix(".jsonl")
    now = tree(store.folder())
    assert {name: kind for name, kind in now.items() if kelly in name} == {
        name: kind for name, kind in spoilt.items() if kelly in name
    }


def test_a_small_archive_is_known_by_its_hash_and_not_by_its_time(store: Store) -> None:
    before = store.entries()
    close(store, "kelly-dashboard")
    os.utime(ends(store)[1], (1, 1))
    assert restore(store, "last").code == 0
    assert store.entries() == before


def test_a_large_archive_is_known_by_its_size_and_time(store: Store) -> None:
    """What would take long to hash is not: its time has to tell."""
    path = store.folder() / f"{store.entries()[TOPICS]['sessionId']}-topic-42.jsonl"
    write(path, b"x" * (300 << 10))
    close(store, "topics")
    (session,) = store.receipts()[0]["stores"][0]["sessions"]
    (found,) = session["moves"]
    assert (found["size"], found["sha256"]) == (300 << 10, None)
    archive = store.folder() / found["target"]
    status = archive.stat()
    os.utime(archive, (1, 1))
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (1, [(TOPICS, "failed")])
    assert "written to" in rows(answer)[TOPICS]["error"]
    os.utime(archive, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert restore(store, "last").rows == [(TOPICS, "restored")]


def test_the_receipt_holds_size_time_and_hash_of_each_small_file(store: Store) -> None:
    files = {path.name: path for path in store.folder().iterdir()}
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    close(store, "kelly-dashboard", "topics", ALPHA, REVIEW)
    moves = [move for s in store.receipts()[0]["stores"][0]["sessions"] for move in s["moves"]]
    assert len({move["source"] for move in moves}) == 7
    for found in moves:
        archive = store.folder() / found["target"]
        assert found["sha256"] == hashes[found["source"]]
        assert (found["size"], found["mtimeNs"]) == (archive.stat().st_size, archive.stat().st_mtime_ns)


@pytest.mark.parametrize("how", ["gone", "changed", "short", "link"])
def test_without_the_backup_that_it_had_an_entry_is_not_made_up(store: Store, how: str) -> None:
    close(store, "kelly-dashboard", READER)
    path = backup_of(store)
    if how == "gone":
        path.unlink()
    elif how == "changed":
        path.write_bytes(path.read_bytes().replace(b"agent:project-lead:", b"agent:project-LEAD:"))
    elif how == "short":
        path.write_bytes(path.read_bytes()[:20])
    else:
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
    before = store.index().read_bytes()
    names = store.names()
    answer = restore(store, "last")
    assert answer.code == 1
    assert statuses(answer) == {KELLY: "failed", LEGACY: "failed", READER: "restored"}
    assert path.name in rows(answer)[KELLY]["error"]
    assert (store.index().read_bytes(), store.names()) == (before, names)


def test_an_entry_is_taken_from_a_backup_in_which_others_were_changed(store: Store) -> None:
    """The entry itself has to be what it was: its place and its hash are in the receipt."""
    before = store.entries()
    close(store, "topics")
    path = backup_of(store)
    path.write_bytes(path.read_bytes().replace(b'"chatType": "direct"', b'"chatType": "DIRECT"'))
    assert restore(store, "last").rows == [(TOPICS, "restored")]
    assert store.entries() == before


@pytest.mark.parametrize("year", [1, 2117, 2200])
def test_a_file_of_another_age_comes_back(store: Store, year: int) -> None:
    path = store.folder() / next(name for name in store.names() if name.startswith(session_id("topics")))
    # So large a one is known by its time alone.
    path.write_bytes(b"said\n" * (FILE_BYTES // 4))
    far = round((datetime(year, 1, 1, tzinfo=UTC) - datetime.fromtimestamp(0, UTC)).total_seconds())
    os.utime(path, (far, far))
    if path.stat().st_mtime != far:
        pytest.skip("this file system has no such times")
    raw = path.read_bytes()
    close(store, "topics")
    assert not path.exists()
    assert statuses(restore(store, "last")) == {TOPICS: "restored"}
    assert (path.read_bytes(), path.stat().st_mtime) == (raw, far)
