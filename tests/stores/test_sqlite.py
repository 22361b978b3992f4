"""Sessions in SQLite, through the commands: what is closed, what is left alone, and what the gateway is asked."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.list_sessions import ListSessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.journal.journal import Journal
from session_closer.openclaw.files import close as closing
from session_closer.openclaw.gateway import client
from session_closer.openclaw.sqlite import close as asking
from support.commands import Answer, run, run_json, run_process
from support.gateway import StubGateway, stub_gateway
from support.keys import LEAD, RESEARCHER
from support.sqlite import CRON_RUN, Bases, begun_run, build_sqlite, database, event, reset
from support.sqlite_answers import PATCH_MANY
from support.stores import TOKEN, Store
from support.trees import tree, write

OTHER_PLACE = "/srv/openclaw/state"


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StubGateway]:
    """The gateway's process."""
    with stub_gateway(tmp_path_factory.mktemp("gateway")) as made:
        yield made


@pytest.fixture
def down(tmp_path: Path, closed_port: int) -> Bases:
    """The sample, closed cleanly; its gateway does not run."""
    return build_sqlite(Store(tmp_path / "state", closed_port))


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway, monkeypatch: pytest.MonkeyPatch) -> Bases:
    """The sample, and its gateway runs."""
    monkeypatch.setattr(closing, "SETTLE_SECONDS", 0.01)
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    stub.serve(made.store.state, TOKEN)
    return made


def close(bases: Bases, *words: str, command: Any = CloseProjectBatch) -> Answer:
    return run_json(command, *words, state=bases.store.state)


def delete(bases: Bases, *words: str, command: Any = CloseProjectBatch) -> Answer:
    return close(bases, "--delete", *words, command=command)


def the_row(answer: Answer) -> dict[str, Any]:
    (row,) = answer.data["results"]
    return dict(row)


def picture(bases: Bases) -> dict[str, Any]:
    """Return all rows and events: what must be as it was where nothing was to be changed."""
    agents = sorted(path.parent.parent.name for path in bases.store.state.glob("agents/*/agent/*.sqlite"))
    return {agent: (bases.rows(agent), bases.events(agent)) for agent in agents}


def others(bases: Bases, before: dict[str, Any], *closed: str) -> bool:
    """Tell whether everything but the closed sessions is as it was."""
    expected = {}
    for agent, (rows, events) in before.items():
        gone = {row["current_session_id"] for key, row in rows.items() if key in closed}
        expected[agent] = (
            {key: row for key, row in rows.items() if key not in closed},
            {at: text for at, text in events.items() if at[0] not in gone},
        )
    return picture(bases) == expected


def archive_of(bases: Bases, session: str, agent: str = "project-lead") -> Path:
    (found,) = [path for path in bases.archives(agent) if path.name.startswith(f"{session}.jsonl.deleted.")]
    return found


# Closing


def test_a_session_is_archived_deleted_verified_and_on_record(bases: Bases, stub: StubGateway) -> None:
    before = picture(bases)
    was = before["project-lead"][0][LEAD + "alpha"]
    answer = delete(bases, "alpha", command=CloseProject)
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")
    session = was["current_session_id"]
    archive = archive_of(bases, session)
    row = the_row(answer)
    assert (row["route"], row["sessionId"], row["archives"]) == ("gateway", session, [str(archive)])
    path = str(database(bases.store.state, "project-lead"))
    assert answer.data["stores"] == [{"agent": "project-lead", "path": path, "era": "sqlite", "backup": None}]
    assert answer.data["restart"]["result"] == "not-needed"
    assert answer.data["gateway"]["version"] == "2026.9.6"
    assert answer.data["kept"] == len(before["project-lead"][0]) - 1
    (target,) = [target for call in stub.calls("sessions.patchMany") for target in call["targets"]]
    assert target == {"key": LEAD + "alpha", "expectedSessionId": session}
    (asked,) = stub.calls("sessions.delete")
    assert asked == {
        "key": LEAD + "alpha",
        "expectedSessionId": session,
        "deleteTranscript": True,
        "archivedOnly": True,
    }
    order = stub.methods()
    assert order.index("sessions.patchMany") < order.index("sessions.delete") < len(order) - 1
    assert order[-1] == "sessions.list"


def test_the_receipt_holds_the_row_byte_for_byte_and_the_archive(bases: Bases) -> None:
    was = bases.rows()[LEAD + "kelly-dashboard"]
    answer = delete(bases, "kelly-dashboard", "--reason", "done with it")
    path = Path(answer.data["receipt"])
    assert path.parent == bases.store.state / "session-closer" / "receipts"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    receipt = json.loads(path.read_bytes())
    assert (receipt["state"], receipt["reason"]) == ("done", "done with it")
    (store,) = receipt["stores"]
    assert (store["era"], store["agent"], store["backup"]) == ("sqlite", "project-lead", None)
    (session,) = store["sessions"]
    raw = was["entry_json"].encode()
    assert session["entry"].encode() == raw
    assert (session["length"], session["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert (session["key"], session["sessionId"]) == (was["session_key"], was["current_session_id"])
    assert (session["events"], session["status"], session["hidden"]) == (1, "closed", False)
    (move,) = session["moves"]
    archive = archive_of(bases, was["current_session_id"])
    assert (move["source"], move["target"]) == (f"{was['current_session_id']}.jsonl", archive.name)
    assert (move["size"], move["mtimeNs"]) == (archive.stat().st_size, archive.stat().st_mtime_ns)
    assert not bases.store.open_runs()


def test_a_batch_of_two_agents_leaves_every_other_row_and_event_alone(bases: Bases) -> None:
    before = picture(bases)
    targets = [LEAD + "alpha", LEAD + "beta", RESEARCHER + "gamma", CRON_RUN, LEAD + "never-spoken"]
    answer = delete(bases, *targets)
    assert (answer.code, answer.rows) == (0, [(key, "closed") for key in targets])
    assert others(bases, before, *targets)
    assert len(bases.archives()) == 4
    assert len(bases.archives("researcher")) == 1
    (receipt,) = bases.store.receipts()
    assert {store["agent"] for store in receipt["stores"]} == {"project-lead", "researcher"}


def test_the_same_command_again_is_fine_and_asks_for_no_change(bases: Bases, stub: StubGateway) -> None:
    assert delete(bases, "alpha", "beta").code == 0
    before, asked = picture(bases), len(stub.calls("sessions.patchMany"))
    answer = delete(bases, "alpha", "beta")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "already_closed"), (LEAD + "beta", "already_closed")])
    assert picture(bases) == before
    assert len(stub.calls("sessions.patchMany")) == asked
    assert len(stub.calls("sessions.delete")) == 2
    assert answer.data["receipt"] is None


