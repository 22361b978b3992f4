"""Hostile stores: one clear line, a documented exit code, nothing lost; what can be closed safely is closed."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.core import keys, names
from session_closer.core.errors import StorageFailed
from session_closer.journal import history
from session_closer.openclaw.files import document
from session_closer.system import processes
from session_closer.system.disk import Disk
from support.commands import Answer, Result, run, run_json, run_process
from support.interrupted import interrupt, perform
from support.keys import LEAD, session_id
from support.patience import it_ends
from support.stores import Store
from support.trees import tree

RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
TARGET, KEPT = LEAD + "target", LEAD + "kept"
ROOT = os.geteuid() == 0


def check_refused(result: Result, *words: str) -> None:
    """One clear line, exit 3."""
    assert result.code == 3
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "; next: " in result.stderr
    assert not RAW.search(result.stderr)
    assert all(word in result.stderr for word in words), result.stderr


def close(store: Store, *words: str) -> Answer:
    """Close the target; whatever is odd about it, the answer is one document."""
    return run_json(CloseProject, words[0] if words else TARGET, *words[1:], state=store.state)


# The text of the store

GOOD = b'{"agent:project-lead:target": {"sessionId": "t"}, "agent:project-lead:kept": {"sessionId": "k"}}'
CORRUPT: dict[str, bytes | Callable[[], bytes]] = {
    "0 bytes": b"",
    "blanks": b" \r\n\t\n",
    "NUL block": b"\0" * 4096,
    "NUL block at the end": GOOD + b"\0" * 512,
    "NUL block in the middle": GOOD[:40] + b"\0" * 16 + GOOD[40:],
    "truncated in a value": GOOD[:-30],
    "truncated in a key": GOOD[:10],
    "truncated before the last brace": GOOD[:-1],
    "only a brace": b"{",
    "two objects": GOOD + b"\n" + GOOD,
    "text behind": GOOD + b" x",
    "line comment": b"// mine\n" + GOOD,
    "block comment": GOOD.replace(b"{", b"{ /* mine */", 1),
    "trailing comma": GOOD[:-1] + b",}",
    "single quotes": GOOD.replace(b'"', b"'"),
    "no colon": GOOD.replace(b": ", b" ", 1),
    "no comma": GOOD.replace(b"}, ", b"} "),
    "bare key": GOOD.replace(b'"agent:project-lead:kept"', b"kept"),
    "form feed": b"\x0c" + GOOD,
    "no-break space": b"\xc2\xa0" + GOOD,
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "UTF-16 without BOM": GOOD.decode().encode("utf-16-le"),
    "invalid UTF-8": GOOD.replace(b'"k"', b'"\xff\xfe"'),
    "invalid UTF-8 in a key": GOOD.replace(b"kept", b"k\xc3pt"),
    "overlong UTF-8": GOOD.replace(b'"k"', b'"\xc0\xaf"'),
    "surrogate in UTF-8": GOOD.replace(b'"k"', b'"\xed\xa0\x80"'),
    "UTF-8 cut off at the end": GOOD + b"\xe2\x82",
    "NaN": GOOD.replace(b'"k"', b"NaN"),
    "Infinity": GOOD.replace(b'"k"', b"Infinity"),
    "-Infinity": GOOD.replace(b'"k"', b"-Infinity"),
    "control character in a string": GOOD.replace(b'"k"', b'"a\nb"'),
    "bad escape": GOOD.replace(b'"k"', b'"\\x41"'),
    "leading zero": GOOD.replace(b'"k"', b"007"),
    "plus": GOOD.replace(b'"k"', b"+1"),
    "root list": b"[" + GOOD + b"]",
    "root null": b"null",
    "root string": b'"{}"',
    "root number": b"0",
    "root true": b"true",
    "duplicate key": GOOD[:-1] + b', "agent:project-lead:kept": {}}',
    "duplicate key, escaped": GOOD[:-1] + b', "agent:project-lead:k\\u0065pt": {}}',
    "duplicate key, not ASCII": '{"é": {}, "\\u00e9": {}}'.encode(),
    "100,000 nested arrays": lambda: GOOD.replace(b'"k"', b"[" * 100_000 + b"]" * 100_000),
    "100,000 nested objects": lambda: GOOD.replace(b'"k"', b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
}


@pytest.mark.parametrize(
    ("command", "words"),
    [(CloseProjectBatch, (TARGET,)), (KeepOnlySessions, (KEPT,)), (CloseProject, (TARGET, "--force", "--yes"))],
)
@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_store_is_refused_and_stays(
    store: Store, command: type[Command], words: tuple[str, ...], name: str
) -> None:
    content = CORRUPT[name]
    store.index().write_bytes(content() if callable(content) else content)
    before = tree(store.state)
    check_refused(run(command, *words, state=store.state), str(store.index()))
    answer = run_json(command, *words, "--dry-run", state=store.state)
    assert (answer.code, answer.error) == (3, "corrupt_store")
    assert tree(store.state) == before


def test_one_corrupt_store_stops_a_batch_of_two_before_any_change(store: Store) -> None:
    store.index("researcher").write_bytes(b"{")
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", "agent:researcher:kelly-dashboard", state=store.state)
    assert answer.code == 3
    assert tree(store.state) == before


def test_a_store_over_the_size_limit_is_refused_without_being_read(store: Store) -> None:
    os.truncate(store.index(), document.MAX_BYTES + 1)
    with it_ends():
        check_refused(run(CloseProject, "alpha", state=store.state), "512 MiB")
    assert store.index().stat().st_size == document.MAX_BYTES + 1


def test_an_empty_object_is_a_store_without_sessions(store: Store) -> None:
    store.index().write_bytes(b"{}")
    before = tree(store.state)
    assert close(store).rows == [(TARGET, "not_found")]
    assert tree(store.state) == before


ODD_VALUES = [
    '{"sessionId": "k", "n": 1e400}',
    '{"sessionId": "k", "n": -1e400, "m": 0.10000000000000000000001, "z": -0, "e": 1E+2}',
    '{"sessionId": "k", "n": ' + "9" * 5000 + "}",
    '{"sessionId": "k", "s": "\\ud800", "t": "\\udfff\\ud83d"}',
    '{"sessionId": "k", "__proto__": {"x": 1}, "constructor": null}',
    '{"sessionId": "k", "s": "a\u2028b\u2029c\u0085d"}',
    '{"sessionId": "k", "a": 1, "a": 2}',
    '{"sessionId": "k", "s": "\\u0000\\/\\b\\f", "é": "\U0001f642"}',
    '{ "sessionId" :\t"k" ,\r\n "x" : [ ] }',
    "null",
    '"a string"',
    "[1, 2]",
    "7",
    "true",
    "{}",
    '{"sessionId": "k", "d": ' + "[" * 300 + "]" * 300 + "}",
]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:40].encode("unicode_escape").decode())
@pytest.mark.parametrize("first", [False, True])
def test_a_kept_entry_keeps_its_bytes(store: Store, value: str, first: bool) -> None:
    kept, target = f'"{KEPT}": {value}', f'"{TARGET}": {{"sessionId": "t"}}'
    rows = [kept, target] if first else [target, kept]
    store.index().write_bytes(("{\n  " + ",\n  ".join(rows) + "\n}").encode())
    assert close(store).rows == [(TARGET, "closed")]
    assert store.index().read_bytes() == ("{\n  " + kept + "\n}").encode()


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: value[:40].encode("unicode_escape").decode())
def test_an_odd_entry_can_be_closed(store: Store, value: str) -> None:
    store.index().write_bytes(f'{{"{TARGET}": {value}, "{KEPT}": {{"sessionId": "k2"}}}}'.encode())
    raw = store.index().read_bytes()
    answer = close(store)
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert json.loads(store.index().read_bytes()) == {KEPT: {"sessionId": "k2"}}
    assert store.backups()[0].read_bytes() == raw


@pytest.mark.parametrize(
    "raw",
    [
        '{"K":{"sessionId":"k"},"T":{"sessionId":"t"}}',
        '{"T":{"sessionId":"t"}}',
        ' \r\n{\r\n\t"T" : {"sessionId":"t"} ,\r\n\t"K" : {"sessionId":"k"}\r\n}\r\n\r\n',
        '{"A":1,"T":{},"B":2,"K":[],"C":{}}',
        '{\n  "\u2028": {},\n  "T": {"s": "é"},\n  "__proto__": {"x": 1}\n}',
    ],
)
def test_the_rest_keeps_its_bytes_whatever_the_layout(store: Store, raw: str) -> None:
    text = raw.replace('"K"', f'"{KEPT}"').replace('"T"', f'"{TARGET}"')
    before = json.loads(text)
    store.index().write_bytes(text.encode())
    assert close(store).code == 0
    after = store.index().read_bytes()
    assert json.loads(after) == {key: value for key, value in before.items() if key != TARGET}
    left = document.scan(after, document.nothing)
    was = document.scan(text.encode(), document.nothing)
    assert [left.member_bytes(key) for key in left.members] == [was.member_bytes(key) for key in left.members]


ODD_KEYS = [
    "new\nline", 'quo"te', "back\\slash", "emoji \U0001f642", "tab\t", "nul\0", "esc\x1b[31m", "\u2028", "é",
    "e\u0301", "a:b:c", " blank ", "__proto__", "x" * 5000, "%s{}$`", "'", "../../x", "/etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("tail", ODD_KEYS, ids=lambda tail: ascii(tail[:20]))
def test_exactly_the_odd_key_is_closed(store: Store, tail: str) -> None:
    key = LEAD + tail
    store.add((key, store.session("odd")), (KEPT, store.session("kept")))
    others = {other: value for other, value in store.entries().items() if other != key}
    result = run_json(CloseProject, "--session-key", key, state=store.state)
    assert (result.code, result.rows) == (0, [(key, "closed")])
    assert store.entries() == others
    assert run_json(CloseProject, key, state=store.state).rows == [(key, "already_closed")]


def test_a_key_with_a_lone_surrogate_goes_with_keep_only(store: Store) -> None:
    store.index().write_bytes(f'{{"{LEAD}\\ud800": {{"sessionId": "s"}}, "{KEPT}": {{"sessionId": "k"}}}}'.encode())
    result = run(KeepOnlySessions, KEPT, state=store.state)
    assert result.code == 0
    assert store.listed() == [KEPT]


def test_200000_entries_take_seconds(store: Store) -> None:
    rows = {f"{LEAD}row-{number}": {"sessionId": f"s{number}", "updatedAt": number} for number in range(200_000)}
    store.index().write_text(json.dumps({**rows, TARGET: {"sessionId": "t"}}))
    started = time.process_time()
    answer = close(store)
    assert time.process_time() - started < 20
    assert (answer.code, answer.rows) == (0, [(TARGET, "closed")])
    assert store.entries() == rows


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


def as_dangling_link(path: Path) -> None:
    path.symlink_to("/nowhere/at/all")


def as_directory(path: Path) -> None:
    path.mkdir()
    (path / "inside").touch()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        try:
            os.chdir(path.parent)  # a socket's path may have 107 characters only
            made.bind(path.name)
        finally:
            os.chdir(here)


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


# Names that are taken, and the clock

NOON = datetime(2016, 11, 21, 12, 0, 0, 0, UTC)


def test_taken_archive_and_backup_names_give_the_next_millisecond(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "now", lambda: NOON)
    store.transcript("t.jsonl")
    store.write({TARGET: {"sessionId": "t"}})
    taken = {
        f"t.jsonl.deleted.{names.stamp(NOON)}": "archive",
        f"sessions.json.bak-{names.stamp(NOON + timedelta(milliseconds=1))}": "backup",
    }
    for name, text in taken.items():
        (store.folder() / name).write_text(text)
    answer = close(store)
    assert answer.rows == [(TARGET, "closed")]
    third = names.stamp(NOON + timedelta(milliseconds=2))
    assert {name: (store.folder() / name).read_text() for name in taken} == taken
    assert f"t.jsonl.deleted.{third}" in store.names()
    assert f"sessions.json.bak-{third}" in store.names()


class Taking(Disk):
    """A disk beside which somebody takes each name just before we do."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def rename_new(self, source: str, target: str) -> None:
        if len(self.taken) < 3 and not os.path.exists(target):
            Path(target).write_text("somebody else's")
            self.taken.append(target)
        super().rename_new(source, target)


