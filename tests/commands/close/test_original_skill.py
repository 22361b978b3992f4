"""What the original shell skill does wrong must be impossible here: one promise a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.app import Command
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.system.disk import Disk
from support.clock import Brisk, HandIn
from support.commands import run, run_json, run_process
from support.gateway import StubGateway, StubOpenClaw
from support.interrupted import perform
from support.keys import LEAD, session_id
from support.patience import PATIENCE_SECONDS
from support.stores import Store
from support.trees import tree

# OpenClaw's own, from its session store: archived transcripts, and what its retention may purge.
ARCHIVE = re.compile(r".+\.(?:deleted|reset|bak)\.\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d{3})?Z")

# Above every pid that Linux gives.
NOBODY = 2**22 + 1


def deleted(name: str) -> re.Pattern[str]:
    """Return what the archive of a transcript must be called."""
    return re.compile(re.escape(name) + r"\.deleted\.\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}\.\d{3}Z")


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_keep_only_with_help_changes_nothing(store: Store, word: str) -> None:
    before = tree(store.state)
    result = run(KeepOnlySessions, word, state=store.state)
    assert result.code == 0
    assert "usage: keep-only-sessions" in result.stdout
    assert tree(store.state) == before


def test_keep_only_with_dry_run_changes_nothing(store: Store) -> None:
    before = tree(store.state)
    result = run(KeepOnlySessions, "--dry-run", "alpha", state=store.state)
    assert result.code == 0
    assert "dry run, nothing changed" in result.stdout
    assert tree(store.state) == before


@pytest.mark.parametrize("word", ["--dry-runn", "--dryrun", "-n", "kely-dashboard"])
def test_keep_only_with_a_typo_changes_nothing(store: Store, word: str) -> None:
    before = tree(store.state)
    result = run(KeepOnlySessions, word, "alpha", state=store.state)
    assert result.code in (2, 3)
    assert result.stderr.startswith("error: ")
    assert tree(store.state) == before


@pytest.mark.parametrize("words", [("--dry-run", "alpha"), ("alpha", "--dry-run")])
@pytest.mark.parametrize("command", [CloseProject, CloseProjectBatch])
def test_dry_run_closes_nothing_wherever_it_stands(
    store: Store, command: type[Command], words: tuple[str, ...]
) -> None:
    before = tree(store.state)
    answer = run_json(command, *words, state=store.state)
    assert answer.rows == [(LEAD + "alpha", "would_close")]
    assert tree(store.state) == before


def test_close_project_with_two_names_ignores_neither(store: Store) -> None:
    before = tree(store.state)
    answer = run_json(CloseProject, "alpha", "kelly-dashboard", state=store.state)
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(store.state) == before


def test_canonical_and_legacy_key_both_go_and_it_says_so(store: Store) -> None:
    answer = run_json(CloseProject, "kelly-dashboard", state=store.state)
    assert answer.rows == [
        (LEAD + "kelly-dashboard", "closed"),
        (LEAD + "project-kelly-dashboard", "closed"),
    ]
    assert {row["input"] for row in answer.data["results"]} == {"kelly-dashboard"}
    assert not [key for key in store.listed() if "kelly-dashboard" in key]
    assert "agent:researcher:kelly-dashboard" in store.listed("researcher")


@pytest.mark.parametrize("word", ["main", LEAD + "main", "agent:main:main", "agent:researcher:main"])
@pytest.mark.parametrize("options", [(), ("--force",), ("--yes", "--force", "--via", "files")])
def test_close_project_main_never_closes_the_main_session(store: Store, word: str, options: tuple[str, ...]) -> None:
    before = tree(store.state)
    answer = run_json(CloseProject, word, *options, state=store.state)
    assert answer.code == 3
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("refused", "main")]
    assert tree(store.state) == before


def test_keep_only_keeps_the_main_session(store: Store) -> None:
    answer = run_json(KeepOnlySessions, "alpha", state=store.state)
    assert answer.code == 0
    assert store.listed() == [LEAD + "main", LEAD + "alpha"]


def test_a_transcript_shared_with_a_living_key_stays(store: Store) -> None:
    shared = Path(store.entries()[LEAD + "alpha"]["sessionFile"])
    before = shared.read_bytes()
    answer = run_json(CloseProject, "alpha", state=store.state)
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert any(shared.name in warning for warning in answer.data["warnings"])
    assert shared.read_bytes() == before
    assert LEAD + "alpha-review" in store.listed()


def test_a_cron_run_does_not_take_the_transcript_of_its_job_away(store: Store) -> None:
    shared = Path(store.entries()[LEAD + "cron:nightly"]["sessionFile"])
    assert run_json(CloseProject, LEAD + "cron:nightly:run:7f3a", state=store.state).code == 0
    assert shared.exists()


def test_a_transcript_shared_by_two_closed_keys_has_one_archive(store: Store) -> None:
    shared = Path(store.entries()[LEAD + "alpha"]["sessionFile"]).name
    answer = run_json(CloseProjectBatch, "alpha", "alpha-review", state=store.state)
    assert [row["status"] for row in answer.data["results"]] == ["closed", "closed"]
    assert len([name for name in store.names() if name.startswith(shared)]) == 1
    assert shared not in store.names()


def test_session_file_with_another_id_does_not_stay_behind(store: Store) -> None:
    older = Path(store.entries()[LEAD + "after-reset"]["sessionFile"]).name
    newer = f"{session_id('newer')}.jsonl"
    assert older != newer
    assert run_json(CloseProject, "after-reset", state=store.state).code == 0
    assert {older, newer}.isdisjoint(store.names())
    for name in (older, newer):
        assert [found for found in store.names() if deleted(name).fullmatch(found)], name


def test_topic_transcripts_do_not_stay_behind(store: Store) -> None:
    topic = f"{session_id('topics')}-topic-42.jsonl"
    assert run_json(CloseProject, "topics", state=store.state).code == 0
    assert topic not in store.names()
    assert [name for name in store.names() if deleted(topic).fullmatch(name)]


def test_companions_do_not_stay_behind(store: Store) -> None:
    stem = store.entries()[LEAD + "kelly-dashboard"]["sessionId"]
    assert run_json(CloseProject, "kelly-dashboard", state=store.state).code == 0
    left = {name for name in store.names() if name.startswith(stem)}
    assert len(left) == 4
    assert all(ARCHIVE.fullmatch(name) for name in left)


def test_a_running_session_is_not_closed_without_a_question(store: Store) -> None:
    store.lock_transcript(LEAD + "kelly-dashboard")
    before = tree(store.state)
    answer = run_json(CloseProject, LEAD + "kelly-dashboard", state=store.state)
    assert answer.code == 3
    assert [(row["status"], row["reason"]) for row in answer.data["results"]] == [("refused", "running")]
    assert tree(store.state) == before


@pytest.mark.parametrize("quote", ['"', "'", "\\", '"], "x": ["', "$(id)", "`", "*", ".", "a|b"])
def test_a_quote_in_a_key_removes_no_other_session(store: Store, quote: str) -> None:
    odd, plain = f"{LEAD}a{quote}b", LEAD + "ab"
    store.add((odd, store.session(odd)), (plain, store.session(plain)))
    kept = {key: value for key, value in store.entries().items() if key != odd}
    answer = run_json(CloseProject, odd, state=store.state)
    assert answer.rows == [(odd, "closed")]
    assert store.entries() == kept


@pytest.mark.parametrize("content", [b"", b" \n", b"\0" * 512])
@pytest.mark.parametrize(
    ("command", "words"), [(CloseProject, ("alpha",)), (CloseProjectBatch, ("alpha",)), (KeepOnlySessions, ("alpha",))]
)
def test_an_empty_index_is_never_closed_with_exit_0(
    store: Store, command: type[Command], words: tuple[str, ...], content: bytes
) -> None:
    store.index().write_bytes(content)
    before = tree(store.state)
    answer = run_json(command, *words, state=store.state)
    assert (answer.code, answer.error) == (3, "corrupt_store")
    assert tree(store.state) == before


WRITER = """
import json, os, sys, time
index, acknowledged, stop = sys.argv[1:]
count = 0
with open(acknowledged, "a") as said:
    while not os.path.exists(stop):
        with open(index) as file:
            rows = json.load(file)
        key = f"agent:project-lead:written-{count}"
        rows[key] = {"sessionId": f"w{count}", "updatedAt": count}
        with open(index + ".writer", "w") as file:
            json.dump(rows, file, indent=2)
        os.replace(index + ".writer", index)
        said.write(key + chr(10))
        said.flush()
        count += 1
        time.sleep(0.001)