def test_a_name_that_is_nowhere_is_not_found(bases: Bases) -> None:
    before = picture(bases)
    answer = delete(bases, "alpah", "beta")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpah", "not_found"), (LEAD + "beta", "closed")])
    assert "did you mean" in answer.data["results"][0]["error"]
    assert others(bases, before, LEAD + "beta")
    assert delete(bases, "alpah", "--missing-ok").code == 0


def test_project_ids_stand_for_their_keys(bases: Bases) -> None:
    before = picture(bases)
    assert delete(bases, "hydration-tracker").rows == [(LEAD + "project-hydration-tracker", "closed")]
    assert others(bases, before, LEAD + "project-hydration-tracker")


@pytest.mark.parametrize("word", ["main", LEAD + "main", RESEARCHER + "main"])
def test_a_main_session_is_refused(bases: Bases, stub: StubGateway, word: str) -> None:
    before = picture(bases)
    answer = delete(bases, word, "--force", "--yes")
    assert answer.code == 3
    assert (the_row(answer)["status"], the_row(answer)["reason"]) == ("refused", "main")
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")
    assert not stub.calls("sessions.delete")


def test_keep_only_closes_the_rest_but_main_and_what_is_archived(bases: Bases) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", LEAD + "pinned", command=KeepOnlySessions)
    stay = {LEAD + "main", LEAD + "alpha", LEAD + "pinned", LEAD + "put-away"}
    closed = set(before["project-lead"][0]) - stay
    assert answer.code == 0
    assert {key for key, status in answer.rows if status == "closed"} == closed
    assert others(bases, before, *closed)
    assert answer.data["kept"] == len(stay)


def test_keep_only_with_an_unknown_name_changes_nothing(bases: Bases) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", "nowhere", command=KeepOnlySessions)
    assert (answer.code, answer.error) == (3, "unknown_name")
    assert picture(bases) == before


def test_an_archived_session_is_closed_where_it_is_named(bases: Bases) -> None:
    before = picture(bases)
    assert delete(bases, "put-away").rows == [(LEAD + "put-away", "closed")]
    assert others(bases, before, LEAD + "put-away")


def test_runs_of_cron_jobs_are_closed_though_no_list_has_them(bases: Bases) -> None:
    before = picture(bases)
    assert delete(bases, CRON_RUN).rows == [(CRON_RUN, "closed")]
    assert others(bases, before, CRON_RUN)


def test_keys_are_used_as_they_are_written(bases: Bases) -> None:
    before = picture(bases)
    key = LEAD + "matrix:!RoomAbc:Server"
    assert delete(bases, key).rows == [(key, "closed")]
    assert others(bases, before, key)


def test_of_keys_that_differ_by_case_only_the_one_that_is_named_goes(bases: Bases) -> None:
    key = LEAD + "matrix:!RoomAbc:Server"
    bases.add(LEAD + "matrix:!roomabc:server")
    before = picture(bases)
    answer = delete(bases, "matrix:!RoomAbc:Server")
    assert (answer.code, the_row(answer)["reason"]) == (3, "ambiguous")
    assert picture(bases) == before
    assert delete(bases, key).rows == [(key, "closed")]
    assert others(bases, before, key)


def test_a_bare_key_is_left_alone_as_the_gateway_would_take_it_for_another_agents(
    bases: Bases, stub: StubGateway
) -> None:
    bases.add("project-bare", agent="project-lead")
    before = picture(bases)
    answer = delete(bases, "project-bare")
    assert (answer.code, answer.rows) == (1, [("project-bare", "failed")])
    assert picture(bases) == before
    assert not stub.calls("sessions.delete")


def test_an_agent_that_is_not_in_the_configuration_is_served(bases: Bases, stub: StubGateway) -> None:
    bases.create("retired")
    bases.add("agent:retired:alpha")
    bases.add("agent:retired:beta")
    stub.serve(bases.store.state, TOKEN)
    assert delete(bases, "alpha", "--agent", "retired").rows == [("agent:retired:alpha", "closed")]
    refused = {"message": "unknown agent id", "code": "INVALID_REQUEST"}
    stub.tell(faults=[{"method": "sessions.list", "do": "error", "error": refused}])
    answer = delete(bases, "beta", "--agent", "retired")
    assert (answer.code, answer.rows) == (0, [("agent:retired:beta", "closed")])
    assert any("only the database was looked at" in warning for warning in answer.data["warnings"])
    assert bases.listed("retired") == set()


def test_more_than_a_hundred_are_archived_by_several_calls_before_the_first_is_deleted(
    bases: Bases, stub: StubGateway
) -> None:
    many = [f"{LEAD}many-{number}" for number in range(PATCH_MANY + 3)]
    for key in many:
        bases.add(key, events=1)
    before = picture(bases)
    result = run(CloseProjectBatch, "--delete", *many, "--yes", "--verbose", state=bases.store.state)
    assert result.code == 0
    assert others(bases, before, *many)
    sizes = [len(call["targets"]) for call in stub.calls("sessions.patchMany")]
    assert sizes == [PATCH_MANY, 3]
    order = stub.methods()
    assert order.index("sessions.delete") > max(at for at, name in enumerate(order) if name == "sessions.patchMany")
    shown = [line for line in result.stderr.splitlines() if line.endswith(f" of {len(many)}")]
    assert shown == [*(f"{done} of {len(many)}" for done in range(10, 101, 10)), f"{len(many)} of {len(many)}"]


