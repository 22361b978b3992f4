"""restore-sessions over file stores: what comes back, what stands in its way, and that nothing is overwritten."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.sqlite import importer as importing
from session_closer.operations import restore as restoring
from session_closer.system.disk import Disk
from support.commands import Answer, one_document, run, run_json, run_process
from support.gateway import StubGateway, StubOpenClaw
from support.interrupted import Killed, KilledDisk, interrupt
from support.keys import LEAD, RESEARCHER, session_id
from support.programs import LIB
from support.service import Service
from support.sqlite import CRON_RUN, Bases, build_sqlite, packed, reset, unpacked
from support.stores import TOKEN, Stage, Store, build
from support.trees import tree, write

KELLY, LEGACY = LEAD + "kelly-dashboard", LEAD + "project-kelly-dashboard"
ALPHA, REVIEW, TOPICS = LEAD + "alpha", LEAD + "alpha-review", LEAD + "topics"
NIGHTLY, NIGHTLY_RUN = LEAD + "cron:nightly", LEAD + "cron:nightly:run:7f3a"
READER = "agent:researcher:kelly-dashboard"
# Companions, topics, a legacy and a bare key, an older transcript, a shared one, none at all, two agents.
MANY = ("kelly-dashboard", "topics", "invoices", "after-reset", ALPHA, REVIEW, "never-spoken", READER)
MANY_KEYS = {KELLY, LEGACY, TOPICS, "project-invoices", LEAD + "after-reset", ALPHA, REVIEW,
             LEAD + "never-spoken", READER}  # fmt: skip
BIN = LIB.parent / "bin"


pytestmark = pytest.mark.usefixtures("no_power_is_cut")


def close(store: Store, *words: str) -> dict[str, Any]:
    """Close sessions; the answer, all of it closed."""
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert answer.code == 0, answer
    return answer.data


def restore(store: Store, *words: str) -> Answer:
    return run_json(RestoreSessions, *words, state=store.state)


def rows(answer: Answer) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in answer.data["results"]}


def statuses(answer: Answer) -> dict[str, str]:
    return dict(answer.rows)


def receipt_of(store: Store, data: dict[str, Any]) -> str:
    """Return the id of the receipt of an answer, which is there."""
    path = Path(data["receipt"])
    assert path.parent == store.state / "session-closer" / "receipts"
    return path.stem


def picture(store: Store) -> dict[str, tuple[Any, ...]]:
    """Return what is in the agents' folders but backups: names, modes, content; times of all but the indexes."""
    found = {}
    for name, (mode, time, content) in tree(store.state / "agents").items():
        if ".bak-" not in name:
            changes = stat.S_ISDIR(mode) or name.endswith("sessions.json")
            found[name] = (mode, None if changes else time, content)
    return found


def ends(store: Store, key: str = KELLY, ending: str = ".jsonl") -> tuple[Path, Path]:
    """Return the live name and the archive of that file of a closed session which has this behind its id."""
    (session,) = [s for each in store.receipts()[0]["stores"] for s in each["sessions"] if s["key"] == key]
    (found,) = [move for move in session["moves"] if move["source"] == session["sessionId"] + ending]
    folder = store.folder(key.split(":")[1])
    return folder / found["source"], folder / found["target"]


def edit_receipt(store: Store, change: Any) -> Path:
    """Rewrite the only receipt; return its path."""
    (path,) = (store.state / "session-closer" / "receipts").iterdir()
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))
    return path


# What comes back


def test_a_restore_after_a_close_is_the_identity(store: Store) -> None:
    """Two agents, companions, topics, shared and older transcripts: each byte, mode and time is as it was."""
    before = picture(store)
    closed = close(store, *MANY)
    assert {row["key"] for row in closed["results"]} == MANY_KEYS
    assert picture(store) != before
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "restored"))
    assert picture(store) == before
    assert store.open_runs() == []


def test_the_answer_names_stores_backups_receipt_and_undo(store: Store) -> None:
    close(store, "alpha", READER)
    closed = store.index().read_bytes()
    answer = restore(store, "last")
    data = answer.data
    assert (data["ok"], data["operation"], data["dryRun"], data["error"]) == (True, "restore-sessions", False, None)
    assert data["restart"]["result"] == "nothing-to-restart"
    assert {(found["agent"], found["era"]) for found in data["stores"]} == {
        ("project-lead", "files"),
        ("researcher", "files"),
    }
    (lead,) = [found for found in data["stores"] if found["agent"] == "project-lead"]
    assert Path(lead["backup"]).read_bytes() == closed
    assert stat.S_IMODE(Path(lead["backup"]).stat().st_mode) == 0o600
    name = receipt_of(store, data)
    assert data["undo"].endswith(f" {name}")
    assert store.receipts()[-1]["operation"] == "restore-sessions"
    assert {s["status"] for each in store.receipts()[-1]["stores"] for s in each["sessions"]} == {"restored"}


def test_entries_come_back_with_equal_values_where_something_else_has_changed(store: Store) -> None:
    before = store.entries()
    close(store, "kelly-dashboard", "topics")
    text = store.index().read_bytes()
    rest = text.replace(b'"chatType": "direct"', b'"chatType":   "channel"')
    assert rest != text
    write(store.index(), rest)
    assert restore(store, "last").code == 0
    after = store.index().read_bytes()
    assert after.startswith(rest.rstrip().removesuffix(b"}").rstrip())
    before[ALPHA]["chatType"] = "channel"
    assert store.entries() == before
    assert store.listed()[-3:] == [KELLY, LEGACY, TOPICS]


def test_what_a_person_reads(store: Store) -> None:
    close(store, "alpha", "topics")
    result = run(RestoreSessions, "last", state=store.state)
    assert (result.code, result.stderr) == (0, "")
    assert result.stdout.startswith("2 restored\n")
    assert f"  restored  {ALPHA}" in result.stdout
    assert "receipt  " in result.stdout
    assert "undo     restore-sessions --state-dir " in result.stdout