def test_a_name_that_is_taken_at_the_last_moment_is_not_overwritten(store: Store) -> None:
    path = store.transcript("t.jsonl")
    raw = path.read_bytes()
    store.write({TARGET: {"sessionId": "t"}})
    disk = Taking()
    report = perform(store, TARGET, disk=disk)
    assert {str(row.status) for row in report.results} == {"closed"}
    assert disk.taken
    assert {Path(name).read_text() for name in disk.taken} == {"somebody else's"}
    assert not path.exists()
    copies = [
        each for each in store.folder().iterdir() if each.name.startswith("t.jsonl.") and each.read_bytes() == raw
    ]
    assert len(copies) == 1
    assert [str(copies[0])] == [path for row in report.results for path in row.archives]


def test_two_runs_in_one_millisecond(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "now", lambda: NOON)
    for word in ("alpha-review", "alpha", "topics"):
        assert close(store, word).code == 0
    assert len(store.backups()) == len(store.receipts()) == 3


@pytest.mark.parametrize("year", [1970, 2106])
def test_a_clock_that_is_wrong_harms_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    monkeypatch.setattr(history, "now", lambda: NOON.replace(year=year))
    assert close(store, "topics").rows == [(LEAD + "topics", "closed")]
    assert close(store, "topics").rows == [(LEAD + "topics", "already_closed")]