def test_more_than_max_are_refused_as_a_whole(bases: Bases) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", "beta", "--max", "1")
    assert (answer.code, answer.error) == (3, "too_many")
    assert picture(bases) == before


# --archive


def test_archive_hides_and_deletes_nothing(bases: Bases, stub: StubGateway) -> None:
    before = bases.rows()
    events = bases.events()
    answer = close(bases, "alpha", "beta", "--archive")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "archived"), (LEAD + "beta", "archived")])
    after = bases.rows()
    assert bases.events() == events
    assert not stub.calls("sessions.delete")
    for key in (LEAD + "alpha", LEAD + "beta"):
        assert after[key]["archived_at"] is not None
        assert after.pop(key)["current_session_id"] == before.pop(key)["current_session_id"]
    assert after == before
    (receipt,) = bases.store.receipts()
    assert {(one["status"], one["hidden"]) for one in receipt["stores"][0]["sessions"]} == {("archived", True)}


def test_archive_of_an_archived_session_changes_nothing(bases: Bases, stub: StubGateway) -> None:
    before = picture(bases)
    answer = close(bases, "put-away", "--archive")
    assert (answer.code, answer.rows) == (0, [(LEAD + "put-away", "already_closed")])
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("how", [["--archive"], []])
def test_what_was_archived_or_deleted_by_a_run_and_is_gone_is_closed_already(bases: Bases, how: list[str]) -> None:
    close(bases, "alpha", *how)
    with bases.open("project-lead") as connection:
        connection.execute("delete from session_nodes where session_key = ?", (LEAD + "alpha",))
    answer = close(bases, "alpha")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "already_closed")])


@pytest.mark.parametrize("killed", [False, True])
def test_an_archive_of_years_ago_is_none_of_a_session_that_left_none(
    bases: Bases, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    session = bases.rows()[LEAD + "never-spoken"]["current_session_id"]
    for stamp in ("2019-05-01T10-00-00.000Z", f"2020-05-01T10-00-00.000Z.{'0' * 32}.zst"):
        write(bases.store.folder() / f"{session}.jsonl.deleted.{stamp}", "of years ago")
    real = client.delete

    def leaves_no_archive(*words: Any, **more: Any) -> list[str]:
        for path in real(*words, **more):
            Path(path).unlink(missing_ok=True)
        return []

    monkeypatch.setattr(client, "delete", leaves_no_archive)
    if killed:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "finish", lambda _self, _last: "")
            patch.setattr(asking, "settled", lambda work: work.record)
            delete(bases, "never-spoken")
        assert bases.store.open_runs()
        delete(bases, "alpha")
    else:
        assert delete(bases, "never-spoken").rows == [(LEAD + "never-spoken", "closed")]
    (found,) = [row for receipt in bases.store.receipts() for store in receipt["stores"] for row in store["sessions"]
                if row["key"] == LEAD + "never-spoken"]  # fmt: skip
    assert (found["status"], found["moves"]) == ("closed", [])


def test_keep_only_can_archive(bases: Bases) -> None:
    count = len(bases.listed())
    answer = close(bases, "alpha", "--archive", command=KeepOnlySessions)
    assert (answer.code, {status for _, status in answer.rows}) == (0, {"archived"})
    rows = bases.rows()
    assert len(rows) == count
    assert {key for key, row in rows.items() if row["archived_at"] is None} == {LEAD + "main", LEAD + "alpha"}


def test_a_dry_run_of_archive_says_so_and_changes_nothing(bases: Bases) -> None:
    before = picture(bases)
    answer = close(bases, "alpha", "--archive", "--dry-run")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "would_archive")])
    assert picture(bases) == before


def test_a_file_store_knows_no_archive(store: Store) -> None:
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", "--archive", state=store.state)
    assert (answer.code, answer.error) == (3, "no_archive")
    assert tree(store.state) == before


# Sessions in use


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_a_run_in_flight_is_refused(bases: Bases, stub: StubGateway, words: tuple[str, ...]) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = close(bases, "alpha", *words)
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


def test_a_run_in_flight_is_ended_by_force(bases: Bases, stub: StubGateway) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = delete(bases, "alpha", "--force")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")


def test_a_status_that_the_gateway_does_not_confirm_is_left_over(bases: Bases, stub: StubGateway) -> None:
    bases.add(LEAD + "crashed", status="running")
    stub.tell(stale=[LEAD + "crashed"])
    assert delete(bases, "crashed").rows == [(LEAD + "crashed", "closed")]


def test_a_cron_run_that_says_running_is_refused_as_no_list_has_it(bases: Bases) -> None:
    key = LEAD + "cron:nightly:run:beef"
    bases.add(key, status="running")
    before = picture(bases)
    answer = delete(bases, key)
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before
    assert delete(bases, key, "--force").rows == [(key, "closed")]


def test_a_run_that_begins_after_the_first_look_is_refused(bases: Bases, stub: StubGateway) -> None:
    """The first list shows no run, the second one, under the lock, does."""
    stub.tell(faults=[{"method": "sessions.list", "call": [1], "do": "write-after", "agent": "project-lead",
                       "sql": [begun_run(LEAD + "alpha")]}])  # fmt: skip
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "refused"), (LEAD + "beta", "closed")]
    row = bases.rows()[LEAD + "alpha"]
    assert (row["status"], row["archived_at"]) == ("running", None)


def came_back(bases: Bases, stub: StubGateway, *sql: Any, when: str = "write-before") -> Answer:
    """Close two sessions while somebody writes just ahead of the archive, or just after it."""
    fault = {"method": "sessions.patchMany", "call": [1], "do": when, "agent": "project-lead", "sql": list(sql)}
    stub.tell(faults=[fault])
    answer = delete(bases, "alpha", "beta")
    assert answer.code == 1
    assert answer.rows == [(LEAD + "alpha", "came_back"), (LEAD + "beta", "closed")]
    row = bases.rows()[LEAD + "alpha"]
    assert row["archived_at"] is None
    assert "archivedAt" not in json.loads(row["entry_json"])
    assert [call["key"] for call in stub.calls("sessions.delete")] == [LEAD + "beta"]
    (receipt,) = bases.store.receipts()
    status = {session["key"]: session["status"] for session in receipt["stores"][0]["sessions"]}
    assert status == {LEAD + "alpha": "came_back", LEAD + "beta": "closed"}
    return answer


