"""Defects that an attack on the tool once found: each must stay impossible."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from faults.injection import Counting, in_child
from faults.oracle import World, look, sessions_folder, violations
from faults.scenarios import CLOSING, batch
from faults.sweep import fresh, killed_at
from session_closer.core import keys
from session_closer.core.budget import HashBudget
from session_closer.core.durable import SESSIONS
from session_closer.core.ending import exit_code
from session_closer.core.errors import Refused
from session_closer.core.model import PlannedRow
from session_closer.core.report import Report
from session_closer.core.status import Status
from session_closer.core.wish import Options, Wish
from session_closer.journal import history
from session_closer.journal.record import SessionRecord, StoreRecord
from session_closer.journal.written import read_record
from session_closer.openclaw.files.archive import archive_late_files
from session_closer.openclaw.files.share import FileShare
from session_closer.openclaw.files.store import FileStore
from session_closer.openclaw.home import Home
from session_closer.operations.close import execute
from session_closer.system import flock
from session_closer.system.disk import Disk
from support.shares import Share

ALPHA = "agent:project-lead:kelly-dashboard"


def close(state: str, *words: str, disk: Disk | None = None, keep: bool = False) -> Report:
    agent = "project-lead" if keep else None
    wish = Wish("close-project-batch", tuple(keys.target(word, agent) for word in words), keep=keep, agent=agent)
    return execute(Home(state, "demo", {}, isolated=True), wish, Options(), disk=disk)


def entries(state: str, agent: str = "project-lead") -> dict[str, Any]:
    return json.loads(Path(sessions_folder(state, agent), "sessions.json").read_bytes())


def rewrite(state: str, change: Any) -> None:
    path = Path(sessions_folder(state, "project-lead"), "sessions.json")
    rows = json.loads(path.read_bytes())
    change(rows)
    path.write_text(json.dumps(rows, indent=2))


def test_stores_that_share_a_folder_are_never_taken_for_each_other(state: str, tmp_path: Path, some: Share) -> None:
    """`session.store: ".../{agentId}.json"` puts all indexes into one folder; a kill may come at any step."""
    place = Path(state, "stores")
    place.mkdir()
    for agent in ("project-lead", "researcher", "main"):
        shutil.move(Path(sessions_folder(state, agent), "sessions.json"), place / f"{agent}.json")
    Path(state, "openclaw.json").write_text(json.dumps({"session": {"store": str(place / "{agentId}.json")}}))
    template = str(tmp_path / "shared")
    shutil.copytree(state, template)
    before = {path.name: json.loads(path.read_bytes()) for path in place.iterdir()}
    names: list[str] = []
    batch(state, Counting(lambda _, name, when: names.append(name) if when == "before" else None))
    for point in some(range(0, len(names), 2), 6, names.__getitem__):
        fresh(template, state)
        assert killed_at(state, point, "after")
        assert in_child(lambda: batch(state, Disk())) == 0
        for agent in ("project-lead", "researcher", "main"):
            left = json.loads((place / f"{agent}.json").read_bytes())
            expected = set(before[f"{agent}.json"]) - CLOSING.get(agent, set())
            assert set(left) == expected, f"killed after step {point} ({names[point]})"


@pytest.mark.parametrize("step", ["create", "write", "exchange", "rename"])
def test_nothing_is_called_closed_that_an_error_left_in_the_store(state: str, step: str) -> None:
    class Failing(Disk):
        calls = 0

    real = getattr(Disk, step)

    def fail(self: Failing, *arguments: Any) -> Any:
        if any("sessions.json.session-closer" in str(a) for a in arguments) or step == "write":
            Failing.calls += 1
            if Failing.calls > (3 if step == "write" else 1):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "sessions.json")
        return real(self, *arguments)

    setattr(Failing, step, fail)
    report = close(state, "kelly-dashboard", disk=Failing())
    for row in report.results:
        if row.status is Status.CLOSED:
            assert row.key not in entries(state)
    if exit_code(report) != 0:
        assert Status.CLOSED not in {row.status for row in report.results}


def test_a_session_whose_transcript_could_not_be_archived_is_not_called_closed(state: str) -> None:
    class Failing(Disk):
        def rename_new(self, source: str, target: str) -> None:
            if source.endswith(".jsonl"):
                raise OSError(errno.EIO, os.strerror(errno.EIO), source)
            super().rename_new(source, target)

    report = close(state, "kelly-dashboard", disk=Failing())
    assert exit_code(report) == 1
    assert {row.status for row in report.results} == {Status.FAILED}
    assert {row.status for row in close(state, "kelly-dashboard").results} == {Status.ALREADY_CLOSED}


def test_a_record_of_an_agent_that_is_a_path_moves_nothing(state: str, tmp_path: Path) -> None:
    assert killed_at(state, 20, "after")
    (run,) = history.open_runs(state)
    outside = Path(state).parent / "outside" / "sessions"
    shutil.copytree(sessions_folder(state, "project-lead"), outside)
    seen = {path.name: path.stat().st_mtime_ns for path in outside.iterdir()}
    path = Path(state, "session-closer", "open", run, "record.json")
    record = json.loads(read_record(str(path)).raw)
    for store in record["stores"]:
        store["agent"] = "../../outside"
        store["path"] = os.path.join(state, "agents", "../../outside", "sessions", "sessions.json")
        store["roots"]["sessions"] = os.path.join(state, "agents", "../../outside", "sessions")
    path.write_text(json.dumps(record))
    with pytest.raises(Refused, match="damaged"):
        close(state, "never-spoken")
    assert {path.name: path.stat().st_mtime_ns for path in outside.iterdir()} == seen


@pytest.mark.parametrize("key", ["agent:project-lead:main ", "agent:project-lead: main", "\u00a0main", " global"])
def test_a_key_that_openclaw_would_trim_to_main_is_main(state: str, key: str) -> None:
    rewrite(state, lambda rows: rows.update({key: {"sessionId": "blank"}}))
    close(state, "invoice-import", keep=True)
    assert "agent:project-lead:main" in entries(state)
    if key.startswith(("\u00a0", " ", "agent:project-lead:main")):
        assert key in entries(state)


def test_a_transcript_with_an_escaped_topic_is_remembered_and_recovered(state: str, tmp_path: Path) -> None:
    name = "topics-topic-19%3Aabc%40thread.jsonl"
    folder = sessions_folder(state, "project-lead")
    Path(folder, name).write_text("{}\n")
    row = {"sessionId": "topics", "sessionFile": os.path.join(folder, name)}
    rewrite(state, lambda rows: rows.update({"agent:project-lead:topics": row}))
    assert {r.status for r in close(state, "topics").results} == {Status.CLOSED}
    assert {r.status for r in close(state, "topics").results} == {Status.ALREADY_CLOSED}


def test_a_name_too_long_to_be_archived_stays_with_a_warning(state: str) -> None:
    name = "long-topic-" + "9" * 230 + ".jsonl"
    folder = sessions_folder(state, "project-lead")
    Path(folder, name).write_text("{}\n")
    rewrite(state, lambda rows: rows.update({"agent:project-lead:long": {"sessionId": "long"}}))
    report = close(state, "long")
    assert {row.status for row in report.results} == {Status.CLOSED}
    assert any("too long" in warning for warning in report.warnings)
    assert Path(folder, name).exists()


def test_archives_of_a_closed_session_stay_archived_when_its_key_is_used_again(state: str, before: World) -> None:
    steps: list[str] = []
    batch(state, Counting(lambda _, name, when: steps.append(name) if when == "before" else None))
    folder = Path(sessions_folder(state, "researcher"))
    archived = {path.name for path in folder.glob("*.jsonl.deleted.*")}
    assert archived
    # As if the run had been killed before its receipt: the record is open again, and the key in use again.
    (receipt,) = Path(state, "session-closer", "receipts").iterdir()
    place = Path(state, "session-closer", "open", receipt.stem)
    place.mkdir(mode=0o700)
    record = json.loads(receipt.read_bytes())
    receipt.unlink()
    (place / "record.json").write_text(json.dumps({**record, "state": "open"}))
    path = folder / "sessions.json"
    rows = json.loads(path.read_bytes())
    rows["agent:researcher:kelly-dashboard"] = {"sessionId": "anew"}
    path.write_text(json.dumps(rows, indent=2))
    close(state, "never-spoken")
    assert {path.name for path in folder.glob("*.jsonl.deleted.*")} == archived


def test_an_entry_that_was_written_back_gets_its_transcript_back(state: str) -> None:
    folder = Path(sessions_folder(state, "researcher"))
    names = {path.name for path in folder.glob("*.jsonl")}
    batch(state, Disk())
    (receipt,) = Path(state, "session-closer", "receipts").iterdir()
    place = Path(state, "session-closer", "open", receipt.stem)
    place.mkdir(mode=0o700)
    record = json.loads(receipt.read_bytes())
    receipt.unlink()
    (place / "record.json").write_text(json.dumps({**record, "state": "open"}))
    (backup,) = folder.glob("sessions.json.bak-*")
    shutil.copyfile(backup, folder / "sessions.json")
    close(state, "never-spoken")
    assert "agent:researcher:kelly-dashboard" in entries(state, "researcher")
    assert {path.name for path in folder.glob("*.jsonl")} == names


def test_a_run_that_is_being_looked_at_is_no_interrupted_run(state: str) -> None:
    """A dry run probes for interrupted runs while another begins: the other must not notice."""
    stop = threading.Event()

    def look_on() -> None:
        while not stop.is_set():
            history.interrupted(state)

    watcher = threading.Thread(target=look_on)
    watcher.start()
    try:
        for word in ("kelly-dashboard", "hydration-tracker", "invoice-import", "never-spoken"):
            assert exit_code(close(state, word)) == 0
    finally:
        stop.set()
        watcher.join()


def test_a_key_that_a_living_run_is_closing_is_already_closed_and_not_unknown(state: str) -> None:
    assert killed_at(state, 40, "after")
    (run,) = history.open_runs(state)
    left = {**entries(state), **entries(state, "researcher")}
    gone = [key for closing in CLOSING.values() for key in closing if key not in left]
    descriptor = os.open(Path(state, "session-closer", "open", run), os.O_RDONLY)
    try:
        assert flock.try_flock(descriptor, state)
        full = [key for key in gone if key.startswith("agent:")]
        assert full
        report = close(state, *full)
        assert {row.status for row in report.results} == {Status.ALREADY_CLOSED}
    finally:
        os.close(descriptor)


def test_an_unfinishable_run_of_another_agent_stops_nobody_else(state: str) -> None:
    for point in range(60, 130):
        if killed_at(state, point, "before") and any(
            store["agent"] == "researcher"
            for run in history.open_runs(state)
            for store in json.loads(read_record(history.record_path(state, run)).raw)["stores"]
        ):
            break
    index = Path(sessions_folder(state, "researcher"), "sessions.json")
    index.write_bytes(b"")
    report = close(state, "agent:main:hydration-tracker")
    assert {row.status for row in report.results} == {Status.CLOSED}


def test_a_folder_under_two_spellings_is_locked_once(state: str, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(state)
    template = str(link / "agents" / "{agentId}" / "sessions" / "sessions.json")
    Path(state, "openclaw.json").write_text(json.dumps({"session": {"store": template}}))
    assert {row.status for row in close(state, "never-spoken").results} == {Status.CLOSED}


def test_the_oracle_sees_what_it_is_for(state: str, before: World) -> None:
    os.unlink(os.path.join(sessions_folder(state, "main"), "sessions.json"))
    assert violations(before, CLOSING, ended=False)
    assert look  # the world is looked at in a fixture


def test_an_aborted_run_is_waited_for_though_its_transcript_is_archived_already(state: str) -> None:
    """Its lock is still held, and what it writes last is archived, too."""
    home = Home(state, "demo", {}, isolated=True)
    store = FileStore(home, "project-lead")
    session = store.read().sessions[ALPHA].but(session_file=None)
    folder = Path(store.folder)
    lock, late = folder / f"{session.session_id}.jsonl.lock", folder / f"{session.session_id}.trajectory.jsonl"
    for path in folder.glob(f"{session.session_id}*"):
        path.unlink()
    rewrite(state, lambda rows: rows.pop(ALPHA))
    lock.write_text(json.dumps({"pid": os.getpid()}))

    def end() -> None:
        late.write_text("{}\n")
        lock.unlink()

    entry = SessionRecord(ALPHA, session.session_id, 0, 0, "")
    record = StoreRecord(
        "project-lead", "files", store.index, {SESSIONS: store.folder}, "sessions.json.bak-x", 0, "", (entry,)
    )
    row = PlannedRow("x", "project-lead", ALPHA, Status.WOULD_CLOSE, session=session, was_running=True)
    assert store.document is not None
    work = FileShare(
        store=store, rows=[row], record=record, note=lambda _: None, hashes=HashBudget(), planned=store.document
    )
    ending = threading.Timer(0.3, end)
    ending.start()
    archive_late_files(Disk(), work, [row])
    ending.join()
    assert not late.exists()
    assert len(work.results.archives[ALPHA]) == 1