def test_the_same_id_closed_again_later_has_two_archives(store: Store) -> None:
    for _ in range(2):
        store.transcript("t.jsonl")
        store.write({TARGET: {"sessionId": "t"}})
        assert close(store).rows == [(TARGET, "closed")]
    assert len([name for name in store.names() if name.startswith("t.jsonl.deleted.")]) == 2


# What the store itself is


def test_a_linked_index_is_refused_with_the_real_path(store: Store, tmp_path: Path) -> None:
    real = tmp_path / "real.json"
    store.index().rename(real)
    store.index().symlink_to(real)
    before = tree(tmp_path)
    check_refused(run(CloseProject, "alpha", state=store.state), str(real))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("make", [as_dangling_link, as_directory, as_pipe, as_socket])
def test_an_index_that_is_no_file_is_refused_and_nobody_waits(store: Store, make: Callable[[Path], None]) -> None:
    store.index().unlink()
    make(store.index())
    before = tree(store.state)
    with it_ends():
        check_refused(run(CloseProject, "alpha", state=store.state), str(store.index()))
        check_refused(run(KeepOnlySessions, "alpha", state=store.state), str(store.index()))
    assert tree(store.state) == before


@pytest.mark.parametrize("what", ["index", "folder", "agent", "agents"])
def test_a_missing_store_is_not_found(store: Store, what: str) -> None:
    import shutil

    paths = {"index": store.index(), "folder": store.folder(), "agent": store.folder().parent,
             "agents": store.state / "agents"}  # fmt: skip
    shutil.rmtree(paths[what]) if paths[what].is_dir() else paths[what].unlink()
    before = tree(store.state)
    answer = close(store, "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "not_found")])
    check = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert (check.code, check.error) == (3, "unknown_name")
    assert tree(store.state) == before


def test_a_folder_that_is_a_file_is_refused(store: Store) -> None:
    import shutil

    shutil.rmtree(store.folder())
    store.folder().write_text("not a folder")
    before = tree(store.state)
    result = run(CloseProject, "alpha", state=store.state)
    assert result.code in (1, 3)
    assert "Traceback" not in result.stderr
    assert tree(store.state) == before


def test_our_own_folder_may_not_lead_outside(store: Store, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (store.state / "session-closer").symlink_to(tmp_path / "outside")
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state))
    assert list((tmp_path / "outside").iterdir()) == []
    assert tree(store.state) == before


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
@pytest.mark.parametrize("what", ["everything", "sessions", "index", "ours"])
def test_a_store_of_another_user_is_refused(store: Store, what: str) -> None:
    run_json(CloseProject, "topics", state=store.state)
    all_of_it = [store.state, *store.state.rglob("*")]
    given = {"everything": all_of_it, "sessions": [store.folder()], "index": [store.index()],
             "ours": [store.state / "session-closer"]}[what]  # fmt: skip
    for path in given:
        os.lchown(path, 65534, 65534)
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state), "belongs to uid 65534")
    check_refused(run(CloseProject, "alpha", "--dry-run", state=store.state), "belongs to uid 65534")
    assert tree(store.state) == before