def test_a_message_that_arrives_before_the_archive_keeps_the_session(bases: Bases, stub: StubGateway) -> None:
    session = bases.rows()[LEAD + "alpha"]["current_session_id"]
    came_back(bases, stub, event(session, 2, "wait, one more thing"))
    assert "one more thing" in bases.events()[session, 2]
    assert len(bases.archives()) == 1


def test_a_run_that_begins_just_before_the_archive_keeps_the_session(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, begun_run(LEAD + "alpha"))


def test_a_session_that_is_reset_before_the_archive_stays(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, *reset(LEAD + "alpha", "a-new-session"))
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_a_session_that_is_restored_and_reset_after_the_archive_stays(bases: Bases, stub: StubGateway) -> None:
    came_back(bases, stub, *reset(LEAD + "alpha", "a-new-session"), when="write-after")


def test_a_session_that_is_reset_before_its_deletion_stays(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "write-before", "agent": "project-lead",
                       "sql": reset(LEAD + "alpha", "a-new-session")}])  # fmt: skip
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "came_back"), (LEAD + "beta", "closed")]
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_an_archived_session_that_is_used_stays_archived(bases: Bases, stub: StubGateway) -> None:
    """It was archived by somebody else, so it is not taken out of there."""
    before = bases.rows()[LEAD + "put-away"]
    stub.tell(faults=[{"method": "sessions.patchMany", "call": [1], "do": "write-before", "agent": "project-lead",
                       "sql": [event(before["current_session_id"], 2)]}])  # fmt: skip
    answer = delete(bases, "put-away", "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "put-away", "came_back"), (LEAD + "alpha", "closed")])
    assert bases.rows()[LEAD + "put-away"] == before
    assert (before["current_session_id"], 2) in bases.events()


# A gateway that lies, stumbles or is slow


@pytest.mark.parametrize("words", [(), ("--delete",)])
def test_an_archive_that_did_not_happen_is_no_closed_session_and_nothing_is_deleted(
    bases: Bases, stub: StubGateway, words: tuple[str, ...]
) -> None:
    stub.tell(faults=[{"method": "sessions.patchMany", "do": "lie"}])
    before = picture(bases)
    answer = close(bases, "alpha", *words)
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "failed")])
    assert "not closed" in the_row(answer)["error"]
    assert picture(bases) == before
    assert not stub.calls("sessions.delete")


def test_a_deletion_that_did_not_happen_is_no_closed_session(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "lie"}])
    answer = delete(bases, "alpha", "beta")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "archived"), (LEAD + "beta", "closed")])
    hidden = answer.data["results"][0]
    assert (hidden["ok"], hidden["reason"], hidden["archives"]) == (False, None, [])
    assert "not deleted" in hidden["error"]
    assert bases.rows()[LEAD + "alpha"]["archived_at"] is not None
    (receipt,) = bases.store.receipts()
    assert {s["key"]: s["status"] for s in receipt["stores"][0]["sessions"]}[LEAD + "alpha"] == "archived"


def test_what_was_hidden_and_not_deleted_is_seen_again_after_the_undo(bases: Bases, stub: StubGateway) -> None:
    before = bases.rows()[LEAD + "alpha"]
    stub.tell(faults=[{"method": "sessions.delete", "do": "error", "error": {"message": "locked"}}])
    closed = delete(bases, "alpha")
    assert (closed.code, closed.rows) == (1, [(LEAD + "alpha", "archived")])
    back = close(bases, Path(closed.data["receipt"]).stem, command=RestoreSessions)
    assert (back.code, back.rows) == (0, [(LEAD + "alpha", "restored")])
    after = bases.rows()[LEAD + "alpha"]
    assert {**after, "updated_at": 0, "entry_json": ""} == {**before, "updated_at": 0, "entry_json": ""}


@pytest.mark.parametrize("words", [(), ("--verbose",)])
def test_what_is_hidden_and_waits_for_its_deletion_is_called_so(
    bases: Bases, stub: StubGateway, words: tuple[str, ...]
) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [2], "do": "drop-before"}])
    said = run(CloseProjectBatch, "--delete", "alpha", "beta", *words, state=bases.store.state)
    assert (said.code, said.stdout.splitlines()[0].split(",")[:2]) == (6, ["1 closed", " 1 archived"])
    (line,) = [line for line in said.stdout.splitlines() if LEAD + "beta" in line]
    assert "archived" in line
    assert "its deletion is pending: the same command again finishes it" in line
    assert "failed" not in said.stdout


def test_what_the_gateway_still_lists_is_no_closed_session(bases: Bases, stub: StubGateway) -> None:
    session = bases.rows()[LEAD + "alpha"]["current_session_id"]
    stub.tell(ghosts=[{"key": LEAD + "alpha", "sessionId": session, "hasActiveRun": False}])
    answer = delete(bases, "alpha")
    assert (answer.code, answer.rows) == (1, [(LEAD + "alpha", "failed")])
    assert "lists it still" in the_row(answer)["error"]
    (receipt,) = bases.store.receipts()
    assert receipt["stores"][0]["sessions"][0]["status"] == "failed"


def test_a_key_that_is_used_again_at_once_has_come_back(bases: Bases, stub: StubGateway) -> None:
    stub.tell(ghosts=[{"key": LEAD + "alpha", "sessionId": "another", "hasActiveRun": False}])
    assert delete(bases, "alpha").rows == [(LEAD + "alpha", "came_back")]


def test_one_refused_deletion_stops_no_other(bases: Bases, stub: StubGateway) -> None:
    refused = {"message": "This session cannot be deleted while model selection is locked."}
    stub.tell(faults=[{"method": "sessions.delete", "call": [1], "do": "error", "error": refused}])
    answer = delete(bases, "alpha", "beta")
    assert answer.rows == [(LEAD + "alpha", "archived"), (LEAD + "beta", "closed")]
    assert "model selection is locked" in answer.data["results"][0]["error"]


