"""Files are restored below a running gateway, and after a run that was cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.operations import restore as restoring
from support.commands import restore, run_json
from support.gateway import StubGateway, StubOpenClaw
from support.interrupted import Killed, KilledDisk, interrupt
from support.restore import ALPHA, KELLY, LEGACY, READER, TOPICS, close, statuses
from support.stores import Stage, Store, picture
from support.trees import tree

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


def test_an_interrupted_run_of_another_agent_that_cannot_be_finished_stops_no_restore_but_of_the_last(
    store: Store,
) -> None:
    run = close(store, "topics")["undo"].split()[-1]
    interrupt(store, READER, committed=True)
    store.index("researcher").write_bytes(b"")
    # It is the last one that closed something, and nobody has asked for the one before it.
    last = restore(store, "last")
    assert (last.code, last.error, last.rows) == (3, "interrupted_run", [])
    assert "cannot be finished now: " in last.data["error"]["message"]
    answer = restore(store, run)
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
