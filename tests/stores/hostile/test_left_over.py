"""Locks and files that others left, and processes that cannot be seen: nobody is taken for dead."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.system import processes
from support.clock import Brisk, HandIn
from support.commands import run_json, run_process
from support.hostile import TARGET, close
from support.interrupted import interrupt
from support.keys import LEAD, session_id
from support.stores import Store
from support.trees import tree

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
    store: Store, hand_in: HandIn, content: str, age: int, code: int
) -> None:
    if sys.platform != "linux" and "starttime" in content:
        pytest.skip("start times are compared on Linux only")
    hand_in(Brisk(leap=50))
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


def test_a_key_that_another_session_has_by_now_is_counted(store: Store) -> None:
    interrupt(store, "alpha", "topics", committed=True)
    entries = store.entries()
    key = LEAD + "alpha"
    assert key not in entries
    store.index().write_text(json.dumps({**entries, key: {"sessionId": "another", "updatedAt": 1}}))
    answer = run_json(CloseProject, "no-such-one", "--missing-ok", state=store.state)
    [said] = [line for line in answer.data["warnings"] if "is finished now" in line]
    assert said.endswith("is finished now: 1 closed, 0 left as they were, 1 in use again")
    assert store.entries()[key]["sessionId"] == "another"