@pytest.mark.skipif(ROOT, reason="root may read and write everything")
@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_an_index_that_may_not_be_read_is_refused(store: Store, mode: int) -> None:
    store.index().chmod(mode)
    check_refused(run(CloseProject, "alpha", state=store.state), str(store.index()))


@pytest.mark.skipif(ROOT, reason="root may read and write everything")
def test_a_folder_that_may_not_be_written_loses_nothing(store: Store) -> None:
    store.folder().chmod(0o500)
    before = tree(store.state)
    try:
        result = run(CloseProject, "alpha", state=store.state)
        assert result.code == 1
        assert result.stderr.startswith("error: ")
        assert tree(store.state) == before
    finally:
        store.folder().chmod(0o700)


# The configuration


@pytest.mark.parametrize("text", ["{", "\0", "\x1b[31m", "[" * 100_000])
def test_a_configuration_that_cannot_be_read_is_refused(store: Store, text: str) -> None:
    (store.state / "openclaw.json").write_text(text)
    before = tree(store.state)
    check_refused(run(CloseProject, "alpha", state=store.state), "openclaw.json")
    assert tree(store.state) == before


@pytest.mark.parametrize(
    "text", ["null", "[]", '"x"', "\ufeff{}", '{"gateway": 7, "session": []}', '{"gateway": {"port": "x"}}']
)
def test_a_configuration_that_says_nothing_is_no_reason_to_fail(
    store: Store, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("OPENCLAW_GATEWAY_PORT", str(store.port))
    monkeypatch.setattr("session_closer.openclaw.home.DEFAULT_PORT", store.port)
    (store.state / "openclaw.json").write_text(text)
    assert close(store, "alpha").code == 0


# The record of an interrupted run, damaged


def record_of(store: Store) -> Path:
    (path,) = store.state.glob("session-closer/open/*/record.json")
    return path


def pointing(store: Store, name: str, value: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["stores"][0][name] = value

    return change


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "path outside": lambda data: data["stores"][0].update(path="/etc/passwd"),
    "transcripts outside": lambda data: data["stores"][0].update(transcripts="/etc"),
    "agent outside": lambda data: data["stores"][0].update(agent="../../etc"),
    "backup outside": lambda data: data["stores"][0].update(backup="../sessions.json.bak-x"),
    "backup gone": lambda data: data["stores"][0].update(backup="sessions.json.bak-gone"),
    "displaced outside": lambda data: data["stores"][0].update(displaced=["../../x"]),
    "move from outside": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(
        source="../x.trajectory.jsonl", target="../x.trajectory.jsonl.bak.2016-11-21T00-00-00.000Z"
    ),
    "move to outside": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(target="../../x"),
    "move of the index": lambda data: data["stores"][0]["sessions"][0]["moves"][0].update(
        source="sessions.json", target="sessions.json.deleted.2016-11-21T00-00-00.000Z"
    ),
    "move without names": lambda data: data["stores"][0]["sessions"][0].update(moves=[{}]),
    "moves no list": lambda data: data["stores"][0]["sessions"][0].update(moves=7),
    "stores no list": lambda data: data.update(stores=None),
    "another run": lambda data: data.update(id="20200101T000000.000Z-00000000"),
    "another state directory": lambda data: data.update(stateDir="/"),
    "another format": lambda data: data.update(format="session-closer/99"),
    "unknown member": lambda data: data.update(surprise=1),
    "negative offset": lambda data: data["stores"][0]["sessions"][0].update(offset=-1),
    "key that was not in the backup": lambda data: data["stores"][0]["sessions"][0].update(key=LEAD + "alpha\n"),
    "state unknown": lambda data: data.update(state="maybe"),
    "restart no object": lambda data: data.update(restart=[]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_is_an_error_until_it_is_put_aside(store: Store, name: str) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE[name](data)
    path.write_text(json.dumps(data))
    check_put_aside(store, path)


@pytest.mark.parametrize("raw", [b"", b"{", b"null", b"[]", b"\xff", b"{}" * 2, b"[" * 100_000, b"\0" * 100])
def test_a_record_that_is_no_json_is_an_error_until_it_is_put_aside(store: Store, raw: bytes) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    path.write_bytes(raw)
    check_put_aside(store, path)


@pytest.mark.parametrize("make", [as_dangling_link, as_directory, as_pipe])
def test_a_record_that_is_no_file_is_an_error_and_nobody_waits(store: Store, make: Callable[[Path], None]) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    path.unlink()
    make(path)
    check_put_aside(store, path)


def check_put_aside(store: Store, path: Path) -> None:
    """Nothing is changed but a dead run's lock, and people are told why and what to do: it helps."""

    def files() -> dict[str, Any]:
        ours = (".lock", ".session-closer-new", ".session-closer-swap")
        return {name: what for name, what in tree(store.state).items() if what[2] and not name.endswith(ours)}

    before = files()
    with it_ends():
        answer = run_json(CloseProject, "never-spoken", state=store.state)
    assert (answer.code, answer.data["error"]["name"]) == (3, "damaged_run")
    assert "damaged" in answer.data["error"]["message"]
    assert not RAW.search(answer.stderr)
    assert files() == before
    with it_ends():
        assert run(CloseProject, "never-spoken", "--dry-run", state=store.state).code in (0, 3)
    remedy = answer.data["error"]["remedy"].removeprefix("look at it, then ").partition(", and run the same")[0]
    subprocess.run(shlex.split(remedy), check=True)
    transcripts = {name for name in store.names() if name.endswith(".jsonl")}
    assert close(store, "never-spoken").rows == [(LEAD + "never-spoken", "closed")]
    assert {name for name in store.names() if name.endswith(".jsonl")} == transcripts


@pytest.mark.parametrize("name", ["backup gone", "stores no list", "unknown member"])
def test_a_damaged_record_that_speaks_of_others_is_a_warning(store: Store, name: str) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE[name](data)
    path.write_text(json.dumps(data))
    answer = run_json(CloseProject, "kelly-dashboard", "--agent", "researcher", state=store.state)
    if name == "stores no list":
        # Whose sessions it has taken out cannot be told.
        assert (answer.code, answer.data["error"]["name"]) == (3, "damaged_run")
    else:
        assert (answer.code, [status for _, status in answer.rows]) == (0, ["closed"])
        assert "damaged" in answer.data["warnings"][0]


def test_a_cleanup_of_all_leaves_out_the_agent_whose_run_is_damaged(store: Store) -> None:
    interrupt(store, "topics", committed=True)
    path = record_of(store)
    data = json.loads(path.read_bytes())
    DAMAGE["unknown member"](data)
    path.write_text(json.dumps(data))
    for words in (["--dry-run"], []):
        answer = run_json(CleanupSessions, "--only", "orphans", *words, state=store.state)
        failed = [(row["agent"], row["status"]) for row in answer.data["results"] if not row["ok"]]
        assert (answer.code, failed) == (1, [("project-lead", "failed")])
        assert {each["agent"] for each in answer.data["stores"]} == {"main", "researcher"}


def test_names_in_the_folder_of_open_runs_that_are_no_runs_are_ignored(store: Store) -> None:
    place = store.state / "session-closer" / "open"
    place.mkdir(parents=True)
    (place / "README").write_text("mine")
    (place / "20161121T000000.000Z-0000000g").mkdir()
    (place / "20161121T000000.000Z-00000000").write_text("a file where a folder should be")
    result = run(CloseProject, "alpha", state=store.state)
    assert result.code == 0, result.stderr
    assert (place / "README").read_text() == "mine"


@pytest.mark.parametrize("raw", [b"", b"{", b'{"format": "session-closer/1"}', b"\xff" * 10])
def test_a_damaged_receipt_is_no_receipt(store: Store, raw: bytes) -> None:
    run_json(CloseProject, "topics", state=store.state)
    (receipt,) = store.state.glob("session-closer/receipts/*.json")
    receipt.write_bytes(raw)
    assert close(store, "topics").rows == [(LEAD + "topics", "not_found")]


# Left over by others


@pytest.mark.parametrize(
    ("content", "age", "code"),
    [
        ('{"pid": ME}', 0, 4),
        ('{"pid": ME, "starttime": MY_START}', 3600, 4),
        ('{"pid": ME}', 360_000_000, 0),
        (json.dumps({"pid": 2**22 + 1}), 3600, 0),
        (json.dumps({"pid": 2**22 + 1}), 0, 4),
        ("", 3600, 0),
        ("", 0, 4),
        ("{", 3600, 0),
        ("\0\0", 3600, 0),
        (json.dumps({"pid": "x"}), 3600, 0),
        (json.dumps({"pid": -1}), 3600, 0),
        ('{"pid": ME, "starttime": 1}', 3600, 0),
        ('{"pid": ME, "holder": "session-closer"}', 0, 0),
    ],
)
def test_a_lock_of_the_store_is_reclaimed_only_from_the_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch, content: str, age: int, code: int
) -> None:
    if sys.platform != "linux" and "starttime" in content:
        pytest.skip("start times are compared on Linux only")
    from session_closer.openclaw.files.lock import StoreLock

    acquire = StoreLock.acquire
    monkeypatch.setattr(StoreLock, "acquire", lambda self, _wait: acquire(self, 0.2))
    lock = store.folder() / "sessions.json.lock"
    mine = content.replace("ME", str(os.getpid())).replace("MY_START", str(processes.start_ticks(os.getpid())))
    lock.write_text(mine)
    os.utime(lock, (time.time() - age, time.time() - age))
    answer = close(store, "alpha")
    assert answer.code == code
    assert lock.exists() is (code == 4)
    assert (LEAD + "alpha" in store.listed()) is (code == 4)


@pytest.mark.parametrize("pid", [1, "ME", 2**22 + 1, 10**20, "1", None])
def test_a_lock_of_weeks_ago_on_transcript_and_index_keeps_nothing(store: Store, pid: object) -> None:
    """In a container that was started again the process id of the lock is another process's, which lives."""
    lock = json.dumps({"pid": os.getpid() if pid == "ME" else pid, "createdAt": "2016-01-30T05:00:00.000Z"})
    (store.folder() / f"{session_id('topics')}.jsonl.lock").write_text(lock)
    (store.folder() / "sessions.json.lock").write_text(lock)
    assert close(store, "topics").rows == [(LEAD + "topics", "closed")]
    assert "sessions.json.lock" not in store.names()


def test_temporary_files_of_openclaw_are_not_touched(store: Store) -> None:
    mine = {"sessions.json.1234.0f8fad5b-d9cb-469f-a165-70867728950e.tmp", "sessions.json.bak.1495000000000",
            "sessions.json.0f8fad5b-d9cb-469f-a165-70867728950e.tmp", "skills-prompts"}  # fmt: skip
    for name in mine - {"skills-prompts"}:
        store.transcript(name)
    (store.folder() / "skills-prompts").mkdir()
    before = tree(store.folder())
    assert close(store, "topics").code == 0
    after = tree(store.folder())
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}


def test_what_a_killed_run_left_beside_the_store_is_cleared_away(store: Store) -> None:
    interrupt(store, "topics", committed=False)
    interrupt(store, "alpha", committed=True)
    assert close(store, "kelly-dashboard").code == 0
    left = {name for name in store.names() if "session-closer" in name or name.endswith(".lock")}
    assert left == set()
    assert store.open_runs() == []
    assert LEAD + "alpha" not in store.listed()


# The disk fails


class Failing(Disk):
    """A disk on which one step fails."""

    def __init__(self, step: str, number: int) -> None:
        self.step = step
        self.number = number
        self.hit = False

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in vars(Disk) or name.startswith("_") or name != self.step:
            return found

        def fail(*arguments: Any) -> Any:
            self.hit = True
            raise OSError(self.number, os.strerror(self.number), arguments[0] if arguments else None)

        return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "rename_exclusive", "exchange", "make_folder"])