"""


def until_written(acknowledged: Path, count: int) -> None:
    """Wait until the writer has been sure of so many rows."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(acknowledged.read_text().split()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_no_concurrently_written_row_is_lost(store: Store, tmp_path: Path) -> None:
    """A writer without locks that itself never loses a row: each row it was sure of must be in some file."""
    names = [f"busy-{number}" for number in range(40)]
    store.add(*((LEAD + name, store.session(LEAD + name)) for name in names))
    acknowledged, stop = tmp_path / "acknowledged", tmp_path / "stop"
    acknowledged.touch()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(store.index()), str(acknowledged), str(stop)])
    try:
        until_written(acknowledged, 1)
        answers = [run_json(CloseProjectBatch, *names[at : at + 10], state=store.state) for at in range(0, 40, 10)]
        until_written(acknowledged, 40)
    finally:
        stop.touch()
        writer.wait(PATIENCE_SECONDS)
    written = acknowledged.read_text().split()
    assert len(written) > 39
    # A run against a writer that never pauses may give up (5): it may not lose anything.
    assert {answer.code for answer in answers} <= {0, 1, 5}
    copies = [path.read_bytes() for path in (store.index(), *store.backups())]
    found: set[str] = set().union(*(json.loads(copy) for copy in copies))
    assert set(written) <= found
    given_up = [row for answer in answers if answer.code == 5 for row in answer.data["results"]]
    assert not [row for row in given_up if row["status"] == "closed"], "what was given up may not be called closed"