def test_a_refused_archive_deletes_nothing(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.patchMany", "do": "error", "error": {"message": "the disk is full"}}])
    before = picture(bases)
    answer = delete(bases, "alpha", "beta")
    assert (answer.code, {status for _, status in answer.rows}) == (1, {"failed"})
    assert "the disk is full" in answer.data["results"][0]["error"]
    assert picture(bases) == before
    assert not stub.calls("sessions.delete")


@pytest.mark.parametrize("method", ["connect", "sessions.list", "sessions.patchMany", "sessions.delete"])
def test_a_gateway_that_asks_to_be_asked_again_is(bases: Bases, stub: StubGateway, method: str) -> None:
    stub.tell(faults=[{"method": method, "call": [1, 2], "do": "retryable"}])
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")
    assert len(stub.calls(method)) > 2


# Other stores, and other ways in


def test_stores_of_two_eras_in_one_batch(bases: Bases) -> None:
    files = bases.store
    files.add(*((key, files.session(key, agent="main")) for key in ("agent:main:main", "agent:main:x")), agent="main")
    before = picture(bases)
    answer = delete(bases, "agent:main:x", LEAD + "alpha")
    assert (answer.code, answer.rows) == (0, [("agent:main:x", "closed"), (LEAD + "alpha", "closed")])
    assert others(bases, before, LEAD + "alpha")
    assert files.listed("main") == ["agent:main:main"]
    assert {store["agent"]: store["era"] for store in answer.data["stores"]} == {
        "main": "files", "project-lead": "sqlite",
    }  # fmt: skip
    (receipt,) = files.receipts()
    assert {store["agent"]: store["backup"] is None for store in receipt["stores"]} == {
        "main": False, "project-lead": True,
    }  # fmt: skip


def test_archiving_two_eras_in_one_batch_changes_neither(bases: Bases) -> None:
    files = bases.store
    files.add(("agent:main:x", files.session("agent:main:x", agent="main")), agent="main")
    before, index = picture(bases), files.index("main").read_bytes()
    answer = close(bases, "agent:main:x", LEAD + "alpha", "--archive")
    assert (answer.code, answer.error) == (3, "no_archive")
    assert (picture(bases), files.index("main").read_bytes()) == (before, index)


@pytest.mark.parametrize("words", [(), ("--force", "--yes"), ("--dry-run",)])
def test_via_files_is_refused(bases: Bases, stub: StubGateway, words: tuple[str, ...]) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", "--via", "files", *words)
    assert (answer.code, answer.error) == (3, "sqlite_store")
    assert picture(bases) == before
    assert not bases.store.index().exists()
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("life", ["down", "up"])
def test_a_file_beside_the_database_is_refused(request: pytest.FixtureRequest, life: str) -> None:
    made: Bases = request.getfixturevalue("bases" if life == "up" else "down")
    write(made.store.index(), "{}")
    before = picture(made)
    answer = close(made, "alpha")
    assert (answer.code, answer.error) == (3, "mixed_store")
    assert "openclaw doctor" in answer.data["error"]["remedy"]
    assert picture(made) == before
    assert made.store.index().read_text() == "{}"


def test_tables_without_the_columns_that_are_read_are_refused(bases: Bases) -> None:
    with bases.open("project-lead") as connection:
        connection.execute("alter table session_nodes rename column entry_json to entry_text")
    before = picture(bases)
    for words in ((), ("--dry-run",)):
        answer = delete(bases, "alpha", *words)
        assert (answer.code, answer.error) == (3, "unknown_store")
        assert "entry_json" in answer.data["error"]["message"]
        assert picture(bases) == before


LOOKS = {
    "list": (ListSessions, ()),
    "close": (CloseProjectBatch, ("alpha",)),
    "keep": (KeepOnlySessions, (LEAD + "beta",)),
    "cleanup": (CleanupSessions, ()),
}
looks = pytest.mark.parametrize("look", LOOKS)


@looks
@pytest.mark.parametrize("column", ["session_key", "current_session_id", "status"])
def test_bytes_where_there_should_be_text_are_refused(down: Bases, column: str, look: str) -> None:
    with down.open("project-lead") as connection:
        connection.execute("pragma foreign_keys = off")
        connection.execute("pragma ignore_check_constraints = on")
        connection.execute(f"update session_nodes set {column} = x'00ff' where session_key = ?", (LEAD + "alpha",))
    command, words = LOOKS[look]
    answer = run_json(command, *words, state=down.store.state)
    assert answer.code == {"list": 0, "cleanup": 1}.get(look, 3), answer
    assert "bytes for text" in json.dumps(answer.data)


def test_a_view_in_the_place_of_a_table_is_never_asked(down: Bases) -> None:
    with down.open("project-lead") as connection:
        columns = [row[0] for row in connection.execute("select name from pragma_table_info('session_nodes')")]
        connection.execute("pragma foreign_keys = off")
        connection.execute("alter table session_nodes rename to aside")
        endless = "with recursive r(n) as (select 1 union all select n + 1 from r)"
        named = ", ".join(f"n as {column}" for column in columns)
        connection.execute(f"create view session_nodes as {endless} select {named} from r where n < 0")
    # In a process of its own: nothing but its end ends a query.
    done = run_process("close-project-batch", "--json", "alpha", state=down.store.state)
    assert (done.code, json.loads(done.stdout)["error"]["name"]) == (3, "unknown_store")


@pytest.mark.parametrize("version", [23, 24, 99])
def test_a_newer_schema_with_the_same_columns_is_taken(bases: Bases, stub: StubGateway, version: int) -> None:
    bases.create("future", version)
    bases.add("agent:future:alpha")
    with bases.open("future") as connection:
        connection.execute("alter table session_nodes add column something_new text")
    stub.serve(bases.store.state, TOKEN)
    assert delete(bases, "agent:future:alpha").rows == [("agent:future:alpha", "closed")]


# The gateway is a must


def test_nothing_happens_while_the_gateway_is_down(down: Bases) -> None:
    before = tree(down.store.state)
    for words in ((), ("--archive",), ("--via", "gateway"), ("--dry-run",)):
        answer = close(down, "alpha", *words)
        assert (answer.code, answer.error) == (6, "gateway_needed")
        assert "openclaw gateway start" in answer.data["error"]["remedy"]
        assert answer.data["receipt"] is None
        assert tree(down.store.state) == before


@pytest.mark.parametrize(
    ("command", "words", "code"),
    [
        (CloseProjectBatch, ("nowhere",), 1),
        (CloseProjectBatch, ("main",), 3),
        (CloseProjectBatch, ("put-away", "--archive"), 0),
        (KeepOnlySessions, ("nowhere",), 3),
    ],
)
def test_what_changes_nothing_needs_no_gateway(down: Bases, command: Any, words: tuple[str, ...], code: int) -> None:
    before = tree(down.store.state)
    assert close(down, *words, command=command).code == code
    assert tree(down.store.state) == before


def test_a_dry_run_of_a_database_that_is_in_use_sees_what_is_in_its_wal(bases: Bases) -> None:
    bases.add(LEAD + "brand-new")
    path = database(bases.store.state, "project-lead")
    raw, before = path.read_bytes(), picture(bases)
    answer = delete(bases, "brand-new", "--dry-run")
    assert (answer.code, answer.rows) == (0, [(LEAD + "brand-new", "would_close")])
    assert path.read_bytes() == raw
    assert picture(bases) == before
    assert not (bases.store.state / "session-closer").exists()


def test_a_wrong_token_is_exit_6(bases: Bases) -> None:
    bases.store.configure(token="a-wrong-one")
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "token mismatch" in answer.data["error"]["message"]
    assert "a-wrong-one" not in json.dumps(answer.data) + answer.stderr
    assert picture(bases) == before


def test_a_gateway_of_another_state_directory_is_exit_6(bases: Bases, stub: StubGateway) -> None:
    stub.tell(hello=OTHER_PLACE)
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert OTHER_PLACE in json.dumps(answer.data["gateway"])
    assert picture(bases) == before
    assert not stub.calls("sessions.patchMany")


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
def test_a_connection_that_breaks_is_exit_6_and_the_same_command_finishes(
    bases: Bases, stub: StubGateway, fault: str
) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "call": [2], "do": fault}])
    before = picture(bases)
    answer = delete(bases, "alpha", "beta", "kelly-dashboard")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    expected = ("closed", None, True) if fault == "drop-after" else ("archived", "pending", False)
    assert [(row["status"], row["reason"], row["ok"]) for row in answer.data["results"]] == [
        ("closed", None, True), expected, ("archived", "pending", False),
    ]  # fmt: skip
    assert answer.data["kept"] == len(before["project-lead"][0]) - 3
    assert "the same command again" in answer.data["error"]["remedy"]
    assert bases.store.open_runs()
    again = delete(bases, "alpha", "beta", "kelly-dashboard")
    assert (again.code, {status for _, status in again.rows}) == (0, {"already_closed"})
    assert others(bases, before, *(LEAD + tail for tail in ("alpha", "beta", "kelly-dashboard")))
    assert not bases.store.open_runs()