def test_a_disk_that_fails_loses_nothing_and_the_next_run_succeeds(store: Store, step: str, number: int) -> None:
    entries = store.entries()
    disk = Failing(step, number)
    report = perform(store, "kelly-dashboard", disk=disk)
    assert disk.hit
    assert report.error is not None
    assert int(report.error.code) == 1
    assert os.strerror(number) in report.error.message
    assert "\n" not in report.error.message
    copies = [store.entries(), *(json.loads(path.read_bytes()) for path in store.backups())]
    assert entries in copies
    assert close(store, "kelly-dashboard").code == 0
    assert not [key for key in store.listed() if "kelly-dashboard" in key]
    assert store.open_runs() == []


def test_the_sample_store_is_what_it_says(store: Store) -> None:
    assert keys.is_main(store.listed()[0])
    assert len(store.listed()) == 14
    assert f"{session_id('newer')}.jsonl" in store.names()


def test_a_group_that_cannot_be_kept_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(Disk):
        def set_owner(self, descriptor: int, uid: int, gid: int) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    real = os.stat

    def foreign(path: Any, **words: Any) -> os.stat_result:
        found = real(path, **words)
        if path != str(store.index()):
            return found
        return os.stat_result((*found[:5], 54321, *found[6:]))

    before = store.index().read_bytes()
    monkeypatch.setattr(os, "stat", foreign)
    report = perform(store, "alpha", disk=Strict())
    monkeypatch.undo()
    assert isinstance(report.error, StorageFailed)
    assert "the group 54321 of the old one" in report.error.message
    assert store.index().read_bytes() == before