@pytest.mark.parametrize("word", [KELLY, TOPICS, "topics"])
def test_only_what_was_named_comes_back(store: Store, word: str) -> None:
    before, names = store.entries(), store.names()
    close(store, "kelly-dashboard", "topics", READER)
    answer = restore(store, "last", word)
    key = word if word.startswith("agent:") else TOPICS
    assert (answer.code, answer.rows) == (0, [(key, "restored")])
    gone = {KELLY, LEGACY, TOPICS} - {key}
    assert store.entries() == {name: value for name, value in before.items() if name not in gone}
    ids = {before[name]["sessionId"] for name in gone}
    left = {name for name in names if any(name.startswith(found) for found in ids)}
    assert left
    assert names - store.names() == left
    assert READER not in store.listed("researcher")


def test_a_project_id_stands_for_all_its_sessions_of_every_agent(store: Store) -> None:
    close(store, "kelly-dashboard", "topics", READER)
    answer = restore(store, "last", "kelly-dashboard")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((KELLY, LEGACY, READER), "restored"))
    assert {row["input"] for row in answer.data["results"]} == {"kelly-dashboard"}
    assert TOPICS not in store.listed()


def test_what_was_left_is_brought_back_by_the_same_receipt_later(store: Store) -> None:
    before = picture(store)
    name = receipt_of(store, close(store, *MANY))
    assert restore(store, name, "topics").code == 0
    answer = restore(store, name)
    assert answer.code == 0
    assert statuses(answer) == dict.fromkeys(MANY_KEYS, "restored") | {TOPICS: "already_restored"}
    assert picture(store) == before


def test_a_transcript_of_two_sessions_comes_back_with_the_first_and_serves_the_second(store: Store) -> None:
    before = picture(store)
    close(store, ALPHA, REVIEW)
    for key in (REVIEW, ALPHA):
        answer = restore(store, "last", key)
        assert (answer.code, answer.rows) == (0, [(key, "restored")])
        assert Path(store.entries()[key]["sessionFile"]).is_file()
    assert picture(store) == before


def test_a_transcript_that_went_on_since_the_first_came_back_serves_the_second(store: Store) -> None:
    was = store.entries()
    close(store, ALPHA, REVIEW)
    assert restore(store, "last", ALPHA).code == 0
    path = Path(was[ALPHA]["sessionFile"])
    write(path, path.read_text() + "more\n")
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, {ALPHA: "already_restored", REVIEW: "restored"})
    assert store.entries()[REVIEW] == was[REVIEW]
    assert path.read_text().endswith("more\n")


def test_a_transcript_that_stayed_with_another_session_is_not_touched(store: Store) -> None:
    before = picture(store)
    close(store, ALPHA)
    assert restore(store, "last").rows == [(ALPHA, "restored")]
    assert picture(store) == before


def test_receipts_that_are_restored_from_the_latest_on_lead_back_byte_for_byte(store: Store) -> None:
    before = picture(store)
    names = [receipt_of(store, close(store, *words)) for words in (("kelly-dashboard", "topics"), (ALPHA, REVIEW))]
    for name in reversed(names):
        assert restore(store, name).code == 0
    assert picture(store) == before


def test_an_earlier_receipt_is_restored_beside_later_ones(store: Store) -> None:
    before, names = store.entries(), store.names()
    first = receipt_of(store, close(store, "kelly-dashboard", "topics"))
    second = receipt_of(store, close(store, ALPHA, REVIEW))
    assert restore(store, first).code == 0
    assert set(before) - set(store.listed()) == {ALPHA, REVIEW}
    assert restore(store, second).code == 0
    assert store.entries() == before
    assert {name for name in store.names() if ".bak-" not in name} == names


def test_a_session_that_was_closed_twice_comes_back_as_it_was_each_time(store: Store) -> None:
    old = store.entries()[TOPICS]
    first = receipt_of(store, close(store, "topics"))
    new = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.add((TOPICS, new))
    second = receipt_of(store, close(store, "topics"))
    assert restore(store, second).rows == [(TOPICS, "restored")]
    assert store.entries()[TOPICS] == new
    assert restore(store, first).rows == [(TOPICS, "conflict")]
    assert close(store, "topics")
    assert restore(store, first).rows == [(TOPICS, "restored")]
    assert store.entries()[TOPICS] == old


def test_a_second_restore_finds_everything_there_and_changes_nothing(store: Store) -> None:
    close(store, *MANY)
    assert restore(store, "last").code == 0
    before = tree(store.state)
    answer = restore(store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "already_restored"))
    assert (answer.data["receipt"], answer.data["undo"]) == (None, None)
    assert tree(store.state) == before


def test_a_custom_index_gets_its_entries_back(store: Store) -> None:
    place = store.state / "stores"
    place.mkdir(mode=0o700)
    store.configure(session={"store": str(place / "{agentId}.json")})
    for agent in ("main", "project-lead", "researcher"):
        shutil.move(store.index(agent), place / f"{agent}.json")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    close(store, "kelly-dashboard", READER)
    assert restore(store, "last").code == 0
    assert {path.name: path.read_bytes() for path in place.iterdir() if ".bak-" not in path.name} == before
    assert Path(json.loads(before["project-lead.json"])[KELLY]["sessionFile"]).is_file()


# Undo of a restore


def test_the_receipt_of_a_restore_closes_again_what_it_brought_back(store: Store) -> None:
    close(store, *MANY)
    closed = {name: kind for name, kind in picture(store).items() if "sessions/" in name}
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again)
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS, "closed"))
    now = {name: kind for name, kind in picture(store).items() if "sessions/" in name}
    assert {name for name in now if name.endswith((".jsonl", ".json"))} == {
        name for name in closed if name.endswith((".jsonl", ".json"))
    }
    for agent in ("project-lead", "researcher"):
        index = f"{agent}/sessions/sessions.json"
        assert now[index][2] == closed[index][2]
    assert statuses(restore(store, "last")) == dict.fromkeys(MANY_KEYS, "restored")


def test_undoing_a_restore_closes_only_what_was_named(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again, TOPICS)
    assert (answer.code, answer.rows) == (0, [(TOPICS, "closed")])
    assert ALPHA in store.listed()


