"""What exists now is never overwritten by a restore: it is a conflict, and the rest comes back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from session_closer.openclaw.files import returnable
from session_closer.operations import apply
from session_closer.operations import restore as restoring
from session_closer.system.disk import Disk
from support.commands import restore
from support.keys import LEAD, session_id
from support.restore import ALPHA, KELLY, LEGACY, MANY, READER, REVIEW, TOPICS, backup_of, close, ends, rows, statuses
from support.stores import Store, picture
from support.trees import tree, write


def in_use_again(store: Store) -> None:
    store.add((KELLY, {"sessionId": session_id("anew"), "updatedAt": 1}))


def transcript_is_there(store: Store) -> None:
    write(ends(store)[0], "somebody else's\n")


def companion_is_there(store: Store) -> None:
    write(ends(store, ending=".trajectory.jsonl")[0], "somebody else's\n")


def link_to_nowhere_is_there(store: Store) -> None:
    ends(store)[0].symlink_to(store.state / "nowhere")


def folder_is_there(store: Store) -> None:
    ends(store)[0].mkdir()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (in_use_again, "in use again"),
        (transcript_is_there, "there again"),
        (companion_is_there, "there again"),
        (link_to_nowhere_is_there, "there again"),
        (folder_is_there, "there again"),
    ],
)
def test_what_exists_now_is_a_conflict_and_the_rest_comes_back(store: Store, spoil: Any, says: str) -> None:
    was = store.entries()
    close(store, "kelly-dashboard", "topics", READER)
    spoil(store)
    spoilt, entry = tree(store.folder()), store.entries().get(KELLY)
    for words in (("--dry-run",), ("--check",), ()):
        answer = restore(store, "last", *words)
        assert answer.code == 1
        fine = "would_restore" if words else "restored"
        assert statuses(answer) == {KELLY: "conflict", LEGACY: fine, TOPICS: fine, READER: fine}
        assert says in rows(answer)[KELLY]["error"]
        assert rows(answer)[KELLY]["ok"] is False
    assert store.entries().get(KELLY) == entry
    assert {key: store.entries()[key] for key in (LEGACY, TOPICS)} == {key: was[key] for key in (LEGACY, TOPICS)}
    now, kelly = tree(store.folder()), was[KELLY]["sessionId"]
    assert {name: now.get(name) for name in spoilt if kelly in name} == {
        name: kind for name, kind in spoilt.items() if kelly in name
    }


def test_a_session_in_conflict_comes_back_when_its_place_is_free_again(store: Store) -> None:
    before = picture(store)
    close(store, *MANY)
    transcript_is_there(store)
    assert restore(store, "last").code == 1
    ends(store)[0].unlink()
    assert statuses(restore(store, "last"))[KELLY] == "restored"
    assert {name: kind for name, kind in picture(store).items() if not name.endswith("sessions.json")} == {
        name: kind for name, kind in before.items() if not name.endswith("sessions.json")
    }


def test_one_that_shares_its_transcript_with_a_conflict_is_not_torn_from_it(store: Store) -> None:
    was = store.entries()
    close(store, ALPHA, REVIEW)
    store.add((ALPHA, {"sessionId": session_id("anew"), "updatedAt": 1}))
    answer = restore(store, "last")
    assert statuses(answer) == {ALPHA: "conflict", REVIEW: "restored"}
    assert store.entries()[REVIEW] == was[REVIEW]
    assert Path(was[REVIEW]["sessionFile"]).is_file()


class Meddling(Disk):
    """A disk on which somebody else writes just ahead of one step."""

    def __init__(self, step: str, write: Any) -> None:
        self.step, self.meddle = step, write

    def rename_new(self, source: str, target: str) -> None:
        if self.step == "rename_new" and ".deleted." in source:
            self.meddle(source, target)
        super().rename_new(source, target)

    def exchange(self, one: str, other: str) -> bool:
        if self.step == "exchange":
            self.meddle(one, other)
        return super().exchange(one, other)


def test_a_transcript_that_appears_in_the_last_moment_is_not_overwritten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(store, "kelly-dashboard", "topics")
    live, archive = ends(store)
    raw = archive.read_bytes()

    def appear(_source: str, target: str) -> None:
        if target == str(live) and not live.exists():
            write(live, "somebody else's\n")

    monkeypatch.setattr(restoring, "Disk", lambda: Meddling("rename_new", appear))
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (1, {KELLY: "conflict", LEGACY: "restored", TOPICS: "restored"})
    assert (live.read_text(), archive.read_bytes()) == ("somebody else's\n", raw)
    assert ends(store, ending=".trajectory.jsonl")[1].is_file()
    assert KELLY not in store.listed()


def test_a_key_that_is_taken_into_use_in_the_last_moment_keeps_what_it_has(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(store, "kelly-dashboard", "topics")
    anew, unrelated = ({"sessionId": session_id(word), "updatedAt": 1} for word in ("anew", "unrelated"))

    def use(_one: str, _other: str) -> None:
        if LEAD + "unrelated" not in store.listed():
            store.add((KELLY, anew), (LEAD + "unrelated", unrelated))

    monkeypatch.setattr(restoring, "Disk", lambda: Meddling("exchange", use))
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (1, {KELLY: "conflict", LEGACY: "restored", TOPICS: "restored"})
    assert (store.entries()[KELLY], store.entries()[LEAD + "unrelated"]) == (anew, unrelated)
    for ending in (".jsonl", ".trajectory.jsonl"):
        live, archive = ends(store, ending=ending)
        assert (live.exists(), archive.is_file()) == (False, True)


def archive_is_written_to(store: Store) -> None:
    archive = ends(store)[1]
    raw, times = archive.read_bytes(), archive.stat()
    archive.write_bytes(raw[:-1] + b"#")
    os.utime(archive, ns=(times.st_atime_ns, times.st_mtime_ns))


def archive_goes(store: Store) -> None:
    ends(store)[1].unlink()


def backup_is_written_to(store: Store) -> None:
    backup = backup_of(store)
    backup.write_bytes(backup.read_bytes().replace(KELLY.encode(), KELLY.upper().encode()))


@pytest.fixture(params=[returnable.LARGE, 0], ids=["each entry is hashed", "backups are hashed as a whole"])
def hashed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have backups looked at either way."""
    monkeypatch.setattr(returnable, "LARGE", request.param)