def test_two_commands_at_once_close_everything_once(bases: Bases) -> None:
    targets = [f"{LEAD}many-{number}" for number in range(12)]
    for key in targets:
        bases.add(key)
    before = picture(bases)
    with ThreadPoolExecutor() as pool:
        parts = (targets[:8], targets[4:])
        running = [
            pool.submit(run_process, "close-project-batch", "--json", "--delete", *part, state=bases.store.state)
            for part in parts
        ]
    results = [each.result() for each in running]
    assert [result.code for result in results] == [0, 0], results
    rows = [row for result in results for row in json.loads(result.stdout)["results"]]
    assert {row["status"] for row in rows} <= {"closed", "already_closed"}
    closed = [row["key"] for row in rows if row["status"] == "closed"]
    assert sorted(closed) == sorted(targets)
    assert others(bases, before, *targets)
    assert len(bases.archives()) == len(targets)


# --url, --token-file, --gateway-state-dir


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    write(path, TOKEN + "\n")
    return path


@pytest.fixture
def elsewhere(bases: Bases, stub: StubGateway, closed_port: int) -> Bases:
    """The sample, with a gateway of which nothing is to be seen from here."""
    assert stub.lock is not None
    stub.lock.unlink()
    bases.store.port = closed_port
    bases.store.configure(token=None)
    return bases


def named(stub: StubGateway, token_file: Path, *more: str) -> tuple[str, ...]:
    return ("--url", f"ws://127.0.0.1:{stub.port}", "--token-file", str(token_file), *more)


def test_a_gateway_is_named_by_url_and_token_file(elsewhere: Bases, stub: StubGateway, token_file: Path) -> None:
    before = picture(elsewhere)
    assert close(elsewhere, "alpha").code == 6
    answer = delete(elsewhere, "alpha", *named(stub, token_file))
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(elsewhere, before, LEAD + "alpha")
    assert TOKEN not in json.dumps(answer.data) + answer.stderr


