"""--self: the caller's own session is closed when its turn has ended, by a process that outlives the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.operations import worker
from session_closer.system import processes
from support.commands import run, run_json, run_process
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD, RESEARCHER, session_id
from support.patience import PATIENCE_SECONDS
from support.sqlite import Bases, build_sqlite
from support.stores import TOKEN, Stage, Store
from support.trees import tree
from support.worker import ME, OTHER, Left, batch, receipts, row, workers


def test_a_dry_run_says_what_is_put_off_and_begins_nothing(store: Store, left: Left) -> None:
    before = tree(store.state)
    answer = batch(store, "--dry-run", "alpha", "topics")
    assert (answer.code, dict(answer.rows)) == (0, {ME: "would_defer", OTHER: "would_close"})
    assert all(found["ok"] for found in answer.data["results"])
    # What is to go later does not stay.
    assert answer.data["kept"] == len(store.listed()) - 2
    assert (left.tasks, tree(store.state)) == ([], before)


def test_a_dry_run_names_the_files_that_speak_of_the_own_session(store: Store, left: Left) -> None:
    notes = store.state / "notes"
    notes.mkdir()
    (notes / "own.json").write_text(json.dumps({"about": ME}))
    (notes / "other.json").write_text(json.dumps({"about": OTHER}))
    answer = batch(store, "--dry-run", "alpha", "topics")
    spoken = {found["key"]: [one["kind"] for one in found["effects"]] for found in answer.data["results"]}
    assert spoken == {ME: ["file:notes/own.json"], OTHER: ["file:notes/other.json"]}
    assert left.tasks == []


def test_everything_else_is_closed_and_the_own_session_stays_until_the_turn_has_ended(store: Store, left: Left) -> None:
    was = store.entries()
    lock = store.lock_transcript(ME)
    answer = batch(store, "--reason", "done with it", "alpha", "topics")
    assert (answer.code, dict(answer.rows)) == (0, {ME: "deferred", OTHER: "closed"})
    assert row(answer.data)["ok"] is True
    assert answer.data["kept"] == len(was) - 2
    main = Path(answer.data["receipt"]).stem
    assert store.open_runs() == [main]
    seen = []

    def turn(number: int) -> None:
        seen.append((ME in store.listed(), Path(was[ME]["sessionFile"]).is_file(), store.open_runs(), store.receipts()))
        if number == 3:
            lock.unlink()

    left.meanwhile = turn
    assert left.finish() == 0
    assert seen == [(True, True, [main], [])] * 3
    assert set(was) - set(store.listed()) == {ME, OTHER}
    assert store.open_runs() == []
    found = receipts(store)
    ended = row(found[main])
    assert (found[main]["state"], ended["status"], ended["ok"], ended["error"]) == ("done", "closed", True, None)
    own = found[Path(ended["receipt"]).stem]
    assert ended["receipt"] == str(store.state / "session-closer" / "receipts" / f"{own['id']}.json")
    assert (own["operation"], own["reason"]) == ("close-project-batch", "done with it")
    assert [(s["key"], s["status"]) for each in own["stores"] for s in each["sessions"]] == [(ME, "closed")]


def test_the_receipt_of_the_batch_brings_the_own_session_back_too(store: Store, left: Left) -> None:
    before, raw = store.names(), store.index().read_bytes()
    answer = batch(store, "alpha", "topics")
    left.finish()
    assert {ME, OTHER}.isdisjoint(store.listed())
    again = run_json(RestoreSessions, Path(answer.data["receipt"]).stem, state=store.state)
    assert (again.code, dict(again.rows)) == (0, {ME: "restored", OTHER: "restored"})
    assert {name for name in store.names() if ".bak-" not in name} == before
    assert store.index().read_bytes() == raw


def test_a_run_is_shown_with_the_size_of_what_went_last(store: Store, left: Left) -> None:
    # No other session has its transcript.
    key = LEAD + "project-hydration-tracker"
    size = Path(store.entries()[key]["sessionFile"]).stat().st_size
    assert run_json(CloseProjectBatch, "--self", key, key, "topics", state=store.state).code == 0
    left.finish()
    parts = run_json(RestoreSessions, "--show", "last", state=store.state).data["run"]["parts"]
    [mine] = [part for part in parts if part["key"] == key]
    assert (mine["status"], mine["bytes"], len(mine["archives"])) == ("closed", size, 1)


def test_the_own_session_alone_is_put_off_too(store: Store, left: Left) -> None:
    answer = run_json(CloseProject, "--self", ME, "alpha", state=store.state)
    assert (answer.code, answer.rows) == (0, [(ME, "deferred")])
    assert ME in store.listed()
    assert left.finish() == 0
    assert ME not in store.listed()
    assert row(receipts(store)[Path(answer.data["receipt"]).stem])["status"] == "closed"


@pytest.mark.parametrize("words", [("--force",), ("--yes",), ("--no-restart",)])
def test_no_option_closes_the_own_session_at_once(store: Store, left: Left, words: tuple[str, ...]) -> None:
    store.lock_transcript(ME)
    answer = batch(store, *words, "alpha", "topics")
    assert dict(answer.rows) == {ME: "deferred", OTHER: "closed"}
    assert ME in store.listed()


def test_people_read_that_it_is_put_off(store: Store, left: Left) -> None:
    result = run(CloseProjectBatch, "--self", ME, "alpha", "topics", state=store.state)
    assert result.code == 0
    assert result.stdout.startswith("1 closed, 1 deferred, ")
    assert "when its turn has ended" in result.stdout


def test_a_session_that_is_no_target_is_none_because_it_is_ones_own(store: Store, left: Left) -> None:
    answer = batch(store, "topics")
    assert (answer.code, answer.rows, left.tasks) == (0, [(OTHER, "closed")], [])
    assert ME in store.listed()


def test_a_main_session_is_refused_ones_own_or_not(store: Store, left: Left) -> None:
    answer = run_json(CloseProjectBatch, "--self", LEAD + "main", "main", "topics", state=store.state)
    assert dict(answer.rows) == {LEAD + "main": "refused", OTHER: "closed"}
    assert row(answer.data, LEAD + "main")["reason"] == "main"
    assert left.tasks == []


def test_the_own_session_counts_for_the_limit(store: Store, left: Left) -> None:
    before = tree(store.state)
    answer = batch(store, "--max", "1", "alpha", "topics")
    assert (answer.code, answer.error) == (3, "too_many")
    assert (left.tasks, tree(store.state)) == ([], before)


@pytest.mark.parametrize("word", ["", "--yes"])
def test_a_key_must_be_given(store: Store, left: Left, word: str) -> None:
    before = tree(store.state)
    assert run_json(CloseProject, "alpha", "--self", word, state=store.state).code == 2
    assert tree(store.state) == before


@pytest.mark.parametrize("word", ["alpha", ME])
def test_the_own_session_may_be_named_like_any_other(store: Store, left: Left, word: str) -> None:
    answer = run_json(CloseProjectBatch, "--self", word, "alpha", "topics", state=store.state)
    assert (answer.code, answer.data["warnings"]) == (0, [])
    assert dict(answer.rows)[ME] == "deferred"


@pytest.mark.parametrize("word", ["alhpa", LEAD + "alhpa"])
def test_an_own_session_that_is_not_there_is_said(store: Store, left: Left, word: str) -> None:
    answer = run_json(CloseProject, "--dry-run", "--self", word, "topics", state=store.state)
    assert answer.data["warnings"] == [f"--self {word}: agent project-lead has no such session"]


def test_the_own_session_may_be_another_agents(store: Store, left: Left) -> None:
    words = ("--self", "agent:main:main", "--agent", "project-lead", "topics")
    answer = run_json(CloseProject, "--dry-run", *words, state=store.state)
    assert (answer.code, answer.data["warnings"], dict(answer.rows)) == (0, [], {OTHER: "would_close"})


@pytest.mark.parametrize("words", [("--self", "kelly-dashboard"), ("--self", RESEARCHER + "kelly-dashboard")])
def test_a_project_id_may_be_that_of_the_agent_that_the_run_is_about(
    store: Store, left: Left, words: tuple[str, ...]
) -> None:
    mine = RESEARCHER + "kelly-dashboard"
    for dry in (("--dry-run",), ()):
        answer = run_json(CloseProjectBatch, *words, mine, *dry, state=store.state)
        assert (answer.code, answer.data["warnings"]) == (0, [])
        assert answer.rows == [(mine, "would_defer" if dry else "deferred")]
    assert left.finish() == 0
    assert mine not in store.listed("researcher")


def test_a_project_id_that_its_agent_has_is_no_other_agent_s(store: Store, left: Left) -> None:
    mine, other = LEAD + "kelly-dashboard", RESEARCHER + "kelly-dashboard"
    answer = run_json(CloseProjectBatch, "--self", "kelly-dashboard", mine, other, state=store.state)
    assert dict(answer.rows) == {mine: "deferred", other: "closed"}


def test_a_project_id_that_its_agent_has_not_is_any_other_agent_s(store: Store, left: Left) -> None:
    mine = RESEARCHER + "mine"
    store.add((mine, store.session(mine, agent="researcher")), agent="researcher")
    for dry in (("--dry-run",), ()):
        answer = run_json(CloseProjectBatch, "--self", "mine", mine, OTHER, *dry, state=store.state)
        assert (answer.data["warnings"], dict(answer.rows)[mine]) == ([], "would_defer" if dry else "deferred")


@pytest.mark.parametrize(
    ("words", "who"),
    [
        (("--self", "nope", RESEARCHER + "kelly-dashboard"), "agents project-lead, researcher have"),
        (("--self", RESEARCHER + "nope", "topics"), "agent researcher has"),
        (("--self", "agent:nobody:nope", "topics"), "agent nobody has"),
    ],
)
def test_an_own_session_is_missed_in_other_agents_too(
    store: Store, left: Left, words: tuple[str, ...], who: str
) -> None:
    answer = run_json(CloseProjectBatch, "--dry-run", *words, state=store.state)
    assert answer.data["warnings"] == [f"--self {words[1]}: {who} no such session"]


def test_keep_only_never_closes_the_own_session(store: Store, left: Left) -> None:
    answer = run_json(KeepOnlySessions, "--self", ME, "topics", state=store.state)
    assert answer.code == 1
    assert dict(answer.rows)[ME] == "refused"
    assert (row(answer.data)["reason"], row(answer.data)["ok"]) == ("self", False)
    assert set(store.listed()) == {ME, OTHER, LEAD + "main"}
    assert left.tasks == []


def test_keep_only_keeps_the_own_session_that_was_named(store: Store, left: Left) -> None:
    answer = run_json(KeepOnlySessions, "--self", ME, "topics", "alpha", state=store.state)
    assert answer.code == 0
    assert ME not in dict(answer.rows)
    assert {ME, OTHER} <= set(store.listed())
    assert left.tasks == []


def test_a_turn_that_does_not_end_is_left_alone_and_told(
    store: Store, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TURN_SECONDS", -1.0)
    store.lock_transcript(ME)
    answer = batch(store, "alpha", "topics")
    before = store.index().read_bytes()
    left.finish()
    assert store.index().read_bytes() == before
    ended = row(receipts(store)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["ok"], ended["receipt"]) == ("failed", False, None)
    assert "did not end" in ended["error"]
    assert len(store.receipts()) == 1


def test_a_store_that_cannot_be_read_by_then_is_told(store: Store, left: Left) -> None:
    answer = batch(store, "alpha", "topics")
    store.index().write_bytes(b"{")
    left.finish()
    assert store.index().read_bytes() == b"{"
    ended = row(receipts(store)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["ok"]) == ("failed", False)
    assert str(store.index()) in ended["error"]


def test_what_somebody_else_closed_meanwhile_is_closed(store: Store, left: Left) -> None:
    answer = batch(store, "alpha", "topics")
    assert run_json(CloseProject, "alpha", state=store.state).rows == [(ME, "closed")]
    left.finish()
    ended = row(receipts(store)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["ok"]) == ("already_closed", True)


def test_while_it_waits_others_work_and_take_it_for_no_interrupted_run(store: Store, left: Left) -> None:
    answer = batch(store, "alpha", "topics")
    main = Path(answer.data["receipt"]).stem
    look = run_json(CloseProject, "--dry-run", LEAD + "subagent:2b1c", state=store.state)
    assert look.data["warnings"] == []
    assert run_json(CloseProject, LEAD + "subagent:2b1c", state=store.state).rows == [
        (LEAD + "subagent:2b1c", "closed")
    ]
    assert store.open_runs() == [main]
    listed = run_json(RestoreSessions, "--list", state=store.state).data["receipts"]
    assert [(found["id"], found["state"]) for found in listed if found["id"] == main] == [(main, "open")]
    left.finish()
    assert row(receipts(store)[main])["status"] == "closed"


@pytest.mark.parametrize("words", [("{run}",), ("last",), ("{run}", "--check"), ("last", "--dry-run", "alpha")])
def test_while_it_waits_its_run_cannot_be_undone_and_it_is_said_why(
    store: Store, left: Left, words: tuple[str, ...]
) -> None:
    answer = batch(store, "alpha", "topics")
    main = Path(answer.data["receipt"]).stem
    before = tree(store.state)
    waits = run_json(RestoreSessions, *(word.format(run=main) for word in words), state=store.state)
    assert (waits.code, waits.error) == (4, "busy")
    assert f"run {main} has not ended: it waits until the turn of {ME} ends" in waits.data["error"]["message"]
    assert "has not ended" in run(RestoreSessions, "--list", state=store.state).stdout
    assert tree(store.state) == before
    left.finish()
    assert run_json(RestoreSessions, main, state=store.state).code == 0


def test_a_run_that_closed_nothing_but_its_callers_session_is_listed_with_it(store: Store, left: Left) -> None:
    run_of_it = Path(batch(store, "alpha").data["receipt"]).stem
    left.finish()
    rows = run_json(RestoreSessions, "--list", state=store.state).data["receipts"]
    (found,) = [found for found in rows if found["id"] == run_of_it]
    assert (found["agents"], found["sessions"], found["closed"]) == (["project-lead"], 1, 1)
    assert found["names"] == [ME]


def test_last_is_the_whole_run_with_what_was_closed_for_it_later(store: Store, left: Left) -> None:
    before = store.index().read_bytes()
    batch(store, "alpha", "topics")
    left.finish()
    answer = run_json(RestoreSessions, "last", state=store.state)
    assert (answer.code, dict(answer.rows)) == (0, {ME: "restored", OTHER: "restored"})
    assert store.index().read_bytes() == before


def test_the_own_session_comes_back_as_it_was_at_the_end_of_its_turn(store: Store, left: Left) -> None:
    run_of_it = Path(batch(store, "alpha", "topics").data["receipt"]).stem
    store.add((ME, {**store.entries()[ME], "label": "the turn has ended"}))
    left.finish()
    assert dict(run_json(RestoreSessions, run_of_it, state=store.state).rows)[ME] == "restored"
    assert store.entries()[ME]["label"] == "the turn has ended"


def test_a_process_that_was_killed_leaves_the_session_and_the_next_command_says_so(store: Store, left: Left) -> None:
    answer = batch(store, "alpha", "topics")
    main = Path(answer.data["receipt"]).stem
    left.die()
    again = run_json(CloseProject, LEAD + "subagent:2b1c", state=store.state)
    assert again.code == 0
    assert any(main in warning for warning in again.data["warnings"])
    ended = row(receipts(store)[main])
    assert (ended["status"], ended["ok"]) == ("failed", False)
    assert "ended" in ended["error"]
    assert ME in store.listed()
    assert store.open_runs() == []


def test_the_gateway_tells_when_the_turn_has_ended_and_closes_it_without_a_restart(
    served: Store, stub: StubGateway, openclaw: StubOpenClaw, left: Left
) -> None:
    stub.tell(active=[ME])
    answer = batch(served, "alpha", "topics")
    assert dict(answer.rows) == {ME: "deferred", OTHER: "closed"}
    asked = []

    def turn(number: int) -> None:
        asked.extend(call["key"] for call in stub.calls("sessions.delete"))
        if number == 2:
            stub.tell(active=[])

    left.meanwhile = turn
    left.finish()
    assert left.pauses == 2
    assert ME not in asked
    assert ME not in served.listed()
    assert [call["key"] for call in stub.calls("sessions.delete")] == [OTHER, ME]
    ended = row(receipts(served)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["route"]) == ("closed", "gateway")
    assert openclaw.calls("restart") == []


def test_an_edit_below_a_gateway_is_followed_by_one_restart_at_the_very_end(
    stage: Stage, left: Left, tmp_path: Path
) -> None:
    store = stage("mute")
    calls = tmp_path / "bin" / "calls"
    answer = run_json(CloseProject, "--self", ME, "alpha", state=store.state)
    assert answer.rows == [(ME, "deferred")]
    before = calls.read_text().count("gateway restart") if calls.exists() else 0
    left.finish()
    assert (before, calls.read_text().count("gateway restart")) == (0, 1)
    receipt = receipts(store)[Path(answer.data["receipt"]).stem]
    assert (row(receipt)["route"], receipt["restart"]["result"]) == ("files", "restarted")


def test_no_restart_is_heeded_by_the_process_that_stays(stage: Stage, left: Left, tmp_path: Path) -> None:
    store = stage("mute")
    run_json(CloseProject, "--no-restart", "--self", ME, "alpha", state=store.state)
    left.finish()
    calls = tmp_path / "bin" / "calls"
    assert ME not in store.listed()
    assert not calls.exists() or "gateway restart" not in calls.read_text()


def test_a_restore_below_the_gateway_leaves_the_restart_to_the_process_that_stays(
    served: Store, openclaw: StubOpenClaw, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_json(CloseProject, "topics", state=served.state)
    monkeypatch.setattr(processes, "is_below", lambda pid: True)
    answer = run_json(RestoreSessions, "last", state=served.state)
    assert (answer.code, answer.rows) == (0, [(OTHER, "restored")])
    assert (answer.data["restart"]["result"], answer.data["restart"]["ok"]) == ("handed-off", None)
    main = Path(answer.data["receipt"]).stem
    assert (served.open_runs(), openclaw.calls("restart")) == ([main], [])
    assert left.finish() == 0
    assert (served.open_runs(), len(openclaw.calls("restart"))) == ([], 1)
    receipt = receipts(served)[main]
    assert (receipt["state"], receipt["restart"]["result"]) == ("done", "restarted")
    again = run_json(RestoreSessions, main, "--dry-run", state=served.state)
    assert again.rows == [(OTHER, "would_close")]


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


@pytest.mark.parametrize("how", ["deleted", "archived"])
def test_a_row_is_left_alone_while_its_run_goes_on(bases: Bases, stub: StubGateway, left: Left, how: str) -> None:
    store, beta = bases.store, LEAD + "beta"
    before = bases.rows()[ME]
    stub.tell(active=[ME])
    words = ("--delete",) if how == "deleted" else ()
    answer = batch(store, *words, "alpha", "beta")
    word = "closed" if words else "archived"
    assert dict(answer.rows) == {ME: "deferred", beta: word}
    seen = []

    def turn(number: int) -> None:
        seen.append(bases.rows()[ME])
        if number == 2:
            stub.tell(active=[])

    left.meanwhile = turn
    left.finish()
    assert seen == [before, before]
    ended = row(receipts(store)[Path(answer.data["receipt"]).stem])
    assert (ended["status"], ended["ok"]) == (word, True)
    if words:
        assert ME not in bases.listed()
    else:
        assert bases.rows()[ME]["archived_at"] is not None
        assert bases.rows()[ME]["status"] != "killed"


def test_a_real_process_survives_the_command_and_ends_by_itself(store: Store) -> None:
    lock = store.lock_transcript(ME)
    try:
        result = run_process("close-project-batch", "--json", "--self", ME, "alpha", "topics", state=store.state)
        data = json.loads(result.stdout)
        assert (result.code, row(data)["status"], row(data, OTHER)["status"]) == (0, "deferred", "closed")
        (process,) = workers(store)
        assert store.open_runs() == [Path(data["receipt"]).stem]
        assert ME in store.listed()
        lock.unlink()
        process.wait(PATIENCE_SECONDS)
    finally:
        for left_over in workers(store):
            left_over.kill()
    assert row(receipts(store)[Path(data["receipt"]).stem])["status"] == "closed"
    assert ME not in store.listed()
    assert store.open_runs() == []


def test_a_session_of_the_same_key_that_is_new_by_then_is_another_one(store: Store, left: Left) -> None:
    answer = batch(store, "alpha", "topics")
    entries = store.entries()
    entries[ME] = {"sessionId": session_id("anew"), "updatedAt": 1}
    store.write(entries)
    left.finish()
    assert store.entries()[ME] == entries[ME]
    assert row(receipts(store)[Path(answer.data["receipt"]).stem])["status"] != "closed"