def test_undoing_a_restore_takes_project_ids_and_tells_unknown_names(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    answer = restore(store, again, "topics", "typo")
    assert answer.code == 1
    assert [row["status"] for row in answer.data["results"]] == ["closed", "not_found"]
    assert TOPICS not in store.listed()
    assert ALPHA in store.listed()


def test_undoing_a_restore_leaves_a_session_that_is_new_since(store: Store) -> None:
    close(store, "alpha", "topics")
    again = receipt_of(store, restore(store, "last").data)
    anew = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.write({**store.entries(), TOPICS: anew})
    answer = restore(store, again)
    assert (answer.code, statuses(answer)) == (1, {ALPHA: "closed", TOPICS: "conflict"})
    assert store.entries()[TOPICS] == anew


def test_last_is_never_a_restore(store: Store) -> None:
    close(store, "alpha")
    restored = receipt_of(store, restore(store, "last").data)
    assert restored == store.receipts()[-1]["id"]
    assert restore(store, "last").rows == [(ALPHA, "already_restored")]
    assert ALPHA in store.listed()


# Conflicts


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


def test_where_everything_is_in_conflict_nothing_is_changed(store: Store) -> None:
    close(store, "topics")
    store.add((TOPICS, {"sessionId": session_id("anew"), "updatedAt": 1}))
    before = tree(store.state)
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (1, [(TOPICS, "conflict")])
    assert tree(store.state) == before


# Archives and backups that are not what they were


def size(store: Store) -> None:
    with ends(store)[1].open("a") as file:
        file.write("more\n")


def content(store: Store) -> None:
    path = ends(store)[1]
    status, raw = path.stat(), path.read_bytes()
    path.write_bytes(raw.swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def purged(store: Store) -> None:
    ends(store)[1].unlink()


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


def backup_of(store: Store) -> Path:
    (found,) = store.backups()
    return found


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


# Which receipt


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


# --dry-run, --check, --list


@pytest.mark.parametrize("word", ["--dry-run", "--check"])
def test_a_look_leaves_every_byte_as_it_is_and_says_what_the_real_run_does(store: Store, word: str) -> None:
    close(store, *MANY)
    before = tree(store.state)
    answer = restore(store, word, "last", "topics", READER)
    assert tree(store.state) == before
    assert (answer.code, statuses(answer)) == (0, {TOPICS: "would_restore", READER: "would_restore"})
    assert (answer.data["dryRun"], answer.data["receipt"], answer.data["undo"]) == (True, None, None)
    assert statuses(restore(store, "last", "topics", READER)) == {TOPICS: "restored", READER: "restored"}


DAY = timedelta(days=1)
MAINTENANCE: list[tuple[dict[str, Any] | None, timedelta | None]] = [
    (None, 30 * DAY),
    ({}, 30 * DAY),
    ({"pruneAfter": "7d"}, 7 * DAY),
    ({"pruneAfter": 3}, 3 * DAY),
    ({"pruneDays": 7}, 7 * DAY),
    ({"pruneAfter": "3d", "pruneDays": 7}, 3 * DAY),
    ({"pruneAfter": "soon", "pruneDays": 7}, 30 * DAY),
    ({"resetArchiveRetention": "soon", "pruneAfter": "7d"}, 7 * DAY),
    ({"resetArchiveRetention": "1d12h"}, 1.5 * DAY),
    ({"resetArchiveRetention": "12h"}, DAY / 2),
    ({"resetArchiveRetention": "2w", "pruneAfter": "7d"}, 14 * DAY),
    ({"resetArchiveRetention": False}, None),
    ({"resetArchiveRetention": False, "pruneAfter": "7d"}, None),
    ({"mode": "enforce", "pruneAfter": "7d"}, 7 * DAY),
    ({"mode": "warn"}, None),
    ({"mode": "warn", "resetArchiveRetention": "12h"}, None),
]


def test_check_says_until_when_openclaw_keeps_the_archives(store: Store) -> None:
    close(store, "topics", "never-spoken")
    stamp = next(iter(store.folder().glob("*topic-42.jsonl.deleted.*"))).name.rpartition(".deleted.")[2]
    archived = datetime.strptime(stamp + "+0000", "%Y-%m-%dT%H-%M-%S.%fZ%z")
    for maintenance, kept in MAINTENANCE:
        if maintenance is not None:
            store.configure(session={"maintenance": maintenance})
        answer = restore(store, "last", "--check")
        assert answer.code == 0
        assert "until" not in rows(answer)[LEAD + "never-spoken"]
        until = rows(answer)[TOPICS].get("until")
        end = None if kept is None else (archived + kept).replace(microsecond=0)
        assert (until and datetime.fromisoformat(until)) == end, maintenance
        assert ("until " in run(RestoreSessions, "last", "--check", state=store.state).stdout) is (kept is not None)


def test_check_of_what_is_back_or_lost_says_so(store: Store) -> None:
    close(store, "topics", "kelly-dashboard")
    purged(store)
    assert restore(store, "last", "topics").code == 0
    answer = restore(store, "last", "--check")
    assert answer.code == 1
    assert statuses(answer) == {KELLY: "failed", LEGACY: "would_restore", TOPICS: "already_restored"}


LIST_ROW = {"id", "operation", "state", "startedAt", "reason", "agents", "sessions", "closed", "restored", "path"}


def test_the_list_shows_every_receipt_newest_first_and_runs_that_were_interrupted(store: Store) -> None:
    assert restore(store, "--list").data["receipts"] == []
    assert run(RestoreSessions, "--list", state=store.state).stdout == "no receipts\n"
    one = receipt_of(store, close(store, "topics", READER, "--reason", "spring \x1b[31mcleaning"))
    two = receipt_of(store, restore(store, "last", "--reason", "regret").data)
    interrupt(store, "alpha", committed=True)
    (three,) = store.open_runs()
    before = tree(store.state)
    answer = restore(store, "--list")
    found = answer.data["receipts"]
    assert (answer.code, answer.data["results"], answer.data["error"]) == (0, [], None)
    assert [row["id"] for row in found] == [three, two, one]
    assert all(set(row) == LIST_ROW for row in found)
    assert [row["state"] for row in found] == ["interrupted", "done", "done"]
    assert [row["closed"] for row in found] == [0, 0, 2]
    assert [row["restored"] for row in found] == [0, 2, 2]
    assert [row["sessions"] for row in found] == [1, 2, 2]
    assert [row["reason"] for row in found] == [None, "regret", "spring \x1b[31mcleaning"]
    ran = ["close-project-batch", "restore-sessions", "close-project-batch"]
    assert [row["operation"] for row in found] == ran
    assert found[2]["agents"] == ["project-lead", "researcher"]
    assert [Path(row["path"]).is_file() for row in found] == [True, True, True]
    shown = run(RestoreSessions, "--list", state=store.state).stdout
    assert [line.split()[0] for line in shown.splitlines()] == [three, two, one]
    ended = [re.split("  +", line)[2] for line in shown.splitlines()]
    assert ended == ["interrupted", "2 restored", "2 of 2 closed, 2 back"]
    assert "\x1b" not in shown
    assert tree(store.state) == before


def test_a_long_list_is_cut_for_people(store: Store) -> None:
    path = Path(close(store, "topics")["receipt"])
    data = json.loads(path.read_bytes())
    for number in range(30):
        name = f"20151121T0640{number:02}.544Z-c21858e1"
        path.with_name(f"{name}.json").write_text(json.dumps({**data, "id": name}))
    assert len(restore(store, "--list").data["receipts"]) == 31
    shown = run(RestoreSessions, "--list", state=store.state).stdout.splitlines()
    assert len(shown) < 31
    assert "11 more" in shown[-1]
    assert len(run(RestoreSessions, "--list", "--verbose", state=store.state).stdout.splitlines()) == 31


# After a run that was cut off


@pytest.mark.parametrize("committed", [False, True])
def test_an_interrupted_close_is_finished_before_anything_is_restored(store: Store, committed: bool) -> None:
    before = picture(store)
    interrupt(store, "kelly-dashboard", "topics", committed=committed)
    answer = restore(store, "last")
    assert store.open_runs() == []
    if committed:
        assert (answer.code, statuses(answer)) == (0, dict.fromkeys((KELLY, LEGACY, TOPICS), "restored"))
    else:
        assert (answer.code, answer.error) == (3, "no_receipt")
    assert picture(store) == before


def test_an_interrupted_run_of_another_agent_that_cannot_be_finished_stops_no_restore(store: Store) -> None:
    close(store, "topics")
    interrupt(store, READER, committed=True)
    store.index("researcher").write_bytes(b"")
    answer = restore(store, "last")
    assert (answer.code, answer.rows) == (0, [(TOPICS, "restored")])
    assert store.index("researcher").read_bytes() == b""


@pytest.mark.parametrize(
    ("step", "after"), [("set_times", True), ("exchange", False), ("exchange", True), ("remove_folder", False)]
)
def test_an_interrupted_restore_is_finished_by_the_same_command(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    before = picture(store)
    close(store, "kelly-dashboard", "topics")
    with monkeypatch.context() as patched:
        patched.setattr(restoring, "Disk", lambda: KilledDisk(step, after=after))
        with pytest.raises(Killed):
            restore(store, "last")
    assert store.open_runs()
    answer = restore(store, "last")
    assert answer.code == 0
    assert set(statuses(answer).values()) <= {"restored", "already_restored"}
    assert picture(store) == before
    assert store.open_runs() == []


def test_a_dry_run_finishes_nothing(store: Store) -> None:
    close(store, "alpha")
    interrupt(store, "topics", committed=True)
    before = tree(store.state)
    for words in (("last",), store.open_runs()):
        for look in ("--dry-run", "--check"):
            answer = restore(store, *words, look)
            assert (answer.code, answer.error) == (3, "interrupted_run")
            assert store.open_runs()[0] in answer.data["error"]["message"]
    older = restore(store, store.receipts()[0]["id"], "--dry-run")
    assert older.rows == [(ALPHA, "would_restore")]
    assert [line.partition(" was interrupted")[0] for line in older.data["warnings"]] == [f"run {store.open_runs()[0]}"]
    assert tree(store.state) == before


# The gateway


def test_below_a_running_gateway_the_file_is_edited_and_it_is_restarted_once(
    served: Store, openclaw: StubOpenClaw
) -> None:
    before = served.entries()
    close(served, "kelly-dashboard", "topics")
    assert openclaw.calls("restart") == []
    answer = restore(served, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((KELLY, LEGACY, TOPICS), "restored"))
    assert answer.data["restart"] == {**answer.data["restart"], "needed": True, "ok": True, "result": "restarted"}
    assert len(openclaw.calls("restart")) == 1
    assert served.entries() == before
    assert served.receipts()[-1]["restart"]["done"] is True


def test_several_agents_below_a_gateway_need_one_restart(served: Store, openclaw: StubOpenClaw) -> None:
    close(served, "topics", READER)
    assert restore(served, "last").code == 0
    assert len(openclaw.calls("restart")) == 1
    assert restore(served, "last").data["restart"]["result"] == "not-needed"
    assert len(openclaw.calls("restart")) == 1


def test_no_restart_leaves_it_out_and_says_so(served: Store, openclaw: StubOpenClaw) -> None:
    close(served, "topics")
    answer = restore(served, "last", "--no-restart")
    assert (answer.code, answer.rows) == (0, [(TOPICS, "restored")])
    assert answer.data["restart"] == {**answer.data["restart"], "needed": True, "ok": None, "result": "left-out"}
    assert "openclaw gateway restart" in answer.stderr
    assert openclaw.calls("restart") == []


def test_a_restart_that_fails_is_exit_1_and_the_session_is_back(served: Store, openclaw: StubOpenClaw) -> None:
    close(served, "topics")
    openclaw.answers("restart", {"ok": True, "result": "not-loaded"})
    answer = restore(served, "last")
    assert (answer.code, answer.rows) == (1, [(TOPICS, "restored")])
    assert answer.data["restart"]["ok"] is False
    assert TOPICS in served.listed()


def test_a_look_below_a_gateway_restarts_nothing(served: Store, openclaw: StubOpenClaw) -> None:
    close(served, "topics")
    before = tree(served.state)
    for word in ("--dry-run", "--check"):
        assert restore(served, "last", word).rows == [(TOPICS, "would_restore")]
    assert tree(served.state) == before
    assert openclaw.calls("restart") == []


def test_where_nobody_can_tell_whether_a_gateway_runs_nothing_is_restored(
    stage: Stage, stub: StubGateway, tmp_path: Path
) -> None:
    store = stage("unknown")
    assert run_json(CloseProjectBatch, "--via", "files", "topics", state=store.state).code == 0
    before = tree(store.state)
    for words in ((), ("--dry-run",)):
        answer = restore(store, "last", *words)
        assert (answer.code, answer.error) == (6, "gateway_needed")
    assert restore(store, "last", "--check").rows == [(TOPICS, "would_restore")]
    assert tree(store.state) == before


# What a close without a receipt left


def leave_over(store: Store, *words: str) -> Path:
    """Close sessions and forget the receipt; return the backup."""
    close(store, *words)
    shutil.rmtree(store.state / "session-closer")
    return backup_of(store)


def test_a_backup_without_a_receipt_brings_back_what_the_store_has_no_more(store: Store) -> None:
    before = picture(store)
    backup = leave_over(store, *(word for word in MANY if word != READER))
    answer = restore(store, str(backup))
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(MANY_KEYS - {READER}, "restored"))
    assert picture(store) == before
    again = restore(store, receipt_of(store, answer.data))
    assert set(statuses(again).values()) == {"closed"}


def test_of_a_backup_only_what_was_named_comes_back(store: Store) -> None:
    backup = leave_over(store, "kelly-dashboard", "topics")
    answer = restore(store, str(backup), "topics", "never-seen")
    assert (answer.code, statuses(answer)) == (1, {TOPICS: "restored", "never-seen": "not_found"})
    assert KELLY not in store.listed()


def test_a_backup_never_overwrites_what_is_there_now(store: Store) -> None:
    backup = leave_over(store, "kelly-dashboard", "topics")
    anew = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.add((KELLY, anew))
    answer = restore(store, str(backup))
    assert statuses(answer) == {LEGACY: "restored", TOPICS: "restored"}
    assert store.entries()[KELLY] == anew


def test_a_backup_whose_archives_are_gone_fails_or_comes_back_without_them(store: Store) -> None:
    was = store.entries()[TOPICS]
    backup = leave_over(store, "topics")
    for path in store.folder().glob("*topic-42.jsonl.deleted.*"):
        path.unlink()
    answer = restore(store, str(backup))
    assert answer.rows == [(TOPICS, "restored")]
    assert store.entries()[TOPICS] == was


@pytest.mark.parametrize("kind", ["receipt", "index", "elsewhere", "foreign", "missing", "torn", "link"])
def test_a_file_that_is_no_backup_of_this_state_directory_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    backup = leave_over(store, "topics")
    other = build(tmp_path / "other", store.port)
    paths = {
        "receipt": store.state / "openclaw.json",
        "index": store.index(),
        "elsewhere": tmp_path / backup.name,
        "foreign": other.folder() / backup.name,
        "missing": backup.with_name("sessions.json.bak-2016-01-01T00-00-00.000Z"),
        "torn": backup.with_name("sessions.json.bak-torn"),
        "link": tmp_path / "sessions.json.bak-link",
    }
    for copy in ("elsewhere", "foreign"):
        shutil.copyfile(backup, paths[copy])
    paths["torn"].write_bytes(backup.read_bytes()[:-30])
    paths["link"].symlink_to(paths["elsewhere"])
    before = tree(tmp_path)
    answer = restore(store, str(paths[kind]))
    assert answer.code == 3
    assert answer.error in ("no_receipt", "corrupt_store", "unreadable", "link")
    assert tree(tmp_path) == before


# The command that a close prints


@pytest.mark.parametrize("name", ["state", 'it\'s a "state" dir; $HOME `x` ñ', "tab\tand\nnewline"])
def test_the_undo_that_a_close_prints_works_in_a_shell(tmp_path: Path, closed_port: int, name: str) -> None:
    store = build(tmp_path / name, closed_port)
    before = picture(store)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-B", str(BIN / "close-project"), "--json", "--state-dir", str(store.state), "topics"]
    closed = subprocess.run(words, env=environ, capture_output=True, text=True, check=True)
    undo = json.loads(closed.stdout)["undo"]
    assert undo.isprintable()
    assert shlex.split(undo)[0] == str(BIN / "restore-sessions")
    # A script of the checkout is started by the Python on PATH, which has our dependencies here.
    place = tmp_path / "path"
    place.mkdir()
    (place / "python3").symlink_to(sys.executable)
    environ["PATH"] = os.pathsep.join([str(place), environ["PATH"]])
    shell = shutil.which("bash") or "/bin/bash"
    done = subprocess.run([shell, "-c", undo], env=environ, capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stderr
    assert "1 restored" in done.stdout
    assert picture(store) == before


@pytest.mark.parametrize("config", [False, True])
def test_the_undo_that_a_close_prints_needs_no_environment(tmp_path: Path, closed_port: int, config: bool) -> None:
    store = build(tmp_path / "state", closed_port)
    named = {"OPENCLAW_STATE_DIR": str(store.state)}
    if config:
        moved = store.state / "sessions of {agentId}.json"
        named["OPENCLAW_CONFIG_PATH"] = str(tmp_path / "elsewhere.json")
        settings = json.loads((store.state / "openclaw.json").read_text())
        settings["session"] = {"store": str(moved)}
        (tmp_path / "elsewhere.json").write_text(json.dumps(settings))
        for agent in store.state.joinpath("agents").iterdir():
            store.index(agent.name).rename(str(moved).format(agentId=agent.name))
    closed = run_process("close-project", "--json", "topics", env=named)
    undo = shlex.split(one_document(closed.stdout)["undo"])
    assert closed.code == 0
    # From where the environment says nothing; the words themselves may set some of it.
    at = undo.index("restore-sessions")
    environ = dict(word.split("=", 1) for word in undo[1:at])
    assert (undo[:at] == []) is not config
    done = run_process("restore-sessions", *undo[at + 1 :], env=environ)
    assert done.stdout.startswith("1 restored\n"), done.stderr


# Sessions in SQLite


BETA, GAMMA, PUT_AWAY, SILENT = LEAD + "beta", RESEARCHER + "gamma", LEAD + "put-away", LEAD + "never-spoken"
ROWS = (ALPHA, BETA, CRON_RUN, SILENT, GAMMA)
# One of them was archived before it was deleted.
DELETED = (*ROWS, PUT_AWAY)


class Down(NamedTuple):
    """Databases whose gateway was stopped after it had deleted sessions."""

    bases: Bases
    service: Service
    closed: Answer
    before: dict[str, Any]

    @property
    def store(self) -> Store:
        return self.bases.store

    def archive(self, key: str) -> Path:
        """Return the archive of a session's transcript."""
        name = self.before["project-lead"][0][key][0]["sessionId"]
        (found,) = [path for path in self.bases.archives() if path.name.startswith(name)]
        return found

    def files(self, agent: str = "project-lead") -> set[str]:
        """Return what lies in an agent's sessions folder but archives."""
        return {name for name in self.store.names(agent) if ".jsonl.deleted." not in name}


def held(bases: Bases) -> dict[str, Any]:
    """Return the entries and the transcripts of all agents: an importer may write an entry's text anew."""
    return {
        agent: (
            {key: (json.loads(row["entry_json"]), row["archived_at"]) for key, row in bases.rows(agent).items()},
            bases.events(agent),
        )
        for agent in ("project-lead", "researcher")
    }


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases with a gateway that runs."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


@pytest.fixture
def service(bases: Bases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The command of a gateway that is a service, at a port of its own; it does not run yet."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Service(tmp_path / "service", bases.store.state, TOKEN, port)
    monkeypatch.setenv("PATH", os.pathsep.join([str(made.folder), os.environ["PATH"]]))
    monkeypatch.setattr(importing, "_PAUSE", 0.02)
    yield made
    made.tell(stop=None)
    if made.pid is not None:
        made.run("gateway", "stop")


@pytest.fixture
def down(bases: Bases, stub: StubGateway, service: Service) -> Down:
    before = held(bases)
    closed = run_json(CloseProjectBatch, "--delete", *DELETED, state=bases.store.state)
    assert closed.code == 0
    # From here on the gateway is the service's, and that does not run.
    bases.store.port = service.port
    bases.store.configure()
    assert stub.lock is not None
    stub.lock.unlink()
    return Down(bases, service, closed, before)


def test_an_archived_row_is_taken_out_of_the_archive_by_the_running_gateway(bases: Bases, stub: StubGateway) -> None:
    before = held(bases)
    closed = run_json(CloseProjectBatch, "--archive", *ROWS, state=bases.store.state)
    assert set(statuses(closed).values()) == {"archived"}
    look = run_json(RestoreSessions, "last", "--dry-run", state=bases.store.state)
    assert statuses(look) == dict.fromkeys(ROWS, "would_restore")
    answer = restore(bases.store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(ROWS, "restored"))
    assert answer.data["restart"]["result"] == "not-needed"
    after = held(bases)
    for agent, (entries, events) in before.items():
        assert after[agent][1] == events
        for key, (entry, archived_at) in entries.items():
            found, now = after[agent][0][key]
            assert ({**found, "updatedAt": 0}, now) == ({**entry, "updatedAt": 0}, archived_at)
    asked = [(target["key"], target["expectedSessionId"]) for call in stub.calls("sessions.patchMany")[-2:]
             for target in call["targets"] if call["patch"] == {"archived": False}]  # fmt: skip
    assert {key for key, _ in asked} == set(ROWS)
    assert all(expected == before[key.split(":")[1]][0][key][0]["sessionId"] for key, expected in asked)
    second = restore(bases.store, "last")
    assert (second.code, statuses(second)) == (0, dict.fromkeys(ROWS, "already_restored"))


def test_the_receipt_of_a_restore_closes_rows_again(bases: Bases) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    again = receipt_of(bases.store, restore(bases.store, "last").data)
    answer = restore(bases.store, again)
    assert (answer.rows, answer.data["free"]) == ([(ALPHA, "archived")], None), "no word of this command frees a key"
    assert bases.rows()[ALPHA]["archived_at"] is not None


def test_an_archived_row_that_is_another_session_now_is_a_conflict(bases: Bases) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, BETA, state=bases.store.state)
    with bases.open("project-lead") as connection:
        for statement in reset(ALPHA, session_id("anew")):
            connection.execute(*statement)
    row = bases.rows()[ALPHA]
    answer = restore(bases.store, "last")
    assert (answer.code, statuses(answer)) == (1, {ALPHA: "conflict", BETA: "restored"})
    assert bases.rows()[ALPHA] == row


def test_a_gateway_that_refuses_or_lies_brings_nothing_back(bases: Bases, stub: StubGateway) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    row = bases.rows()[ALPHA]
    for fault in ({"do": "lie"}, {"do": "error", "error": {"message": "no"}}):
        stub.tell(faults=[{"method": "sessions.patchMany", **fault}])
        answer = restore(bases.store, "last")
        assert (answer.code, answer.rows) == (1, [(ALPHA, "failed")])
        assert bases.rows()[ALPHA] == row
    stub.tell(faults=[])
    assert restore(bases.store, "last").rows == [(ALPHA, "restored")]


def test_archived_rows_need_their_gateway(bases: Bases, stub: StubGateway, closed_port: int) -> None:
    run_json(CloseProjectBatch, "--archive", ALPHA, state=bases.store.state)
    bases.store.port = closed_port
    bases.store.configure()
    assert stub.lock is not None
    stub.lock.unlink()
    before = tree(bases.store.state)
    answer = restore(bases.store, "last")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "openclaw gateway start" in answer.data["error"]["remedy"]
    assert restore(bases.store, "last", "--check").rows == [(ALPHA, "would_restore")]
    assert tree(bases.store.state) == before


def test_deleted_rows_and_a_running_gateway_are_refused_with_the_commands(bases: Bases) -> None:
    run_json(CloseProjectBatch, "--delete", "alpha", "beta", state=bases.store.state)
    before, names = held(bases), tree(bases.store.folder())
    for words in ((), ("--dry-run",)):
        answer = restore(bases.store, "last", *words, "alpha")
        assert (answer.code, answer.error) == (3, "gateway_running")
        remedy = answer.data["error"]["remedy"]
        for command in (
            "openclaw gateway stop",
            "restore-sessions",
            " last",
            "openclaw gateway start",
            "--stop-gateway",
        ):
            assert command in remedy
        assert remedy.index("gateway stop") < remedy.index(" last") < remedy.index("gateway start")
    assert restore(bases.store, "last", "--check").code == 0
    assert (held(bases), tree(bases.store.folder())) == (before, names)
    assert len(list((bases.store.state / "session-closer" / "receipts").iterdir())) == 1


def test_deleted_rows_are_imported_while_the_gateway_is_stopped(down: Down) -> None:
    for word in ("--dry-run", "--check"):
        before = tree(down.store.state)
        answer = restore(down.store, "last", word)
        assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "would_restore"))
        assert tree(down.store.state) == before
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "restored"))
    assert held(down.bases) == down.before
    assert down.files() == down.files("researcher") == set()
    assert [line.split()[:3] for line in down.service.calls()] == [["doctor", "--session-sqlite", "import"]] * 2
    assert answer.data["restart"]["needed"] is False
    assert down.store.open_runs() == []
    second = restore(down.store, "last")
    assert (second.code, statuses(second)) == (0, dict.fromkeys(DELETED, "already_restored"))
    assert len(down.service.calls()) == 2