class Writing(Disk):
    """A disk beside which somebody else rewrites the store in the instant before the exchange."""

    def __init__(self, index: Path, times: int) -> None:
        self.index = index
        self.times = times
        self.written: list[str] = []

    def exchange(self, one: str, other: str) -> bool:
        if len(self.written) < self.times:
            rows = json.loads(self.index.read_bytes())
            key = f"{LEAD}written-{len(self.written)}"
            rows[key] = {"sessionId": key.rpartition(":")[2]}
            fresh = self.index.with_name("by-somebody-else")
            fresh.write_text(json.dumps(rows, indent=2))
            fresh.replace(self.index)
            self.written.append(key)
        return super().exchange(one, other)


@pytest.mark.parametrize("times", [1, 2, 7])
def test_rows_written_in_the_instant_of_the_swap_end_up_in_the_store(store: Store, times: int) -> None:
    disk = Writing(store.index(), times)
    report = perform(store, "kelly-dashboard", disk=disk)
    assert {str(row.status) for row in report.results} == {"closed"}
    assert len(disk.written) == times
    assert set(disk.written) <= set(store.listed())
    assert not [key for key in store.listed() if "kelly-dashboard" in key]


def test_archive_names_are_the_ones_that_openclaw_recognises(store: Store) -> None:
    before = store.names()
    answer = run_json(KeepOnlySessions, "alpha", state=store.state)
    new = {name for name in store.names() - before if not name.startswith("sessions.json")}
    assert len(new) > 10
    assert [name for name in new if not ARCHIVE.fullmatch(name)] == []
    listed = {os.path.basename(path) for row in answer.data["results"] for path in row["archives"]}
    assert listed == new
    # With .deleted. OpenClaw would count an archived trajectory as a session of its own.
    assert all(".bak." in name for name in new if ".trajectory" in name or ".checkpoint." in name)


def test_backup_names_are_none_that_openclaw_purges(store: Store) -> None:
    run_json(CloseProject, "alpha", state=store.state)
    (backup,) = store.backups()
    assert not ARCHIVE.fullmatch(backup.name)
    assert not re.fullmatch(r"sessions\.json\.bak\..*", backup.name)


@pytest.mark.parametrize("mode", [0o600, 0o640])
@pytest.mark.parametrize("mask", [0o000, 0o022])
def test_a_backup_is_private_and_the_index_keeps_its_mode(store: Store, mode: int, mask: int) -> None:
    store.index().chmod(mode)
    raw = store.index().read_bytes()
    before = os.umask(mask)
    try:
        assert run_json(CloseProject, "alpha", state=store.state).code == 0
    finally:
        os.umask(before)
    (backup,) = store.backups()
    assert backup.stat().st_mode & 0o777 == 0o600
    assert backup.read_bytes() == raw
    assert store.index().stat().st_mode & 0o777 == mode
    (receipt,) = store.state.glob("session-closer/receipts/*.json")
    assert receipt.stat().st_mode & 0o777 == 0o600


