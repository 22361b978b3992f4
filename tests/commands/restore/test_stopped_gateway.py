"""--stop-gateway: the gateway is stopped for OpenClaw's importer and started again, whatever happens between."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.journal import writable
from session_closer.openclaw.gateway import service as stopping
from session_closer.openclaw.sqlite import importer as importing
from support.clock import Brisk, HandIn
from support.commands import restore, run, run_json
from support.interrupted import Killed
from support.keys import RESEARCHER
from support.patience import it_ends
from support.programs import BARE, importable
from support.restore import ALPHA, DELETED, KELLY, PUT_AWAY, ROWS, Down, held, receipt_of, statuses
from support.trees import tree

FAR = RESEARCHER + "far"


@pytest.mark.long
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


def mixed(down: Down) -> str:
    """Archive two sessions of two agents beside what is deleted; return the run, as one that frees only some keys."""
    down.service.run("gateway", "start")
    down.bases.add(FAR)
    (path,) = down.store.state.glob("session-closer/receipts/*.json")
    both = run_json(CloseProjectBatch, KELLY, FAR, state=down.store.state)
    assert set(statuses(both).values()) == {"archived"}
    other = Path(both.data["receipt"])
    first, second = (json.loads(each.read_bytes()) for each in (path, other))
    more = {store["agent"]: store for store in second["stores"]}
    for store in first["stores"]:
        store["sessions"] += more.pop(store["agent"], {"sessions": []})["sessions"]
    first["stores"] += more.values()
    path.write_text(json.dumps(first))
    other.unlink()
    return path.stem


@pytest.mark.long
def test_what_was_deleted_and_what_was_archived_are_one_restore_that_is_undone_as_one(down: Down) -> None:
    run = mixed(down)
    answer = restore(down.store, run, "--stop-gateway")
    assert (answer.code, statuses(answer)) == (0, dict.fromkeys((*DELETED, KELLY, FAR), "restored"))
    assert answer.data["restart"]["result"] == "started"
    undone = restore(down.store, receipt_of(down.store, answer.data))
    assert (undone.code, set(statuses(undone)) - {PUT_AWAY}) == (0, {*ROWS, KELLY, FAR})


@pytest.mark.parametrize("runs", [True, False])
def test_a_gateway_that_is_in_the_way_of_some_lets_the_others_come_back(down: Down, runs: bool) -> None:
    """What was archived needs it, what was deleted needs it stopped: each has its turn, and all of it comes back."""
    run = mixed(down)
    if not runs:
        down.service.run("gateway", "stop")
    first, then = ((KELLY, FAR), DELETED) if runs else (DELETED, (KELLY, FAR))
    for words, status in ((("--dry-run",), "would_restore"), ((), "restored")):
        answer = restore(down.store, run, *words)
        assert (answer.code, answer.error) == (1, None)
        assert statuses(answer) == {**dict.fromkeys(first, status), **dict.fromkeys(then, "failed")}
        [said] = [line for line in answer.data["warnings"] if "stay for now" in line]
        assert said.startswith(f"{len(then)} of these stay for now: ")
        assert f"openclaw gateway {'stop' if runs else 'start'}" in said
    down.service.run("gateway", "stop" if runs else "start")
    assert restore(down.store, run, "--check").code == 0
    answer = restore(down.store, run)
    assert (answer.code, [said for said in answer.data["warnings"] if "stay for now" in said]) == (0, [])
    assert statuses(answer) == {**dict.fromkeys(first, "already_restored"), **dict.fromkeys(then, "restored")}
    after = held(down.bases)
    for agent, (entries, events) in down.before.items():
        assert {**entries, FAR: None}.keys() >= after[agent][0].keys() >= entries.keys()
        assert {key: after[agent][1][key] for key in events} == events
    assert after["researcher"][0][FAR][1] is None
    assert down.store.open_runs() == []


def test_a_folder_that_only_what_stays_would_be_written_to_is_in_nobody_s_way(
    down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = mixed(down)
    asked: list[list[str]] = []

    def refusal(_state: str, places: Iterable[str], *_: Any) -> None:
        asked.append([*places])

    monkeypatch.setattr(writable, "refusal", refusal)
    answer = restore(down.store, run)
    assert {key for key, status in answer.rows if status == "restored"} == {KELLY, FAR}
    assert asked == [[]]
    down.service.run("gateway", "stop")
    assert restore(down.store, run).code == 0
    assert set(asked[-1]) == {str(down.store.folder()), str(down.store.folder("researcher"))}


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_without_a_service_the_gateway_is_not_stopped(down: Down, words: tuple[str, ...]) -> None:
    down.service.run("gateway", "start")
    down.service.tell(loaded=False)
    before = tree(down.store.folder())
    answer = restore(down.store, "last", "--stop-gateway", *words)
    assert (answer.code, answer.error) == (3, "gateway_running")
    assert "openclaw gateway stop" in answer.data["error"]["remedy"]
    assert "--stop-gateway" not in answer.data["error"]["remedy"]
    assert down.service.pid is not None
    assert tree(down.store.folder()) == before


@pytest.mark.long
@pytest.mark.parametrize("importer", ["fails", "lies"])
def test_the_gateway_is_started_again_after_an_importer_that_failed(down: Down, importer: str) -> None:
    down.service.run("gateway", "start")
    down.service.tell(importer=importer)
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, set(statuses(answer).values())) == (1, {"failed"})
    assert answer.data["restart"]["result"] == "started"
    assert down.service.pid is not None
    assert down.files() == set()


@pytest.mark.long
def test_a_gateway_that_does_not_stop_is_told_and_nothing_is_written(down: Down, hand_in: HandIn) -> None:
    hand_in(Brisk(leap=20))
    down.service.run("gateway", "start")
    down.service.tell(stop="lies")
    before = held(down.bases)
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "restored" not in statuses(answer).values()
    assert (held(down.bases), down.files()) == (before, set())
    assert not [line for line in down.service.calls() if line.startswith("doctor")]
    assert down.service.pid is not None


@pytest.mark.long
def test_a_gateway_that_does_not_start_again_is_told(down: Down, hand_in: HandIn) -> None:
    hand_in(Brisk(leap=20))
    down.service.run("gateway", "start")
    down.service.tell(start="fails")
    answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, set(statuses(answer).values())) == (1, {"restored"})
    assert answer.data["restart"]["ok"] is False
    assert "openclaw gateway start" in answer.data["restart"]["detail"]


@pytest.mark.long
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
        patched.setattr(stopping, "start", dead)
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_importer_that_outlives_its_run_is_waited_for(down: Down, number: signal.Signals) -> None:
    """openclaw starts itself once more, and what it was given must not be put away below it."""
    down.service.tell(importer="again")
    program = "import sys; from session_closer.cli.commands.restore_sessions import main; sys.exit(main())"
    begun = subprocess.Popen(
        [sys.executable, *BARE, "-B", "-c", program, "--json", "--state-dir", str(down.store.state), "last", "alpha"],
        env={**os.environ, "PYTHONPATH": importable()},
        stdout=subprocess.PIPE,
        text=True,
    )
    with it_ends():
        while not (down.service.folder / "begun").exists():
            time.sleep(0.01)
    begun.send_signal(number)
    told, _ = begun.communicate()
    if number == signal.SIGTERM:
        assert begun.returncode == 130
        assert [row["status"] for row in json.loads(told)["results"]] == ["restored"]
    down.service.tell(importer=None)
    answer = restore(down.store, "last", "alpha")
    assert (answer.code, answer.rows) == (0, [(ALPHA, "already_restored")])
    assert down.files() == set()
    assert not [name for name in os.listdir(down.store.state / "session-closer") if name.startswith("import")]
    assert [line.split()[0] for line in down.service.calls()].count("doctor") == 2, "itself, once more, and no other"
    assert restore(down.store, "last").code == 0
    assert held(down.bases) == down.before


def test_an_importer_that_does_not_end_is_told(down: Down, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        for name in ("run_importer", "clean"):
            patched.setattr(importing, name, Mock(side_effect=Killed))
        with pytest.raises(Killed):
            restore(down.store, "last")
    path = down.store.state / "session-closer" / "import-project-lead"
    path.touch(0o600)
    hand_in(Brisk(leap=20))
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for _ in range(2):
            answer = restore(down.store, "last")
            assert (answer.code, answer.error) == (4, "busy")
            assert "importer of agent project-lead" in answer.data["error"]["message"]
            assert down.store.index().is_file()
    assert restore(down.store, "last").code == 0
    assert (held(down.bases), path.exists(), down.files()) == (down.before, False, set())


def test_an_importer_that_has_come_to_its_end_is_not_waited_for_whatever_it_leaves_behind(down: Down) -> None:
    down.service.tell(importer="leaves")
    try:
        answer = restore(down.store, "last", "alpha")
        assert (answer.code, answer.rows) == (0, [(ALPHA, "restored")])
    finally:
        os.kill(int((down.service.folder / "left").read_text()), signal.SIGKILL)
    assert down.files() == set()
    assert not [*(down.store.state / "session-closer").glob("import-*")]


def test_no_gateway_is_started_below_an_importer_that_is_still_at_work(
    down: Down, hand_in: HandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(Brisk(leap=20))
    down.service.run("gateway", "start")
    path = down.store.state / "session-closer" / "import-project-lead"

    def late(*_: Any) -> str:
        path.touch(0o600)
        return "openclaw doctor gave no answer within 600 s"

    with monkeypatch.context() as patched:
        patched.setattr(importing, "run_importer", late)
        patched.setattr(importing.flock, "is_free", lambda *_: False)
        answer = restore(down.store, "last", "--stop-gateway")
    assert (answer.code, answer.error) == (4, "busy")
    assert "the gateway stays stopped" in answer.data["error"]["message"]
    assert (down.service.pid, down.store.index().is_file(), len(down.store.open_runs())) == (None, True, 1)
    again = restore(down.store, "last", "--stop-gateway")
    assert (again.code, set(statuses(again).values())) == (0, {"restored"})
    assert (held(down.bases), down.files(), path.exists()) == (down.before, set(), False)
    assert down.service.pid is not None


def test_a_dry_run_says_that_the_gateway_would_be_stopped(down: Down) -> None:
    stopped = restore(down.store, "last", "--stop-gateway", "--dry-run")
    assert (stopped.code, stopped.data["restart"]["result"]) == (0, "nothing-to-restart")
    down.service.run("gateway", "start")
    refused = restore(down.store, "last", "--dry-run")
    assert (refused.code, [said for said in refused.data["warnings"] if "comes back" in said]) == (3, [])
    planned = restore(down.store, "last", "--stop-gateway", "--dry-run")
    assert (planned.code, planned.data["restart"]["needed"]) == (0, True)
    assert planned.data["restart"]["result"] == "would-restart"
    assert planned.data["restart"]["detail"] == "as it is stopped for what it would be in the way of"
    assert down.service.pid is not None
    assert run(RestoreSessions, "last", "--stop-gateway", "--dry-run", state=down.store.state).stdout.count(
        "would be restarted once, as it is stopped"
    )
    done = restore(down.store, "last", "--stop-gateway")
    assert (done.data["restart"]["needed"], done.data["restart"]["result"]) == (True, "started")
    again = restore(down.store, "last", "--stop-gateway", "--dry-run")
    assert again.data["restart"]["result"] == "not-needed"