def test_the_importer_leaves_nothing_that_is_not_named(down: Down) -> None:
    before = set(tree(down.store.state))
    warnings = restore(down.store, "last").data["warnings"]
    left = {name for name in set(tree(down.store.state)) - before if "session-sqlite-" in name}
    assert (left, [line for line in warnings if "import has left" in line]) == (set(), [])


def test_only_the_row_that_was_named_is_imported(down: Down) -> None:
    assert restore(down.store, "last", "alpha").rows == [(ALPHA, "restored")]
    assert ALPHA in down.bases.listed()
    assert {BETA, CRON_RUN, SILENT}.isdisjoint(down.bases.listed())
    assert down.files() == set()


def rewrite(down: Down, key: str, content: bytes, name: str = "") -> None:
    """Let the archive of a session hold something else, under another name, and its receipt say so."""
    path = down.archive(key)
    other = path.rename(path.with_name(name or path.name))
    other.write_bytes(content)
    status, digest = other.stat(), hashlib.sha256(content).hexdigest()
    edit_receipt(
        down.store,
        lambda data: [
            move.update(target=other.name, size=status.st_size, mtimeNs=status.st_mtime_ns, sha256=digest)
            for each in data["stores"]
            for session in each["sessions"]
            for move in session["moves"]
            if move["target"] == path.name
        ],
    )