class Watching(Disk):
    """A disk that looks, each time a transcript is moved, whether the store still has its entry."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.entries: dict[str, list[str]] = {}
        self.backups: list[int] = []

    def rename_new(self, source: str, target: str) -> None:
        if source.endswith(".jsonl"):
            self.entries[os.path.basename(source)] = self.store.listed()
        super().rename_new(source, target)

    def exchange(self, one: str, other: str) -> bool:
        self.backups.append(len(self.store.backups()))
        return super().exchange(one, other)


def test_transcripts_are_moved_after_the_index_is_written(store: Store) -> None:
    disk = Watching(store)
    perform(store, "kelly-dashboard", "topics", disk=disk)
    assert len(disk.entries) == 5
    for keys in disk.entries.values():
        assert not [key for key in keys if "kelly-dashboard" in key or key.endswith(":topics")]
    assert disk.backups == [1]


def test_session_key_is_looked_up_in_the_store_of_its_own_agent(store: Store) -> None:
    before = tree(store.folder())
    answer = run_json(CloseProject, "--session-key", "agent:main:hydration-tracker", state=store.state)
    assert answer.rows == [("agent:main:hydration-tracker", "closed")]
    assert [found["agent"] for found in answer.data["stores"]] == ["main"]
    assert store.listed("main") == ["agent:main:main"]
    assert tree(store.folder()) == before


@pytest.mark.parametrize(
    ("result", "code", "word"),
    [
        ({"ok": True, "result": "not-loaded"}, 0, "not-loaded"),
        ({"ok": False, "error": "no systemd"}, 1, "exit 1"),
        ({}, 1, "exit 1"),
    ],
)
def test_a_restart_that_fails_is_reported(
    served: Store, openclaw: StubOpenClaw, result: dict[str, Any], code: int, word: str
) -> None:
    openclaw.answers("restart", result, code=code)
    answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert answer.code == 1
    assert answer.rows == [(LEAD + "alpha", "closed")]
    assert answer.data["ok"] is False
    assert (answer.data["restart"]["ok"], answer.data["restart"]["result"]) == (False, word)
    assert served.receipts()[-1]["restart"]["done"] is False


@pytest.mark.long
def test_a_restart_that_has_no_effect_is_reported(served: Store, openclaw: StubOpenClaw, hand_in: HandIn) -> None:
    openclaw.has_no_effect()
    hand_in(Brisk(leap=20))
    result = run(CloseProject, "alpha", "--via", "files", state=served.state)
    assert result.code == 1
    assert "NOT restarted" in result.stdout


def test_a_missing_openclaw_command_is_reported(served: Store) -> None:
    answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert answer.code == 1
    assert (answer.data["restart"]["ok"], answer.data["restart"]["result"]) == (False, "not-run")


def test_a_restart_is_over_when_the_command_ends(served: Store, openclaw: StubOpenClaw, stub: StubGateway) -> None:
    answer = run_json(CloseProjectBatch, "alpha", "kelly-dashboard", "--via", "files", state=served.state)
    assert answer.code == 0
    assert answer.data["restart"] == {
        "needed": True,
        "ok": True,
        "result": "restarted",
        "detail": f"healthy again, process {stub.process.pid}",
    }
    assert len(openclaw.calls("restart")) == 1
    assert served.receipts()[-1]["restart"]["done"] is True


def test_a_restart_is_only_sent_to_the_gateway_of_this_state_directory(served: Store, openclaw: StubOpenClaw) -> None:
    openclaw.answers("status", {"service": {"loaded": True, "runtime": {"pid": NOBODY}}})
    answer = run_json(CloseProject, "alpha", "--via", "files", state=served.state)
    assert answer.code == 1
    assert answer.data["restart"]["result"] == "not-proven"
    assert openclaw.calls("restart") == []


def test_no_child_is_left_behind(store: Store) -> None:
    threads = threading.active_count()
    result = run_process("close-project", "alpha", state=store.state)
    assert result.code == 0
    assert threading.active_count() == threads
    # run_process gave it a process group of its own and has read both pipes to their end: nobody holds them.
    assert "closed" in result.stdout


def test_998_of_1000_sessions_take_seconds_not_minutes(store: Store) -> None:
    rows = [f"{LEAD}one-of-many-{number}" for number in range(998)]
    store.write({})
    store.add((LEAD + "main", store.session(LEAD + "main")), (LEAD + "kept", store.session(LEAD + "kept")))
    store.add(*((key, store.session(key)) for key in rows))
    # Of this process: what others do to the machine is not counted.
    started = time.process_time()
    answer = run_json(KeepOnlySessions, "kept", "--yes", state=store.state)
    took = time.process_time() - started
    assert answer.code == 0
    assert answer.data["counts"] == {"closed": 998}
    assert store.listed() == [LEAD + "main", LEAD + "kept"]
    assert len(store.backups()) == 1
    assert took < 20
