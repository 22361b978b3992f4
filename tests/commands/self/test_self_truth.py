"""What is left to the process that outlives the command: it is tried until it can be done, found again, and told."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.core.errors import ChangedUnderneath
from session_closer.operations import close, restart, worker
from session_closer.system import flock, processes
from session_closer.system.clock import Clock
from support.commands import run_json, run_process
from support.gateway import StubGateway, StubOpenClaw
from support.interrupted import Killed, KilledDisk, interrupt
from support.keys import LEAD, session_id
from support.patience import PATIENCE_SECONDS
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Store
from support.worker import ME, OTHER, Left, batch, receipts, row, workers

KELLY, NEXT = LEAD + "kelly-dashboard", LEAD + "subagent:2b1c"
FIRST, READER = "agent:main:hydration-tracker", "agent:researcher:kelly-dashboard"
HELD = "another session-closer works in"


@pytest.fixture(autouse=True)
def _no_wait_for_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flock, "folder", functools.partial(flock.folder, wait=0.0))


def listed(store: Store, run: str) -> dict[str, Any]:
    """Return the row of one run in the list of receipts."""
    rows = run_json(RestoreSessions, "--list", state=store.state).data["receipts"]
    (found,) = [found for found in rows if found["id"] == run]
    return dict(found)


# Another closer holds the store


@pytest.fixture(params=["told", "raised"])
def main_run(request: pytest.FixtureRequest, store: Store, left: Left) -> str:
    """A run that has left the caller's session; that a store is held is told in a report, or ends the try before."""
    main = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    if request.param == "raised":
        # An interrupted run is to be finished first, and that needs the store.
        interrupt(store, NEXT, committed=True)
    return main


def test_a_store_that_another_closer_holds_is_tried_again(store: Store, left: Left, main_run: str) -> None:
    there = []
    with ExitStack() as other:
        other.enter_context(flock.folder(str(store.folder())))

        def meanwhile(number: int) -> None:
            there.append(ME in store.listed())
            if number == 3:
                other.close()

        left.meanwhile = meanwhile
        assert left.finish() == 0
    assert there == [True] * 3
    assert ME not in store.listed()
    ended = row(receipts(store)[main_run])
    assert (ended["status"], ended["ok"], ended["error"]) == ("closed", True, None)
    assert store.open_runs() == []