# Nobody can be seen

BLIND = """
import ctypes
libc = ctypes.CDLL(None)
own, private = 0x20000, 0x44000
if libc.unshare(own) or libc.mount(b"none", b"/", None, private, None):
    sys.exit(77)
if libc.mount(b"none", b"/proc", b"tmpfs", 0, None):
    sys.exit(77)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no /proc to miss")
def test_where_no_process_can_be_seen_nobody_is_taken_for_dead(store: Store) -> None:
    store.add((TARGET, store.session(TARGET)))
    store.lock_transcript(TARGET)
    listed = run_process("list-sessions", "--json", state=store.state, before=BLIND)
    if listed.code == 77:
        pytest.skip("only who may mount can be without /proc")
    assert (listed.code, json.loads(listed.stdout)["gateway"]["state"]) == (0, "unknown"), listed
    before = tree(store.state)
    asked = run_process("close-project", "--json", "alpha", state=store.state, before=BLIND)
    assert (asked.code, json.loads(asked.stdout)["error"]["name"]) == (6, "gateway_needed"), asked
    assert "/proc" in asked.stderr
    assert tree(store.state) == before
    done = run_process("close-project-batch", "--json", "--via", "files", TARGET, state=store.state, before=BLIND)
    (row,) = json.loads(done.stdout)["results"]
    assert (row["status"], row["reason"]) == ("refused", "running"), done


@pytest.mark.parametrize(
    "words",
    [("close-project", "--state-dir", "x", "y"), ("restore-sessions", "./x"), ("cleanup-sessions", "--policy", "x")],
)
def test_a_path_that_begins_in_a_folder_that_is_gone_is_said(
    store: Store, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "gone").mkdir()
    gone = f"import os; os.chdir({str(tmp_path / 'gone')!r}); os.rmdir(os.getcwd())"
    place = None if "--state-dir" in words else store.state
    result = run_process(*words, state=place, before=gone)
    assert result.code in (1, 2, 3), result
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
