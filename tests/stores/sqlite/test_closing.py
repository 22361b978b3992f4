"""A session in a database is archived, deleted, verified and on record; every other row stays."""

from __future__ import annotations

import hashlib
import itertools
import json
import stat
from pathlib import Path

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import run, run_json
from support.gateway import StubGateway
from support.keys import LEAD, RESEARCHER
from support.rows import delete, others, picture, the_row
from support.sqlite import CRON_RUN, Bases, database
from support.sqlite_answers import PATCH_MANY
from support.stores import TOKEN
from support.terminal import SLOWLY, on_terminal


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
    assert sum(sizes) == len(many)
    # Nobody waits long for the first one, and none is much larger than what was answered at once.
    assert sizes[0] <= 10
    assert all(later <= 2 * earlier for earlier, later in itertools.pairwise(sizes))
    order = stub.methods()
    assert order.index("sessions.delete") > max(at for at, name in enumerate(order) if name == "sessions.patchMany")
    assert "; OpenClaw deletes one after the other: about 77 s\n" in result.stderr
    shown = [line for line in result.stderr.splitlines() if line.endswith(f" of {len(many)}")]
    assert shown == [*(f"{done} of {len(many)}" for done in range(10, 101, 10)), f"{len(many)} of {len(many)}"]


def test_how_long_deletions_take_is_not_reckoned_from_when_archiving_began(bases: Bases, stub: StubGateway) -> None:
    many = [f"{LEAD}many-{number}" for number in range(12)]
    for key in many:
        bases.add(key, events=1)
    words = ("--delete", *many, "--yes")
    seen = on_terminal("close-project-batch", *words, state=bases.store.state, before=SLOWLY, NO_COLOR="1")
    assert seen.code == 0
    archiving, _, deleting = seen.text.rpartition(" 0 of 12")
    assert "10 of 12" in archiving
    # Each step takes two seconds of that clock.
    assert "6 of 12  0.5/s  12 s left" in deleting


def test_more_than_max_are_refused_as_a_whole(bases: Bases) -> None:
    before = picture(bases)
    answer = delete(bases, "alpha", "beta", "--max", "1")
    assert (answer.code, answer.error) == (3, "too_many")
    assert picture(bases) == before


# Words for people


def test_what_a_person_reads(bases: Bases) -> None:
    result = run(CloseProjectBatch, "--delete", "alpha", "put-away", state=bases.store.state)
    assert result.code == 0
    assert "2 closed" in result.stdout
    assert "1 file archived" in result.stdout
    assert "no restart needed" in result.stdout
    assert "receipt  " in result.stdout
    assert "backup" not in result.stdout


def test_what_was_written_to_since_stands_where_it_stood_in_the_dry_run(bases: Bases) -> None:
    words = ("--agent", "project-lead", "--match", "*a*")
    planned = run_json(CloseProjectBatch, "--dry-run", *words, state=bases.store.state)
    first = planned.rows[0][0]
    with bases.open("project-lead") as connection:
        connection.execute("pragma foreign_keys = off")
        connection.execute("create temp table again as select * from session_nodes where session_key = ?", (first,))
        connection.execute("delete from session_nodes where session_key = ?", (first,))
        connection.execute("insert into session_nodes select * from again")
    done = run_json(CloseProjectBatch, *words, state=bases.store.state)
    assert len(planned.rows) > 2
    assert [key for key, _ in done.rows] == [key for key, _ in planned.rows]
