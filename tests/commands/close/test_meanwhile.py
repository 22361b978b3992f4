"""What changes between the plan and the lock: the store is looked at again, and that look decides."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.files import close as closing
from session_closer.openclaw.files.port import Files
from support.commands import run_json
from support.keys import LEAD, session_id
from support.stores import Store
from support.worker import Between


def backup_of(store: Store) -> bytes:
    """Return what the one backup holds; its hash and size in the receipt, and each entry's, must be right."""
    [path] = store.backups()
    [receipt] = store.receipts()
    [noted] = receipt["stores"]
    raw = path.read_bytes()
    assert (noted["size"], noted["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
    for one in noted["sessions"]:
        entry = raw[one["offset"] : one["offset"] + one["length"]]
        assert one["sha256"] == hashlib.sha256(entry).hexdigest()
        assert list(json.loads(b"{" + entry + b"}")) == [one["key"]]
    return raw


def test_an_entry_that_was_written_anew_is_backed_up_as_it_is_now(store: Store, between: Between) -> None:
    key = LEAD + "topics"
    between(lambda: store.add((key, {**store.entries()[key], "label": "said a moment ago"})))
    done = run_json(CloseProjectBatch, "topics", "never-spoken", state=store.state)
    assert (done.code, done.rows) == (0, [(key, "closed"), (LEAD + "never-spoken", "closed")])
    assert json.loads(backup_of(store))[key]["label"] == "said a moment ago"


def test_an_entry_that_is_written_anew_behind_the_backup_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """No backup has what it is by then."""
    key, gone = LEAD + "topics", LEAD + "alpha"
    anew = {**store.entries()[key], "label": "said behind the backup"}
    files = [name for name in store.names() if name.startswith(session_id("topics"))]
    real = closing.through_files

    def late(*words: Any) -> Any:
        left = {name: entry for name, entry in store.entries().items() if name != gone}
        store.write({**left, key: anew})
        return real(*words)

    monkeypatch.setattr(closing, "through_files", late)
    done = run_json(CloseProjectBatch, "topics", "alpha", "never-spoken", state=store.state)
    told = {key: "came_back", gone: "closed", LEAD + "never-spoken": "closed"}
    assert (done.code, dict(done.rows)) == (1, told)
    assert {name: entry for name, entry in store.entries().items() if name in told} == {key: anew}
    assert [name for name in store.names() if name.startswith(session_id("topics"))] == files != []


def test_an_entry_that_has_gone_is_closed_already(store: Store, between: Between) -> None:
    key = LEAD + "topics"
    between(lambda: store.write({name: entry for name, entry in store.entries().items() if name != key}))
    done = run_json(CloseProjectBatch, "topics", "never-spoken", state=store.state)
    assert sorted(done.rows) == [(LEAD + "never-spoken", "closed"), (key, "already_closed")]
    assert done.data["kept"] == len(store.entries())
    backup_of(store)


def test_a_run_that_has_begun_keeps_its_session(store: Store, between: Between) -> None:
    key = LEAD + "kelly-dashboard"
    before = store.entries()[key]
    between(lambda: store.lock_transcript(key))
    done = run_json(CloseProjectBatch, key, "never-spoken", state=store.state)
    assert sorted(done.rows) == [(key, "refused"), (LEAD + "never-spoken", "closed")]
    assert store.entries()[key] == before
    assert f"{before['sessionId']}.jsonl" in store.names()


def test_a_transcript_that_has_come_goes_with_its_session(store: Store, between: Between) -> None:
    late = f"{session_id('topics')}-topic-43.jsonl"
    between(lambda: store.transcript(late))
    done = run_json(CloseProjectBatch, "topics", state=store.state)
    assert done.rows == [(LEAD + "topics", "closed")]
    assert late not in store.names()
    assert [name for name in store.names() if name.startswith(late + ".deleted.")]


def test_a_transcript_that_another_session_uses_by_now_stays(store: Store, between: Between) -> None:
    entry = store.entries()[LEAD + "kelly-dashboard"]
    between(lambda: store.add((LEAD + "offspring", {**entry, "label": "forked"})))
    done = run_json(CloseProjectBatch, LEAD + "kelly-dashboard", state=store.state)
    assert done.rows == [(LEAD + "kelly-dashboard", "closed")]
    assert f"{entry['sessionId']}.jsonl" in store.names()
    assert store.entries()[LEAD + "offspring"]["label"] == "forked"


def test_a_session_that_is_new_is_not_closed_since_nobody_saw_it_planned(store: Store, between: Between) -> None:
    between(lambda: store.add((LEAD + "brand-new", store.session("brand-new"))))
    done = run_json(KeepOnlySessions, "alpha", "--agent", "project-lead", "--yes", state=store.state)
    assert LEAD + "brand-new" in store.entries()
    assert LEAD + "brand-new" not in [key for key, _ in done.rows]
    assert f"{session_id('project-lead brand-new')}.jsonl" in store.names()


def test_a_session_to_keep_that_has_gone_stops_the_run(store: Store, between: Between) -> None:
    between(lambda: store.write({key: row for key, row in store.entries().items() if key != LEAD + "alpha"}))
    listed = [key for key in store.listed() if key != LEAD + "alpha"]
    done = run_json(KeepOnlySessions, "alpha", "--agent", "project-lead", "--yes", state=store.state)
    assert done.code == 1
    assert store.listed() == listed
    assert {status for _, status in done.rows} == {"failed"}
    assert {row["error"] for row in done.data["results"]} == {"a session to keep has gone in this moment: look again"}


def test_what_a_run_that_ends_early_has_not_come_to_is_counted_among_what_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_out = Files.take_out

    def full(self: Files, *rows: Any, **words: Any) -> list[str]:
        if self.agent != "main":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return take_out(self, *rows, **words)

    monkeypatch.setattr(Files, "take_out", full)
    mine = "agent:main:hydration-tracker"
    answer = run_json(CloseProjectBatch, mine, LEAD + "alpha", LEAD + "topics", state=store.state)
    assert dict(answer.rows) == {mine: "closed", LEAD + "alpha": "failed", LEAD + "topics": "failed"}
    assert (answer.code, answer.data["kept"]) == (1, len(store.entries("main")) + len(store.entries()))


def test_what_a_run_that_was_cut_off_has_still_written_comes_back_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcript = Path(store.entries()[LEAD + "kelly-dashboard"]["sessionFile"])
    archive = closing.archive

    def late(*run: Any) -> None:
        with transcript.open("a") as file:
            file.write("its last words\n")
        archive(*run)

    monkeypatch.setattr(closing, "archive", late)
    key = LEAD + "kelly-dashboard"
    assert run_json(CloseProjectBatch, key, state=store.state).rows == [(key, "closed")]
    assert not transcript.exists()
    assert run_json(RestoreSessions, "last", state=store.state).rows == [(key, "restored")]
    assert transcript.read_text().endswith("its last words\n")