def test_a_plain_archive_is_imported_as_it_is(down: Down) -> None:
    path = down.archive(ALPHA)
    plain = path.name.rpartition(".deleted.")[0] + ".deleted.2016-11-01T00-00-00.000Z"
    rewrite(down, ALPHA, unpacked(path.read_bytes()), plain)
    assert restore(down.store, "last", "alpha").rows == [(ALPHA, "restored")]
    events = {at: text for at, text in down.before["project-lead"][1].items() if at in down.bases.events()}
    assert down.bases.events() == events
    assert down.before["project-lead"][0][ALPHA][0]["sessionId"] in {session for session, _ in events}


@pytest.mark.parametrize("how", ["fails", "lies"])
def test_an_importer_that_takes_nothing_leaves_nothing_behind(down: Down, how: str) -> None:
    down.service.tell(importer=how)
    names = tree(down.store.folder())
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(DELETED, "failed"))
    assert all("import" in row["error"] for row in answer.data["results"])
    assert down.files() == down.files("researcher") == set()
    assert {name for name in tree(down.store.folder()) if name != "."} == {name for name in names if name != "."}
    assert down.store.open_runs() == []
    down.service.tell(importer=None)
    assert set(statuses(restore(down.store, "last")).values()) == {"restored"}
    assert held(down.bases) == down.before


