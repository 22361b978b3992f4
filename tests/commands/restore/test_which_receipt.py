"""Which receipt a restore takes, and that nothing else is one, whatever it is called or holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import restore, run
from support.keys import LEAD, session_id
from support.restore import ALPHA, KELLY, LEGACY, TOPICS, close, edit_receipt, receipt_of, statuses
from support.stores import Store, build
from support.trees import tree, write


def test_without_a_receipt_there_is_nothing_to_restore(store: Store) -> None:
    before = tree(store.state)
    for word in ("last", "20161121T064003.544Z-c21858e1", "2016"):
        answer = restore(store, word)
        assert (answer.code, answer.error) == (3, "no_receipt")
        assert answer.data["error"]["remedy"].endswith("--list")
    assert tree(store.state) == before


def test_a_receipt_is_named_by_its_id_its_beginning_or_its_path(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = close(store, "topics")
    name = receipt_of(store, data)
    for word in (name, name[:12], data["receipt"]):
        answer = restore(store, word, "--dry-run")
        assert (answer.code, answer.rows) == (0, [(TOPICS, "would_restore")]), word
    monkeypatch.chdir(Path(data["receipt"]).parent)
    assert restore(store, f"./{name}.json", "--dry-run").rows == [(TOPICS, "would_restore")]


def test_a_beginning_that_two_receipts_have_is_refused(store: Store) -> None:
    first, second = (receipt_of(store, close(store, word)) for word in ("topics", "alpha"))
    before = tree(store.state)
    shared = first[:4]
    assert second.startswith(shared)
    answer = restore(store, shared)
    assert (answer.code, answer.error) == (3, "no_receipt")
    assert "2 receipts" in answer.data["error"]["message"]
    assert tree(store.state) == before


HOSTILE = (
    "", "..", "../x", "/etc/passwd", "../receipts/x.json", "x\x00y", "\x1b[31m", "*", "%", "last.json", "x" * 1200,
)  # fmt: skip


def test_a_word_that_is_no_receipt_changes_nothing(store: Store) -> None:
    close(store, "topics")
    before = tree(store.state)
    for word in (*HOSTILE, "--", "--last"):
        result = run(RestoreSessions, word, state=store.state)
        assert result.code == (2 if word.startswith("--") else 3), word
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert "\x1b" not in result.stderr
    assert tree(store.state) == before


def test_a_path_outside_is_no_receipt_whatever_is_in_it(store: Store, tmp_path: Path) -> None:
    data = close(store, "topics")
    name = receipt_of(store, data)
    before = tree(store.state)
    for place in (tmp_path, store.state, Path(data["receipt"]).parent / "sub"):
        place.mkdir(exist_ok=True)
        copy = place / f"{name}.json"
        shutil.copyfile(data["receipt"], copy)
        answer = restore(store, str(copy))
        assert (answer.code, answer.error) == (3, "no_receipt")
        copy.unlink()
    (Path(data["receipt"]).parent / "sub").rmdir()
    assert {name: kind[2] for name, kind in tree(store.state).items()} == {
        name: kind[2] for name, kind in before.items()
    }


DAMAGED: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b'{"format": "session-closer/1"}',
    b"[" * 200_000,
    b'{"format": "session-closer/99"}',
]


def test_a_damaged_receipt_is_no_receipt(store: Store) -> None:
    path = Path(close(store, "topics")["receipt"])
    for raw in DAMAGED:
        path.write_bytes(raw)
        before = tree(store.state)
        for word in (path.stem, "last", str(path)):
            answer = restore(store, word)
            assert (answer.code, answer.error) == (3, "no_receipt"), raw[:40]
        (row,) = restore(store, "--list").data["receipts"]
        assert (row["id"], row["state"], row["path"]) == (path.stem, "damaged", str(path))
        assert tree(store.state) == before


def test_the_last_run_is_not_passed_over_where_its_receipt_is_damaged(store: Store) -> None:
    paths = [Path(close(store, name)["receipt"]) for name in ("topics", "kelly-dashboard", "alpha-review")]
    whole = [path.read_bytes() for path in paths]
    for raw in DAMAGED:
        paths[2].write_bytes(raw)
        before = tree(store.state)
        for words in (["last"], ["last", "--dry-run"], ["last", "--check"]):
            answer = restore(store, *words)
            assert (answer.code, answer.error) == (3, "no_receipt"), raw[:40]
        assert [row["id"] for row in restore(store, "--list").data["receipts"]] == [path.stem for path in paths[::-1]]
        assert tree(store.state) == before
    # One that is older is nobody's last run.
    paths[1].write_bytes(b"")
    paths[2].write_bytes(whole[2])
    assert [row["state"] for row in restore(store, "--list").data["receipts"]] == ["done", "damaged", "done"]
    assert restore(store, "last").rows == [(LEAD + "alpha-review", "restored")]


HOSTILE_JSON: dict[str, Any] = {
    "target outside": lambda data: _move(data, target="../../../../victim.deleted.2016-11-01T00-00-00.000Z"),
    "source outside": lambda data: _move(data, source="../victim"),
    "source is the index": lambda data: _move(
        data, source="sessions.json", target="sessions.json.deleted.2016-11-01T00-00-00.000Z"
    ),
    "other source": lambda data: _move(data, source=f"{session_id('x')}.jsonl"),
    "no number": lambda data: _move(data, size="1"),
    "agent outside": lambda data: data["stores"][0].update(agent="../../outside"),
    "backup outside": lambda data: data["stores"][0].update(backup="../sessions.json.bak-x"),
    "backup is another file": lambda data: data["stores"][0].update(backup="victim"),
    "offset below": lambda data: data["stores"][0]["sessions"][0].update(offset=-1),
    "unknown member": lambda data: data.update(extra=1),
    "key is no text": lambda data: data["stores"][0]["sessions"][0].update(key=7),
    "id is a path": lambda data: data.update(id="../../x"),
    "state is none": lambda data: data.update(state="half"),
    "era is none": lambda data: data["stores"][0].update(era="paper"),
}


def _move(data: dict[str, Any], **change: Any) -> None:
    data["stores"][0]["sessions"][0]["moves"][0].update(change)


def test_a_receipt_that_we_could_not_have_written_moves_nothing(store: Store) -> None:
    write(store.folder() / "victim", "precious")
    path = Path(close(store, "topics")["receipt"])
    good = path.read_bytes()
    for what, change in HOSTILE_JSON.items():
        path.write_bytes(good)
        edit_receipt(store, change)
        before = tree(store.state)
        for word in ("last", path.stem):
            answer = restore(store, word)
            assert (answer.code, answer.error) == (3, "no_receipt"), what
        assert tree(store.state) == before, what
    path.write_bytes(good)
    assert restore(store, "last").rows == [(TOPICS, "restored")]


@pytest.mark.parametrize("key", ["another", "\ud800"])
@pytest.mark.parametrize("changed", [False, True])
def test_a_receipt_whose_key_is_not_that_of_its_entry_brings_nothing_back(
    store: Store, changed: bool, key: str
) -> None:
    close(store, "topics", "kelly-dashboard")
    if changed:
        store.add((LEAD + "new", {"sessionId": session_id("new"), "updatedAt": 1}))
    sessions = store.receipts()[0]["stores"][0]["sessions"]
    (number,) = [number for number, session in enumerate(sessions) if session["key"] == TOPICS]
    edit_receipt(store, lambda data: data["stores"][0]["sessions"][number].update(key=LEAD + key))
    names = {name for name in store.names() if "topic-42" in name}
    answer = restore(store, "last")
    assert answer.code == 1
    assert statuses(answer) == {KELLY: "restored", LEGACY: "restored", LEAD + key: "failed"}
    assert {TOPICS, LEAD + key}.isdisjoint(store.listed())
    assert {name for name in store.names() if "topic-42" in name} == names


def test_the_receipt_of_another_state_directory_is_none_of_this(store: Store, tmp_path: Path) -> None:
    """Even where its archives are here, too: the backup that it names is not."""
    other = build(tmp_path / "other", store.port)
    path = Path(close(other, "topics")["receipt"])
    own = store.state / "session-closer" / "receipts" / path.name
    own.parent.mkdir(mode=0o700, parents=True)
    shutil.copyfile(path, own)
    store.write({key: entry for key, entry in store.entries().items() if key != TOPICS})
    for archive in other.folder().glob("*topic-42.jsonl.deleted.*"):
        shutil.copy2(archive, store.folder())
    for live in store.folder().glob("*topic-42.jsonl"):
        live.unlink()
    before, elsewhere = tree(store.state), tree(other.state)
    for word in ("last", path.stem):
        answer = restore(store, word)
        assert (answer.code, answer.error) == (3, "no_receipt")
        assert str(other.state) in answer.data["error"]["message"] or word == "last"
    assert (tree(store.state), tree(other.state)) == (before, elsewhere)


def test_a_name_that_the_receipt_does_not_have_is_not_found_and_the_rest_comes_back(store: Store) -> None:
    close(store, "alpha", "topics")
    answer = restore(store, "last", "topics", "kelly-dashboard", "agent:project-lead:never-seen")
    assert answer.code == 1
    assert statuses(answer) == {
        TOPICS: "restored",
        "kelly-dashboard": "not_found",
        "agent:project-lead:never-seen": "not_found",
    }
    assert ALPHA not in store.listed()


@pytest.mark.parametrize("word", ["", "..", "a/b", "agent:", "agent:x", "agent:../x:y"])
def test_a_name_that_is_no_session_is_a_usage_error(store: Store, word: str) -> None:
    close(store, "alpha")
    before = tree(store.state)
    answer = restore(store, "last", word)
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(store.state) == before


def test_the_words_of_the_closing_commands_are_no_words_of_this_one(store: Store) -> None:
    close(store, "alpha")
    before = tree(store.state)
    for words in (("last", "--force"), ("last", "--max", "3"), ("last", "--via", "files"), ("--list", "last"), ()):
        assert restore(store, *words).code == 2
    assert tree(store.state) == before
