"""A cron job and its latest run are two rows with one session id, and one transcript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.restore_sessions import RestoreSessions
from support.commands import Answer, close, run_json
from support.gateway import StubGateway, StubOpenClaw
from support.keys import LEAD
from support.sqlite import CRON_RUN, Bases, build_sqlite, event
from support.stores import TOKEN, Store

JOB, ALPHA = LEAD + "cron:nightly", LEAD + "alpha"


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases in which the job and its latest run have one session id."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    one, other = (made.rows()[key]["current_session_id"] for key in (JOB, CRON_RUN))
    with made.open("project-lead") as connection:
        connection.execute("delete from session_windows where session_id = ?", (other,))
        connection.execute(
            "update session_nodes set current_session_id = ?, entry_json = json_set(entry_json, '$.sessionId', ?)"
            " where session_key = ?",
            (one, one, CRON_RUN),
        )
    stub.serve(made.store.state, TOKEN)
    assert shared_id(made) == made.rows()[CRON_RUN]["current_session_id"]
    return made


def shared_id(bases: Bases) -> str:
    return str(bases.rows()[JOB]["current_session_id"])


def leaves_no_archive(stub: StubGateway, *keys: str) -> None:
    """Let the gateway delete these rows one by one without an archive, as it does where another row has the id."""
    faults: list[dict[str, Any]] = []
    for number, key in enumerate(keys, 1):
        gone = ("delete from session_nodes where session_key = ?", (key,))
        faults.append({"method": "sessions.delete", "call": [number], "do": "lie"})
        faults.append(
            {
                "method": "sessions.delete",
                "call": [number],
                "do": "write-after",
                "agent": "project-lead",
                "sql": [gone],
            }
        )
    stub.tell(faults=faults)


def delete(bases: Bases, *words: str) -> Answer:
    return close(bases, "--delete", *words)


def goes_down(bases: Bases, stub: StubGateway, closed_port: int) -> None:
    bases.store.port = closed_port
    bases.store.configure()
    assert stub.lock is not None
    stub.lock.unlink()


def checked(bases: Bases, receipt: str) -> list[tuple[str, str]]:
    return run_json(RestoreSessions, Path(receipt).stem, "--check", state=bases.store.state).rows


def test_a_run_whose_transcript_stays_with_its_job_can_be_brought_back(
    bases: Bases, stub: StubGateway, closed_port: int, openclaw: StubOpenClaw
) -> None:
    leaves_no_archive(stub, CRON_RUN)
    closed = delete(bases, CRON_RUN)
    assert closed.rows == [(CRON_RUN, "closed")]
    assert (JOB in bases.listed(), CRON_RUN in bases.listed(), bases.archives()) == (True, False, [])
    goes_down(bases, stub, closed_port)
    assert checked(bases, closed.data["receipt"]) == [(CRON_RUN, "would_restore")]


def test_a_run_whose_job_was_closed_later_is_brought_back_with_the_jobs_transcript(
    bases: Bases, stub: StubGateway, closed_port: int, openclaw: StubOpenClaw
) -> None:
    leaves_no_archive(stub, CRON_RUN)
    closed = delete(bases, CRON_RUN)
    assert delete(bases, JOB).rows == [(JOB, "closed")]
    (archive,) = bases.archives()
    assert archive.name.startswith(shared_id_of(closed))
    goes_down(bases, stub, closed_port)
    assert checked(bases, closed.data["receipt"]) == [(CRON_RUN, "would_restore")]


def test_a_run_whose_transcript_is_nowhere_cannot_be_brought_back(
    bases: Bases, stub: StubGateway, closed_port: int
) -> None:
    leaves_no_archive(stub, CRON_RUN, JOB)
    closed = delete(bases, CRON_RUN)
    assert delete(bases, JOB).rows == [(JOB, "closed")]
    assert bases.archives() == []
    goes_down(bases, stub, closed_port)
    assert checked(bases, closed.data["receipt"]) == [(CRON_RUN, "failed")]


def shared_id_of(answer: Answer) -> str:
    (row,) = answer.data["results"]
    return str(row["sessionId"])


def asked(stub: StubGateway, *, archived: bool) -> list[list[str]]:
    """Return the keys of each call that archives, or takes out of the archive; no call has a session id twice."""
    found = []
    for call in stub.calls("sessions.patchMany"):
        ids = [target["expectedSessionId"] for target in call["targets"]]
        assert len(set(ids)) == len(ids), call
        if call["patch"] == {"archived": archived}:
            found.append([target["key"] for target in call["targets"]])
    return found


def test_no_call_has_a_session_id_twice_where_rows_are_deleted(bases: Bases, stub: StubGateway) -> None:
    answer = delete(bases, JOB, CRON_RUN, "alpha")
    assert dict(answer.rows) == dict.fromkeys((JOB, CRON_RUN, ALPHA), "closed")
    assert sorted(key for keys in asked(stub, archived=True) for key in keys) == sorted((JOB, CRON_RUN, ALPHA))
    assert len(asked(stub, archived=True)) == 2
    assert {JOB, CRON_RUN, ALPHA}.isdisjoint(bases.listed())


def test_no_call_has_a_session_id_twice_where_rows_are_archived_and_taken_back(bases: Bases, stub: StubGateway) -> None:
    answer = close(bases, "--archive", JOB, CRON_RUN, "alpha")
    assert dict(answer.rows) == dict.fromkeys((JOB, CRON_RUN, ALPHA), "archived")
    assert sorted(key for keys in asked(stub, archived=True) for key in keys) == sorted((JOB, CRON_RUN, ALPHA))
    back = run_json(RestoreSessions, Path(answer.data["receipt"]).stem, state=bases.store.state)
    assert (back.code, dict(back.rows)) == (0, dict.fromkeys((JOB, CRON_RUN, ALPHA), "restored"))
    assert sorted(key for keys in asked(stub, archived=False) for key in keys) == sorted((JOB, CRON_RUN, ALPHA))
    assert len(asked(stub, archived=False)) == 2
    assert all(bases.rows()[key]["archived_at"] is None for key in (JOB, CRON_RUN, ALPHA))


def test_no_call_has_a_session_id_twice_where_what_was_used_meanwhile_is_taken_back(
    bases: Bases, stub: StubGateway
) -> None:
    spoken = {"method": "sessions.patchMany", "call": [1], "do": "write-after", "agent": "project-lead"}
    stub.tell(faults=[{**spoken, "sql": [event(shared_id(bases), 9)]}])
    answer = delete(bases, JOB, CRON_RUN)
    assert answer.code == 1
    assert sorted(asked(stub, archived=False)) == sorted([[JOB], [CRON_RUN]])
    assert all(bases.rows()[key]["archived_at"] is None for key in (JOB, CRON_RUN))