def test_an_importer_that_stops_half_way_is_told_row_by_row(down: Down) -> None:
    down.service.tell(importer="half")
    answer = restore(down.store, "last", ALPHA, BETA)
    assert answer.code == 1
    assert sorted(statuses(answer).values()) == ["failed", "restored"]
    (back,) = [key for key, status in answer.rows if status == "restored"]
    assert {ALPHA, BETA} & down.bases.listed() == {back}
    assert down.files() == set()
    down.service.tell(importer=None)
    assert set(statuses(restore(down.store, "last")).values()) == {"restored", "already_restored"}
    assert held(down.bases) == down.before


@pytest.mark.parametrize("runs", [False, True])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("no zstd", "cannot unpack"),
        ("cut", "cannot be unpacked"),
        ("damaged", "cannot be unpacked"),
        ("empty", "cannot be unpacked"),
        ("other session", "does not hold the transcript of"),
    ],
)
def test_a_transcript_that_cannot_be_had_is_told_before_anything_is_changed(
    down: Down, how: str, said: str, runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "no zstd":
        for package in ("compression", "backports"):
            monkeypatch.setitem(sys.modules, f"{package}.zstd", None)
            monkeypatch.delattr(sys.modules.get(package), "zstd", raising=False)
    else:
        whole = down.archive(ALPHA).read_bytes()
        contents = {"cut": whole[:-7], "damaged": whole[:9] + b"\xff" * 9 + whole[18:], "empty": b""}
        rewrite(down, ALPHA, contents.get(how, packed("{}\n")))
    if runs:
        down.service.run("gateway", "start")
    before, calls = held(down.bases), len(down.service.calls())
    answer = restore(down.store, "last", "alpha", *(["--stop-gateway"] if runs else []))
    assert (answer.code, statuses(answer)) == (3, {ALPHA: "failed"})
    assert said in answer.data["error"]["message"]
    assert down.archive(ALPHA).name in answer.data["error"]["message"]
    assert [row["error"] for row in answer.data["results"]] == ["not reached"]
    assert held(down.bases) == before
    assert down.files() == set()
    assert down.store.open_runs() == []
    assert {"gateway stop --json", "doctor"}.isdisjoint(down.service.calls()[calls:])
    assert (down.service.pid is not None) is runs


def test_what_was_not_handed_to_the_importer_is_not_said_to_be_its_fault(
    down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(importing, "write_transcripts", full)
    answer = restore(down.store, "last", "alpha")
    assert answer.code == 1
    assert [(row["status"], row["error"]) for row in answer.data["results"]] == [("failed", "not reached")]


def test_an_archive_of_a_row_that_is_not_what_it_was_fails_and_the_rest_comes_back(down: Down) -> None:
    path = next(
        path for path in down.bases.archives() if down.before["project-lead"][0][ALPHA][0]["sessionId"] in path.name
    )
    status = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    gone = next(
        path for path in down.bases.archives() if down.before["project-lead"][0][BETA][0]["sessionId"] in path.name
    )
    gone.unlink()
    answer = restore(down.store, "last")
    assert answer.code == 1
    assert statuses(answer) == dict.fromkeys(DELETED, "restored") | {ALPHA: "failed", BETA: "failed"}
    assert {ALPHA, BETA}.isdisjoint(down.bases.listed())
    assert down.files() == set()


def test_a_key_of_a_database_that_is_in_use_again_is_a_conflict(down: Down) -> None:
    with down.bases.open("project-lead") as connection:
        columns = "session_key, current_session_id, entry_json, updated_at"
        values = (ALPHA, session_id("anew"), '{"sessionId": "anew", "updatedAt": 1}', 1)
        connection.execute(f"insert into session_nodes ({columns}) values (?, ?, ?, ?)", values)
    row = down.bases.rows()[ALPHA]
    answer = restore(down.store, "last")
    assert (answer.code, statuses(answer)) == (1, dict.fromkeys(DELETED, "restored") | {ALPHA: "conflict"})
    assert down.bases.rows()[ALPHA] == row


def test_a_row_says_until_when_only_where_openclaw_deletes_the_archives_of_databases(down: Down) -> None:
    assert all("until" not in row for row in restore(down.store, "last", "--check").data["results"])
    down.store.configure(session={"maintenance": {"resetArchiveRetention": "7d"}})
    found = rows(restore(down.store, "last", "--check"))
    stamp = down.archive(ALPHA).name.partition(".deleted.")[2].partition("Z")[0]
    archived = datetime.strptime(stamp + "+0000", "%Y-%m-%dT%H-%M-%S.%f%z")
    assert datetime.fromisoformat(found[ALPHA]["until"]) == (archived + 7 * DAY).replace(microsecond=0)


# --stop-gateway


def test_the_gateway_is_stopped_through_its_service_and_started_again(down: Down) -> None:
    down.service.run("gateway", "start")
    first = down.service.pid
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys(DELETED, "restored"))
    assert held(down.bases) == down.before
    assert answer.data["restart"] == {**answer.data["restart"], "needed": True, "ok": True, "result": "started"}
    assert down.service.pid not in (None, first)
    words = [" ".join(line.split()[:2]) for line in down.service.calls()[1:]]
    assert words == ["gateway status", "gateway stop", *["doctor --session-sqlite"] * 2, "gateway start"]
    assert down.store.receipts()[-1]["restart"]["result"] == "started"
    assert down.files() == set()


def test_what_was_deleted_and_what_was_archived_are_one_restore_that_is_undone_as_one(down: Down) -> None:
    down.service.run("gateway", "start")
    (path,) = down.store.state.glob("session-closer/receipts/*.json")
    both = run_json(CloseProjectBatch, KELLY, state=down.store.state)
    other = Path(both.data["receipt"])
    # As one run leaves it that frees some keys and archives the rest.
    first, second = (json.loads(each.read_bytes()) for each in (path, other))
    for store in first["stores"]:
        if store["agent"] == "project-lead":
            store["sessions"] += second["stores"][0]["sessions"]
    path.write_text(json.dumps(first))
    other.unlink()
    answer = restore(down.store, path.stem, "--stop-gateway")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((*DELETED, KELLY), "restored"))
    undone = restore(down.store, receipt_of(down.store, answer.data))
    assert (undone.code, set(statuses(undone)) - {PUT_AWAY}) == (0, {*ROWS, KELLY})