def test_a_gateway_in_a_container_calls_the_state_directory_otherwise(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    stub.tell(hello=OTHER_PLACE)
    before = picture(elsewhere)
    for more in ((), ("--gateway-state-dir", "/srv/another")):
        answer = close(elsewhere, "alpha", *named(stub, token_file, *more))
        assert (answer.code, answer.error) == (6, "other_gateway")
        assert picture(elsewhere) == before
    assert not stub.calls("sessions.patchMany")
    answer = delete(elsewhere, "alpha", *named(stub, token_file, "--gateway-state-dir", OTHER_PLACE))
    assert (answer.code, answer.rows) == (0, [(LEAD + "alpha", "closed")])
    assert others(elsewhere, before, LEAD + "alpha")


def test_a_gateway_that_serves_us_is_not_taken_for_the_one_in_the_container(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    answer = close(elsewhere, "alpha", *named(stub, token_file, "--gateway-state-dir", OTHER_PLACE))
    assert (answer.code, answer.error) == (6, "other_gateway")


def test_a_named_gateway_that_does_not_say_whom_it_serves_is_asked_nothing_else(
    elsewhere: Bases, stub: StubGateway, token_file: Path
) -> None:
    stub.tell(hello=None)
    answer = close(elsewhere, "alpha", *named(stub, token_file))
    assert (answer.code, answer.error) == (6, "other_gateway")
    assert stub.methods() == ["connect", "health"]


def test_a_named_gateway_with_another_token_is_exit_6(elsewhere: Bases, stub: StubGateway, tmp_path: Path) -> None:
    write(tmp_path / "wrong", "not-the-token")
    answer = close(elsewhere, "alpha", *named(stub, tmp_path / "wrong"))
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "not-the-token" not in json.dumps(answer.data) + answer.stderr


def test_a_named_gateway_that_is_not_there_is_exit_6(elsewhere: Bases, closed_port: int, token_file: Path) -> None:
    url = ("--url", f"ws://127.0.0.1:{closed_port}", "--token-file", str(token_file))
    answer = close(elsewhere, "alpha", *url)
    assert (answer.code, answer.error) == (6, "gateway_needed")


def test_a_named_gateway_without_any_token_is_exit_6(elsewhere: Bases, stub: StubGateway, tmp_path: Path) -> None:
    assert close(elsewhere, "alpha", "--url", f"ws://127.0.0.1:{stub.port}").code == 6
    write(tmp_path / "empty", "\n")
    assert close(elsewhere, "alpha", *named(stub, tmp_path / "empty")).code == 6
    assert stub.methods() == []


@pytest.mark.parametrize(
    "url",
    [
        "ws://gateway.example:18789",
        "ws://10.0.0.1:18789",
        "ws://0.0.0.0:18789",
        "ws://[2001:db8::1]:18789",
        "ws://127.0.0.1.gateway.example:18789",
        "ws://127.gateway.example:18789",
        "ws://localhost.gateway.example:18789",
        "ws://127.0.0.1\t.gateway.example:18789",
        "ws://gateway.example\\@127.0.0.1:18789",
        "http://127.0.0.1:18789",
        "127.0.0.1:18789",
        "ws://",
        "ws://127.0.0.1:99999999",
        "ws://127.0.0.1:0",
        "ws://[::1",
    ],
)
def test_an_address_that_would_give_the_token_away_is_a_usage_error(down: Bases, url: str, token_file: Path) -> None:
    before = tree(down.store.state)
    answer = close(down, "alpha", "--url", url, "--token-file", str(token_file))
    assert (answer.code, answer.error) == (2, "usage")
    assert tree(down.store.state) == before


@pytest.mark.parametrize("shape", ["ws://me:{}@127.0.0.1:1", "ws://{}@127.0.0.1:1", "ws://:{}@127.0.0.1:1",
                                   "wss://x.example/?token={}", "wss://x.example/#{}", "ws://{}@[::1"])  # fmt: skip
@pytest.mark.parametrize("form", ["apart", "joined"])
def test_an_address_with_a_secret_in_it_is_a_usage_error_that_does_not_repeat_it(
    down: Bases, shape: str, form: str
) -> None:
    url = shape.format("hunter2")
    words = ("--url", url) if form == "apart" else (f"--url={url}",)
    for shown in (run(CloseProjectBatch, "alpha", *words, state=down.store.state),
                  run(CloseProjectBatch, "--json", "alpha", *words, state=down.store.state)):  # fmt: skip
        assert shown.code == 2
        assert "hunter2" not in shown.stdout + shown.stderr


def test_a_token_file_that_is_none_is_a_usage_error(down: Bases, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    before = tree(down.store.state)
    for path in (tmp_path / "nowhere", tmp_path, tmp_path / "pipe"):
        answer = close(down, "alpha", "--url", "ws://127.0.0.1:1", "--token-file", str(path))
        assert (answer.code, answer.error) == (2, "usage")
    assert tree(down.store.state) == before


@pytest.mark.parametrize("words", [("--token-file", "FILE"), ("--gateway-state-dir", "/srv/x")])
def test_what_belongs_to_url_needs_it(down: Bases, token_file: Path, words: tuple[str, str]) -> None:
    answer = close(down, "alpha", *(word.replace("FILE", str(token_file)) for word in words))
    assert (answer.code, answer.error) == (2, "usage")


@pytest.mark.parametrize("words", [("--url", "ws://127.0.0.1:1"), ("--token-file", "FILE")])
def test_a_demonstration_connects_to_nothing(token_file: Path, words: tuple[str, str]) -> None:
    answer = run_json(CloseProjectBatch, "--demo", "x", *(word.replace("FILE", str(token_file)) for word in words))
    assert (answer.code, answer.error) == (2, "usage")


# The token


def test_the_token_is_in_no_output_no_receipt_and_no_process_list(
    bases: Bases, stub: StubGateway, token_file: Path
) -> None:
    """While the gateway takes its time, whoever looks at the process list sees the command line and environment."""
    seen = bases.store.state.parent / "seen"
    look = textwrap.dedent(f"""
        import os, pathlib
        import session_closer.openclaw.sqlite.close as asking
        real = asking.delete
        def looking(*arguments, **options):
            found = b""
            for process in pathlib.Path("/proc").iterdir() if os.path.isdir("/proc/self") else ():
                if process.name.isdecimal():
                    try:
                        found += (process / "cmdline").read_bytes()
                    except OSError:
                        pass
            pathlib.Path({str(seen)!r}).write_bytes(found + repr(os.environ).encode())
            return real(*arguments, **options)
        asking.delete = looking
    """)
    secret = "a-token-for-this-test-alone"
    stub.tell(token=secret)
    write(token_file, secret)
    bases.store.configure(token=secret)
    for at, words in enumerate(((), named(stub, token_file))):
        target = ("alpha", "beta")[at]
        result = run_process(
            "close-project", target, "--verbose", "--json", *words, state=bases.store.state, before=look
        )
        assert result.code == 0, result.stderr
        assert secret not in result.stdout + result.stderr
        assert seen.exists()
        assert secret.encode() not in seen.read_bytes()
        seen.unlink()
    for path in bases.store.state.rglob("session-closer/**/*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()


# Without a token: the `openclaw` command


@pytest.fixture
def openclaw(bases: Bases, stub: StubGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `openclaw` command that gets through to the stub; no token is configured. Return its log."""
    bases.store.configure(token=None)
    folder = tmp_path / "bin"
    folder.mkdir()
    program = f"""\
        #!{sys.executable} -B
        import json, os, sys
        sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
        from pathlib import Path
        from support.stub import answer
        words = sys.argv[1:]
        with open({str(folder / "log")!r}, "a") as log:
            log.write(json.dumps([words, os.environ.get("OPENCLAW_STATE_DIR")]) + "\\n")
        assert words[:2] == ["gateway", "call"], words
        method, params = words[2], json.loads(words[words.index("--params") + 1])
        if method == "update.status":
            said = {{"ok": True, "payload": {{"status": "current"}}}}
        else:
            said = answer(Path({str(stub.folder)!r}), {{"id": "1", "method": method, "params": params}})
        if said["ok"]:
            print(json.dumps(said["payload"]))
        else:
            sys.stderr.write(f"Error: {{said['error']['code']}}: {{said['error']['message']}}\\n")
            sys.exit(1)
    """
    write(folder / "openclaw", textwrap.dedent(program), mode=0o700)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(folder / "openclaw"))
    return folder / "log"


def test_without_a_token_the_openclaw_command_is_asked(bases: Bases, openclaw: Path) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", LEAD + "gone", "--missing-ok")
    assert answer.code == 0, answer
    assert answer.rows == [(LEAD + "alpha", "closed"), (LEAD + "gone", "not_found")]
    assert others(bases, before, LEAD + "alpha")
    calls = [json.loads(line) for line in openclaw.read_text().splitlines()]
    assert {place for _, place in calls} == {str(bases.store.state)}
    assert {words[2] for words, _ in calls} >= {"sessions.list", "sessions.patchMany", "sessions.delete"}


def test_without_a_token_a_session_that_was_reset_stays(bases: Bases, openclaw: Path, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "sessions.delete", "do": "write-before", "agent": "project-lead",
                       "sql": reset(LEAD + "alpha", "a-new-session")}])  # fmt: skip
    assert delete(bases, "alpha").rows == [(LEAD + "alpha", "came_back")]
    assert bases.rows()[LEAD + "alpha"]["current_session_id"] == "a-new-session"
    assert ("a-new-session", 0) in bases.events()


def test_without_a_token_a_run_in_flight_is_seen_all_the_same(bases: Bases, openclaw: Path, stub: StubGateway) -> None:
    stub.tell(active=[LEAD + "alpha"])
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, the_row(answer)["reason"]) == (3, "running")
    assert picture(bases) == before


def test_without_a_token_and_openclaw_it_is_exit_6(bases: Bases) -> None:
    bases.store.configure(token=None)
    before = picture(bases)
    answer = delete(bases, "alpha")
    assert (answer.code, answer.error) == (6, "gateway_needed")
    assert "no token" in answer.data["error"]["message"]
    assert picture(bases) == before


# A file store below an OpenClaw of the SQLite era


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, name: str = "openclaw") -> None:
    """Put an openclaw package on PATH; without a version, a script that is no package and says nothing useful."""
    package = folder / "lib" / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    write(package / "openclaw.mjs", "#!/bin/sh\nexit 1\n", mode=0o700)
    if version is not None:
        write(package / "package.json", json.dumps({"name": name, "version": version}))
    (folder / "bin").mkdir()
    (folder / "bin" / "openclaw").symlink_to(package / "openclaw.mjs")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("words", [(), ("--via", "files"), ("--force", "--yes"), ("--dry-run",)])
@pytest.mark.parametrize("version", ["2026.9.6", "2026.8.1", "2026.7.2-beta.3"])
def test_a_file_store_that_was_not_migrated_is_refused(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, words: tuple[str, ...]
) -> None:
    installed(tmp_path / "usr", monkeypatch, version)
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", *words, state=store.state)
    assert (answer.code, answer.error) == (3, "unmigrated_store")
    assert version in answer.data["error"]["message"]
    assert "openclaw doctor --fix" in answer.data["error"]["remedy"]
    assert tree(store.state) == before


@pytest.mark.parametrize("version", ["2026.7.35", "2026.5.7", "2026.7.2", "none-of-that", "", None])
def test_a_file_store_of_an_older_or_unknown_openclaw_is_closed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None
) -> None:
    installed(tmp_path / "usr", monkeypatch, version)
    assert run_json(CloseProjectBatch, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]


def test_a_package_of_another_name_says_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path / "usr", monkeypatch, "2026.9.6", name="something-else")
    assert run_json(CloseProjectBatch, "alpha", state=store.state).rows == [(LEAD + "alpha", "closed")]


def test_a_version_that_only_the_command_says_counts(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "openclaw", "#!/bin/sh\necho 'OpenClaw 2026.9.6 (abcdef0)'\n", mode=0o700)
    monkeypatch.setenv("SESSION_CLOSER_OPENCLAW", str(tmp_path / "openclaw"))
    before = tree(store.state)
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert (answer.code, answer.error) == (3, "unmigrated_store")
    assert tree(store.state) == before


def test_a_running_gateway_vouches_for_its_file_store(
    tmp_path: Path, stub: StubGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "SETTLE_SECONDS", 0.01)
    files = Store(tmp_path / "state", stub.port)
    files.add((LEAD + "alpha", files.session(LEAD + "alpha")))
    installed(tmp_path / "usr", monkeypatch, "2026.9.6")
    stub.serve(files.state, TOKEN)
    assert run_json(CloseProjectBatch, "alpha", state=files.state).rows == [(LEAD + "alpha", "closed")]


# Words for people


def test_what_a_person_reads(bases: Bases) -> None:
    result = run(CloseProjectBatch, "--delete", "alpha", "put-away", state=bases.store.state)
    assert result.code == 0
    assert "2 closed" in result.stdout
    assert "1 file archived" in result.stdout
    assert "no restart needed" in result.stdout
    assert "receipt  " in result.stdout
    assert "backup" not in result.stdout