def test_a_store_that_is_held_until_the_end_is_told_as_what_it_was(
    store: Store, left: Left, main_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TURN_SECONDS", -1.0)
    with flock.folder(str(store.folder())):
        left.finish()
    assert ME in store.listed()
    ended = row(receipts(store)[main_run])
    assert (ended["status"], ended["ok"]) == ("failed", False)
    assert HELD in ended["error"]


# Where the process works


@pytest.mark.long
def test_a_store_at_a_relative_path_is_found_by_the_process_that_stays(store: Store, tmp_path: Path) -> None:
    here = tmp_path / "here"
    (here / "stores").mkdir(mode=0o700, parents=True)
    lock = store.lock_transcript(ME)
    for agent in ("project-lead", "researcher", "main"):
        store.index(agent).rename(here / "stores" / f"{agent}.json")
    store.configure(session={"store": "stores/{agentId}.json"})
    index = here / "stores" / "project-lead.json"
    words = ("--json", "--self", ME, "alpha", "topics")
    try:
        result = run_process(
            "close-project-batch", *words, state=store.state, before=f"import os; os.chdir({str(here)!r})"
        )
        data = json.loads(result.stdout)
        assert (result.code, row(data)["status"], row(data, OTHER)["status"]) == (0, "deferred", "closed")
        assert ME in json.loads(index.read_bytes())
        (process,) = workers(store)
        lock.unlink()
        process.wait(PATIENCE_SECONDS)
    finally:
        for left_over in workers(store):
            left_over.kill()
    assert row(receipts(store)[Path(data["receipt"]).stem])["status"] == "closed"
    assert {ME, OTHER}.isdisjoint(json.loads(index.read_bytes()))


# The process is killed when it has closed the session


def killed(store: Store, left: Left, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Do what was left, and be killed before or after the run of its own has a receipt."""
    (task,) = left.tasks
    with monkeypatch.context() as patched:
        if when == "before":
            patched.setattr(close, "Disk", lambda: KilledDisk("exchange", after=True))
        else:

            def ended(*_: Any) -> Any:
                raise Killed

            patched.setattr(worker, "_ended", ended)
        with pytest.raises(Killed):
            worker.main(task.encoded())
    left.die()
    assert ME not in store.listed()
    assert (len(store.open_runs()), len(store.receipts())) == {"before": (2, 0), "after": (1, 1)}[when]


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_killed_process_has_closed_is_closed(
    store: Store, left: Left, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    was, files = store.entries(), store.names()
    main = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    killed(store, left, monkeypatch, when)
    again = run_json(CloseProject, NEXT, state=store.state)
    assert again.rows == [(NEXT, "closed")]
    warnings = again.data["warnings"]
    assert sum("was interrupted and is finished now" in line for line in warnings) == {"before": 2, "after": 1}[when]
    assert not any("not closed" in line for line in warnings)
    assert store.open_runs() == []
    found = receipts(store)
    ended = row(found[main])
    assert (ended["status"], ended["ok"], ended["error"]) == ("closed", True, None)
    own = found[Path(ended["receipt"]).stem]
    assert ended["receipt"] == str(store.state / "session-closer" / "receipts" / f"{own['id']}.json")
    assert own["id"] not in (main, Path(again.data["receipt"]).stem)
    assert [(s["key"], s["status"]) for each in own["stores"] for s in each["sessions"]] == [(ME, "closed")]
    back = run_json(RestoreSessions, main, state=store.state)
    assert (back.code, dict(back.rows)) == (0, {ME: "restored", OTHER: "restored"})
    assert run_json(RestoreSessions, Path(again.data["receipt"]).stem, state=store.state).code == 0
    assert store.entries() == was
    assert {name for name in store.names() if ".bak-" not in name} == files


# Entries as they were


def shared(store: Store) -> Path:
    """Put the sessions of all agents into one index, mixed; what goes last is not at its end."""
    index = store.state / "all.json"
    rows = [item for agent in ("project-lead", "researcher", "main") for item in store.entries(agent).items()]
    index.write_text(json.dumps(dict(sorted(rows, key=lambda item: session_id(item[0]), reverse=True)), indent=2))
    index.chmod(0o600)
    for agent in ("project-lead", "researcher", "main"):
        store.index(agent).unlink()
    store.configure(session={"store": str(index)})
    return index


def test_an_index_of_all_agents_is_as_it_was_though_the_first_agents_session_went_last(
    store: Store, left: Left
) -> None:
    index = shared(store)
    before = index.read_bytes()
    assert list(json.loads(before))[-1] != FIRST
    words = ("--self", FIRST, FIRST, KELLY, READER)
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    assert dict(answer.rows) == {FIRST: "deferred", KELLY: "closed", READER: "closed"}
    left.finish()
    assert {FIRST, KELLY, READER}.isdisjoint(json.loads(index.read_bytes()))
    back = run_json(RestoreSessions, Path(answer.data["receipt"]).stem, state=store.state)
    assert (back.code, dict(back.rows)) == (0, dict.fromkeys((FIRST, KELLY, READER), "restored"))
    assert index.read_bytes() == before


@pytest.mark.parametrize("named", [(ME, OTHER), (OTHER, ME)])
def test_the_own_session_is_where_it_was_in_whatever_order_they_are_named(
    store: Store, left: Left, named: tuple[str, str]
) -> None:
    before = store.index().read_bytes()
    main = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    left.finish()
    assert run_json(RestoreSessions, main, *named, state=store.state).code == 0
    assert store.index().read_bytes() == before


# What the list says


def test_a_run_whose_own_session_is_back_too_counts_it(store: Store, left: Left) -> None:
    main = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    left.finish()
    assert (listed(store, main)["closed"], listed(store, main)["restored"]) == (2, 0)
    assert run_json(RestoreSessions, main, OTHER, state=store.state).code == 0
    assert (listed(store, main)["closed"], listed(store, main)["restored"]) == (2, 1)
    assert run_json(RestoreSessions, main, state=store.state).code == 0
    assert (listed(store, main)["closed"], listed(store, main)["restored"]) == (2, 2)


def test_an_own_session_that_was_closed_again_is_not_back(store: Store, left: Left) -> None:
    runs = []
    for _ in range(2):
        runs.append(Path(batch(store, "alpha", "topics").data["receipt"]).stem)
        left.finish()
        if len(runs) == 1:
            assert run_json(RestoreSessions, runs[0], state=store.state).code == 0
    assert [(listed(store, run)["closed"], listed(store, run)["restored"]) for run in runs] == [(2, 2), (2, 0)]


# What a gateway writes after it was looked


class Last:
    """What the gateway writes while a run's last write is waited for: at which wait, and what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **writes: Callable[[], object]) -> None:
        self.waits, self.writes = 0, writes
        monkeypatch.setattr(restart, "wait_for_last_write", self.wait)
        monkeypatch.setattr(worker, "wait_for_last_write", self.wait)

    def wait(self, _since: float, _clock: Clock) -> None:
        self.waits += 1
        self.writes.get({1: "before", 2: "after"}.get(self.waits, ""), list)()


def left_below(store: Store, left: Left, *words: str) -> dict[str, Any]:
    """Close the own session by the file, below the gateway; return its row in the receipt."""
    answer = run_json(CloseProject, "--via", "files", "--self", ME, *words, "alpha", state=store.state)
    assert answer.rows == [(ME, "deferred")]
    left.finish()
    return row(receipts(store)[Path(answer.data["receipt"]).stem])


@pytest.mark.parametrize("words", [(), ("--no-restart",)])
def test_a_row_that_is_written_again_after_the_close_has_come_back_with_its_transcript(
    served: Store, openclaw: StubOpenClaw, left: Left, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    was, files = served.entries()[ME], served.names()
    seen: list[tuple[bool, int]] = []

    def again() -> None:
        seen.append((ME in served.listed(), len(openclaw.calls("restart"))))
        served.add((ME, {**was, "updatedAt": was["updatedAt"] + 1}))

    Last(monkeypatch, after=again)
    ended = left_below(served, left, *words)
    # It was out of the file by then, and the gateway had been restarted if it was to be.
    assert seen == [(False, 0 if words else 1)]
    assert (ended["status"], ended["ok"]) == ("came_back", False)
    assert "close it again" in ended["error"]
    assert ME in served.listed()
    assert {name for name in served.names() if ".bak-" not in name} == files
    own = receipts(served)[Path(ended["receipt"]).stem]
    assert [session["status"] for each in own["stores"] for session in each["sessions"]] == ["came_back"]
    assert len(openclaw.calls("restart")) == (0 if words else 1)


def test_the_last_write_of_a_run_is_waited_for_and_then_it_is_closed(
    served: Store, openclaw: StubOpenClaw, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    was = served.entries()[ME]
    last = Last(monkeypatch, before=lambda: served.add((ME, {**was, "updatedAt": was["updatedAt"] + 1})))
    ended = left_below(served, left)
    assert (ended["status"], ended["ok"], last.waits) == ("closed", True, 2)
    assert ME not in served.listed()


@pytest.mark.long
def test_a_run_that_begins_while_the_last_write_is_waited_for_is_waited_for(
    served: Store, openclaw: StubOpenClaw, stub: StubGateway, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = []

    def turn(_number: int) -> None:
        there.append(ME in served.listed())
        stub.tell(active=[])

    left.meanwhile = turn
    Last(monkeypatch, before=lambda: stub.tell(active=[ME]))
    assert left_below(served, left)["status"] == "closed"
    assert there == [True]


@pytest.mark.parametrize(("back", "status"), [("the same", "came_back"), ("another", "closed")])
def test_what_the_caller_closed_is_looked_at_again_after_the_restart_that_it_left(
    served: Store, openclaw: StubOpenClaw, left: Left, monkeypatch: pytest.MonkeyPatch, back: str, status: str
) -> None:
    was, files = served.entries()[OTHER], served.names()
    monkeypatch.setattr(processes, "is_below", lambda pid: True)
    answer = run_json(CloseProject, "--via", "files", "topics", state=served.state)
    assert (answer.rows, answer.data["restart"]["result"]) == ([(OTHER, "closed")], "handed-off")
    entry = was if back == "the same" else {"sessionId": session_id("anew"), "updatedAt": 1}
    Last(monkeypatch, before=lambda: served.add((OTHER, entry)))
    assert left.finish() == 0
    (receipt,) = receipts(served).values()
    (session,) = receipt["stores"][0]["sessions"]
    assert (session["status"], receipt["restart"]["result"]) == (status, "restarted")
    assert ({name for name in served.names() if ".bak-" not in name} == files) is (back == "the same")


def test_what_the_caller_restored_is_looked_at_again_after_the_restart_that_it_left(
    served: Store, openclaw: StubOpenClaw, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(CloseProject, "topics", state=served.state)
    closed = served.entries()
    monkeypatch.setattr(processes, "is_below", lambda pid: True)
    answer = run_json(RestoreSessions, "last", state=served.state)
    assert answer.rows == [(OTHER, "restored")]
    Last(monkeypatch, before=lambda: served.write(closed))
    left.finish()
    receipt = receipts(served)[Path(answer.data["receipt"]).stem]
    assert [session["status"] for session in receipt["stores"][0]["sessions"]] == ["failed"]


# The gateway is restarting when the turn has ended


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases, and their gateway."""
    made = build_sqlite(Store(tmp_path / "packed", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


def test_a_gateway_that_is_being_restarted_is_asked_again(bases: Bases, stub: StubGateway, left: Left) -> None:
    main = Path(batch(bases.store, "alpha", "beta").data["receipt"]).stem
    stub.tell(refuse="connect")
    there = []

    def meanwhile(number: int) -> None:
        assert number <= 3
        there.append(bases.rows()[ME]["archived_at"])
        if number == 3:
            stub.tell(refuse="")

    left.meanwhile = meanwhile
    assert left.finish() == 0
    assert there == [None] * 3
    ended = row(receipts(bases.store)[main])
    assert (ended["status"], ended["ok"], ended["error"]) == ("archived", True, None)


def test_a_store_that_somebody_keeps_writing_to_is_tried_again(
    store: Store, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    tries, attempt = [], worker._attempt

    def changed(*words: Any, **more: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise ChangedUnderneath("somebody keeps writing", "the same command again")
        return attempt(*words, **more)

    monkeypatch.setattr(worker, "_attempt", changed)
    left.meanwhile = lambda _: None
    left.finish()
    assert (len(tries), row(receipts(store)[main])["status"]) == (3, "closed")


def test_one_that_stays_away_until_the_end_is_told_as_what_it_was(
    bases: Bases, stub: StubGateway, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = Path(batch(bases.store, "alpha", "beta").data["receipt"]).stem
    stub.tell(refuse="connect")
    monkeypatch.setattr(worker, "TURN_SECONDS", -1.0)
    left.finish()
    assert bases.rows()[ME]["archived_at"] is None
    ended = row(receipts(bases.store)[main])
    assert (ended["status"], ended["ok"]) == ("failed", False)
    assert "gateway" in ended["error"]