def test_without_a_service_the_gateway_is_not_stopped(down: Down) -> None:
    down.service.run("gateway", "start")
    down.service.tell(loaded=False)
    before = tree(down.store.folder())
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, answer.error) == (3, "gateway_running")
    assert "openclaw gateway stop" in answer.data["error"]["remedy"]
    assert "--stop-gateway" not in answer.data["error"]["remedy"]
    assert down.service.pid is not None
    assert tree(down.store.folder()) == before


@pytest.mark.parametrize("importer", ["fails", "lies"])
def test_the_gateway_is_started_again_after_an_importer_that_failed(down: Down, importer: str) -> None:
    down.service.run("gateway", "start")
    down.service.tell(importer=importer)
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, set(statuses(answer).values())) == (1, {"failed"})
    assert answer.data["restart"]["result"] == "started"
    assert down.service.pid is not None
    assert down.files() == set()


def test_a_gateway_that_does_not_stop_is_told_and_nothing_is_written(
    down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_STOP_SECONDS", 1.0)
    down.service.run("gateway", "start")
    down.service.tell(stop="lies")
    before = held(down.bases)
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "restored" not in statuses(answer).values()
    assert (held(down.bases), down.files()) == (before, set())
    assert not [line for line in down.service.calls() if line.startswith("doctor")]
    assert down.service.pid is not None


def test_a_gateway_that_does_not_start_again_is_told(down: Down, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_START_SECONDS", 1.0)
    down.service.run("gateway", "start")
    down.service.tell(start="fails")
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, set(statuses(answer).values())) == (1, {"restored"})
    assert answer.data["restart"]["ok"] is False
    assert "openclaw gateway start" in answer.data["restart"]["detail"]


@pytest.mark.parametrize("command", [RestoreSessions, CloseProjectBatch])
def test_a_gateway_that_a_killed_restore_has_stopped_is_started_by_the_next_command(
    down: Down, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    down.service.run("gateway", "start")

    def killed(*_: Any) -> str:
        assert (down.store.index()).is_file()
        assert down.service.pid is None
        raise Killed

    def dead(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(importing, "run_importer", killed)
        patched.setattr(importing, "clean", dead)
        patched.setattr(importing, "start", dead)
        with pytest.raises(Killed):
            restore(down.store, "last", "--stop-gateway")
    assert down.service.pid is None
    assert down.store.index().is_file()
    (killed_run,) = down.store.open_runs()
    words = ("last",) if command is RestoreSessions else ("--dry-run", "pinned")
    run_json(command, *words, state=down.store.state)
    if command is CloseProjectBatch:
        # A look changes nothing, whatever is owed.
        assert down.store.index().is_file()
        run_json(command, "pinned", state=down.store.state)
    assert down.files() == down.files("researcher") == set()
    assert down.service.pid is not None
    assert down.store.open_runs() == []
    (receipt,) = [receipt for receipt in down.store.receipts() if receipt["id"] == killed_run]
    assert (receipt["restart"]["done"], receipt["restart"]["result"]) == (True, "started")
    assert set(statuses(restore(down.store, "last", "--stop-gateway", ALPHA)).values()) == {"restored"}
    assert ALPHA in down.bases.listed()