def entry_in_backup_is_written_to(store: Store) -> None:
    backup = backup_of(store)
    raw = backup.read_bytes()
    at = raw.index(b'"updatedAt":', raw.index(f'"{KELLY}":'.encode())) + len(b'"updatedAt": ')
    backup.write_bytes(raw[:at] + b"9" + raw[at + 1 :])


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_what_a_backup_does_not_hold_any_more_stays_away_and_all_else_is_back(
    store: Store, words: tuple[str, ...]
) -> None:
    gone = close(store, *set(store.listed()) - {LEAD + "main"})["results"]
    assert store.listed() == [LEAD + "main"]
    entry_in_backup_is_written_to(store)
    answer = restore(store, "last", *words)
    back = "would_restore" if words else "restored"
    assert (answer.code, statuses(answer)) == (1, {one["key"]: back for one in gone} | {KELLY: "failed"})
    assert "is not what it was" in rows(answer)[KELLY]["error"]


@pytest.mark.usefixtures("hashed")
def test_a_backup_that_cannot_be_read_is_told_of_each(store: Store) -> None:
    gone = close(store, *set(store.listed()) - {LEAD + "main"})["results"]
    backup_of(store).unlink()
    answer = restore(store, "last", "--dry-run")
    assert (answer.code, statuses(answer)) == (1, {one["key"]: "failed" for one in gone})


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_an_entry_that_is_another_session_s_does_not_come_back(store: Store, words: tuple[str, ...]) -> None:
    data = close(store, *set(store.listed()) - {LEAD + "main"})
    receipt = Path(data["receipt"])
    told = json.loads(receipt.read_text())
    sessions = {one["key"]: one for one in told["stores"][0]["sessions"]}
    place = {name: sessions[TOPICS][name] for name in ("offset", "length", "sha256")}
    sessions[KELLY].update(place)
    receipt.write_text(json.dumps(told))
    answer = restore(store, "last", *words)
    back = "would_restore" if words else "restored"
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(sessions, back) | {KELLY: "failed"})
    assert "another session's" in rows(answer)[KELLY]["error"]


@pytest.mark.usefixtures("hashed")
@pytest.mark.parametrize(
    ("spoil", "ended", "says"),
    [
        (in_use_again, "conflict", "in use again"),
        (transcript_is_there, "conflict", "there again"),
        (archive_is_written_to, "failed", "does not hold what was archived"),
        (archive_goes, "failed", "is gone"),
        (backup_is_written_to, "failed", "is not what it was"),
        (entry_in_backup_is_written_to, "failed", "is not what it was"),
    ],
)
def test_what_changes_between_the_look_and_the_lock_is_seen_under_the_lock(
    store: Store, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Store], None], ended: str, says: str
) -> None:
    close(store, "kelly-dashboard", "topics")
    real = apply.locked
    left: list[Any] = []

    @contextmanager
    def late(*held: Any) -> Iterator[None]:
        spoil(store)
        left.append(tree(store.folder()))
        with real(*held):
            yield

    monkeypatch.setattr(apply, "locked", late)
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)[KELLY]) == (1, ended)
    assert says in rows(answer)[KELLY]["error"]
    # What lies in the place of its files, or is left of them, is as it was found.
    found = {path: left[0].get(str(path.relative_to(store.folder()))) for path in ends(store)}
    now = tree(store.folder())
    assert found == {path: now.get(str(path.relative_to(store.folder()))) for path in ends(store)}


def test_a_transcript_that_another_close_puts_away_in_between_comes_back_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript = Path(store.entries()[ALPHA]["sessionFile"])
    before = transcript.read_bytes()
    close(store, "alpha")
    assert transcript.exists()
    real = apply.locked
    first: list[str] = ["alpha-review"]

    @contextmanager
    def late(*held: Any) -> Iterator[None]:
        while first:
            close(store, first.pop())
        with real(*held):
            yield

    monkeypatch.setattr(apply, "locked", late)
    runs = [each["id"] for each in store.receipts()]
    answer = restore(store, *runs)
    assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")])
    assert transcript.read_bytes() == before


def test_where_everything_is_in_conflict_nothing_is_changed(store: Store) -> None:
    close(store, "topics")
    store.add((TOPICS, {"sessionId": session_id("anew"), "updatedAt": 1}))
    before = tree(store.state)
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (1, [(TOPICS, "conflict")])
    assert tree(store.state) == before
