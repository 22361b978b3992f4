"""Cron jobs that are bound to what is closed: left on and named, or switched off with it and on again by the undo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from session_closer.cli.commands.restore_sessions import RestoreSessions
from session_closer.openclaw.attached import jobs
from session_closer.openclaw.gateway.link import ADMIN
from session_closer.openclaw.sqlite import close as asking
from support.commands import Answer, close, run_json, undo
from support.gateway import StubGateway
from support.keys import LEAD
from support.moments import BORN
from support.shared import add_job, cron, shared
from support.shared import jobs as switched
from support.sqlite import Bases, build_sqlite, reset
from support.stores import TOKEN, Store
from support.trees import write

ALPHA, BETA = LEAD + "alpha", LEAD + "beta"
BOUND = {"sessionTarget": f"session:{ALPHA}"}


@pytest.fixture
def bases(tmp_path: Path, stub: StubGateway) -> Bases:
    """Databases, and a job that runs in a session, one that reports to it, one that is off and one of another's."""
    made = build_sqlite(Store(tmp_path / "state", stub.port))
    state = made.store.state
    add_job(state, "runs", **BOUND)
    add_job(state, "reports", sessionTarget="isolated", sessionKey=ALPHA)
    add_job(state, "off", enabled=False, **BOUND)
    add_job(state, "other", sessionTarget=f"session:{BETA}")
    stub.serve(state, TOKEN)
    return made


def on(bases: Bases) -> set[str]:
    return {name.removeprefix("job-") for name, is_on in switched(bases.store.state).items() if is_on}


ALL_ON = {"runs", "reports", "other"}


def the_row(answer: Answer, key: str = ALPHA) -> dict[str, Any]:
    (row,) = (row for row in answer.data["results"] if row["key"] == key)
    return dict(row)


def actions(row: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["action"] for one in row["effects"] if one["kind"] == "cron-job"}


def receipt(answer: Answer) -> dict[str, Any]:
    (store,) = json.loads(Path(str(answer.data["receipt"])).read_text())["stores"]
    (session,) = (one for one in store["sessions"] if one["key"] == ALPHA)
    return dict(session)


def scopes(stub: StubGateway) -> set[str]:
    return {scope for call in stub.calls("connect") for scope in call["scopes"]}


def touch(bases: Bases, which: str, **patch: Any) -> None:
    """Change a job, as its owner does."""
    cron(bases.store.state, "cron.update", {"id": f"job-{which}", "patch": patch}, BORN + 7)


@pytest.mark.parametrize("words", [[], ["--delete"], ["--dry-run", "--with-jobs"]], ids=" ".join)
def test_without_the_option_no_job_is_changed_and_nobody_is_asked_for_more(
    bases: Bases, stub: StubGateway, words: list[str]
) -> None:
    answer = close(bases, *words, "alpha")
    assert answer.code == 0
    assert on(bases) == ALL_ON
    assert set(actions(the_row(answer))) == {"runs", "reports"}
    assert not stub.calls("cron.update")
    assert ADMIN not in scopes(stub)


def test_what_each_job_will_do_is_said(bases: Bases) -> None:
    notes = {one["name"]: one["note"] for one in the_row(close(bases, "alpha"))["effects"] if one["name"]}
    assert "next run" in notes["runs"]
    assert "fails while the key is archived" in notes["runs"]
    assert "cannot report here" in notes["reports"]
    add_job(bases.store.state, "anew", sessionTarget=f"session:{LEAD}never-spoken")
    row = the_row(close(bases, "--delete", "never-spoken"), LEAD + "never-spoken")
    assert any("makes the key anew" in one["note"] for one in row["effects"])


@pytest.mark.parametrize("words", [[], ["--delete"]], ids=" ".join)
def test_with_it_the_bound_ones_that_are_on_go_off_and_are_on_record(
    bases: Bases, stub: StubGateway, words: list[str]
) -> None:
    dry = close(bases, "--dry-run", *words, "--with-jobs", "alpha")
    answer = close(bases, *words, "--with-jobs", "alpha")
    assert answer.code == 0
    assert on(bases) == {"other"}
    expected = {"runs": "disabled", "reports": "disabled"}
    assert actions(the_row(dry)) == actions(the_row(answer)) == actions(receipt(answer)) == expected
    assert {one["id"] for one in receipt(answer)["jobs"]} == {"job-runs", "job-reports"}
    assert all(one["at"] >= one["asked"] > 0 for one in receipt(answer)["jobs"])
    assert any("operator.admin" in line for line in answer.data["gateway"]["evidence"])
    assert "operator.admin" in answer.stderr


@pytest.mark.parametrize(
    ("words", "pin"),
    [(["--dry-run"], "again"), ([], "again"), (["--delete", "--dry-run"], "exact"), (["--delete"], "exact")],
)
def test_only_jobs_are_switched_off(bases: Bases, words: list[str], pin: str) -> None:
    add_job(bases.store.state, "bound", sessionTarget=f"session:{LEAD}pinned")
    row = the_row(close(bases, *words, "--with-jobs", "pinned"), LEAD + "pinned")
    made = {one["kind"]: (one["action"], one["undo"]) for one in row["effects"]}
    assert made == {"cron-job": ("disabled", "again"), "pin": ("removed", pin)}


def test_what_archives_is_no_admin(bases: Bases, stub: StubGateway) -> None:
    close(bases, "--with-jobs", "alpha")
    methods = stub.methods()
    connects = stub.calls("connect")[: methods[: methods.index("sessions.patchMany")].count("connect")]
    assert connects
    assert not any(ADMIN in call["scopes"] for call in connects)


def test_the_undo_switches_on_exactly_those(bases: Bases) -> None:
    answer = close(bases, "--with-jobs", "alpha")
    back = undo(bases, answer)
    assert (back.code, the_row(back)["status"]) == (0, "restored")
    assert on(bases) == ALL_ON
    assert "notRestored" not in the_row(back)


@pytest.mark.parametrize("change", [{"name": "else"}, {"enabled": False}], ids=str)
def test_one_that_somebody_has_touched_since_stays_as_it_is(bases: Bases, change: dict[str, Any]) -> None:
    answer = close(bases, "--with-jobs", "alpha")
    touch(bases, "runs", **change)
    back = undo(bases, answer)
    assert back.code == 0
    assert on(bases) == {"reports", "other"}
    (left,) = the_row(back)["notRestored"]
    assert (left["kind"], left["count"]) == ("cron-job", 1)
    assert "changed it since" in left["why"]


def test_one_that_was_deleted_or_is_on_again_is_no_failure(bases: Bases) -> None:
    answer = close(bases, "--with-jobs", "alpha")
    touch(bases, "runs", enabled=True)
    with shared(bases.store.state) as connection:
        connection.execute("delete from cron_jobs where job_id = 'job-reports'")
    back = undo(bases, answer)
    assert (back.code, on(bases)) == (0, {"runs", "other"})
    (left,) = the_row(back)["notRestored"]
    assert "deleted" in left["why"]


@pytest.mark.parametrize("refuse", ["admin", "cron"])
def test_without_the_right_no_job_is_changed_and_which_stay_on_is_said(
    bases: Bases, stub: StubGateway, refuse: str
) -> None:
    stub.tell(refuse=refuse)
    answer = close(bases, "--with-jobs", "alpha")
    row = the_row(answer)
    assert (answer.code, row["status"], row["ok"]) == (1, "archived", False)
    assert on(bases) == ALL_ON
    for part in ("runs", "reports", "stays on", "fails while the key is archived"):
        assert part in row["error"]
    assert actions(row) == actions(receipt(answer)) == {"runs": "kept", "reports": "kept"}
    assert receipt(answer)["jobs"] == []
    stub.tell(refuse=None)
    assert undo(bases, answer).code == 0
    assert on(bases) == ALL_ON


def test_an_undo_without_the_right_says_what_to_do_and_can_be_tried_again(bases: Bases, stub: StubGateway) -> None:
    answer = close(bases, "--with-jobs", "alpha")
    stub.tell(refuse="admin")
    back = undo(bases, answer)
    assert (back.code, the_row(back)["status"]) == (1, "restored")
    assert "openclaw cron enable job-runs" in the_row(back)["error"]
    assert [one["kind"] for one in the_row(back)["notRestored"]] == ["cron-job", "cron-job"]
    assert on(bases) == {"other"}
    again = undo(bases, answer)
    assert (again.code, the_row(again)["status"], the_row(again)["ok"]) == (1, "already_restored", False)
    stub.tell(refuse=None)
    again = undo(bases, answer)
    assert (again.code, the_row(again)["status"]) == (0, "already_restored")
    assert on(bases) == ALL_ON


def test_a_session_that_did_not_go_keeps_its_jobs(bases: Bases, stub: StubGateway) -> None:
    used = {"method": "sessions.delete", "do": "write-before", "agent": "project-lead", "sql": [
        ("update session_nodes set current_session_id = 'else' where session_key = ?", (ALPHA,))]}  # fmt: skip
    stub.tell(faults=[used])
    answer = close(bases, "--delete", "--with-jobs", "alpha")
    assert the_row(answer)["status"] == "came_back"
    assert on(bases) == ALL_ON


def test_a_killed_run_whose_session_is_in_use_again_gives_its_jobs_back(
    bases: Bases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(asking, "delete", killed)
        patch.setattr(asking, "judge", killed)
        with pytest.raises(SystemExit):
            close(bases, "--delete", "--with-jobs", "alpha")
    assert on(bases) == {"other"}
    with bases.open("project-lead") as connection:
        for statement in reset(ALPHA, "fresh"):
            connection.execute(*statement)
    assert close(bases, "nobody", "--missing-ok").code == 0
    assert on(bases) == ALL_ON


def test_keep_only_and_a_cleanup_do_the_same(bases: Bases) -> None:
    assert close(bases, "beta", "--with-jobs", command=KeepOnlySessions).code == 0
    assert on(bases) == {"other"}
    key = LEAD + "subagent:7f3a"
    bases.add(key)
    add_job(bases.store.state, "sub", sessionTarget=f"session:{key}")
    words = ("--agent", "project-lead", "--stale", "subagent=1h", "--with-jobs")
    assert close(bases, *words, command=CleanupSessions).code == 0
    assert on(bases) == {"other"}


def test_a_job_of_two_sessions_is_switched_once_and_comes_back_with_either(bases: Bases) -> None:
    add_job(bases.store.state, "both", sessionTarget=f"session:{BETA}", sessionKey=ALPHA)
    answer = close(bases, "--with-jobs", "alpha", "beta")
    assert on(bases) == set()
    assert undo(bases, answer, BETA).code == 0
    assert on(bases) == {"other", "both"}
    assert undo(bases, answer, ALPHA).code == 0
    assert on(bases) == {*ALL_ON, "both"}


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
def test_after_a_lost_answer_the_undo_knows_whether_it_was_us(bases: Bases, stub: StubGateway, fault: str) -> None:
    stub.tell(faults=[{"method": "cron.update", "call": [1], "do": fault}])
    answer = close(bases, "--with-jobs", "alpha")
    assert (answer.code, the_row(answer)["ok"]) == (1, False)
    assert "not known" in the_row(answer)["error"]
    stub.tell(faults=[])
    assert undo(bases, answer).code == 0
    assert on(bases) == ALL_ON


@pytest.mark.parametrize("after", [False, True], ids=["ahead of the call", "behind it"])
def test_what_a_killed_run_switched_off_is_known_to_the_next(
    bases: Bases, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    switch = jobs._Jobs.switch

    def killed(self: Any, job: dict[str, Any], *, on: bool) -> int:
        if after:
            switch(self, job, on=on)
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        patch.setattr(jobs._Jobs, "switch", killed)
        with pytest.raises(SystemExit):
            close(bases, "--with-jobs", "alpha")
    assert len(on(bases)) == 3 - after
    said = close(bases, "nobody", "--missing-ok")
    assert any("is finished now" in warning for warning in said.data["warnings"])
    (found,) = bases.store.receipts()
    (session,) = found["stores"][0]["sessions"]
    (asked,) = session["jobs"]
    left_on = {one["name"] for one in session["effects"] if one["kind"] == "cron-job" and one["action"] == "kept"}
    assert len(left_on) == 1
    assert f"job-{left_on.pop()}" != asked["id"]
    assert run_json(RestoreSessions, found["id"], state=bases.store.state).code == 0
    assert on(bases) == ALL_ON


def test_jobs_in_a_file_are_named(tmp_path: Path, closed_port: int) -> None:
    store = Store(tmp_path / "state", closed_port)
    store.write({ALPHA: store.session("alpha")})
    rows = [
        {"id": "1", "name": "mine", "enabled": True, "agentId": "project-lead", **BOUND},
        {"id": "2", "name": "bare", "enabled": True, "sessionTarget": "session:alpha", "agentId": "project-lead"},
        {"id": "3", "name": "off", "enabled": False, "agentId": "project-lead", **BOUND},
    ]
    folder = store.state / "cron"
    folder.mkdir()
    write(folder / "jobs.json", json.dumps({"version": 1, "jobs": rows}))
    write(folder / "jobs-state.json", json.dumps({"jobs": {"1": {"state": {"nextRunAtMs": BORN}}}}))
    row = the_row(run_json(CloseProjectBatch, "--dry-run", "alpha", state=store.state))
    assert {one["name"]: "next run" in one["note"] for one in row["effects"]} == {"mine": True, "bare": False}
    answer = run_json(CloseProjectBatch, "--with-jobs", "alpha", state=store.state)
    assert (answer.code, the_row(answer)["status"]) == (1, "closed")
    assert "stays on" in the_row(answer)["error"]
    assert run_json(RestoreSessions, "last", state=store.state).code == 0
    write(folder / "jobs.json", "{")
    answer = run_json(CloseProjectBatch, "alpha", state=store.state)
    assert answer.code == 0
    assert any("jobs.json" in warning for warning in answer.data["warnings"])


def test_of_several_agents_each_job_that_stays_on_is_told(tmp_path: Path, closed_port: int) -> None:
    store = Store(tmp_path / "state", closed_port)
    keys_of = {agent: f"agent:{agent}:alpha" for agent in ("one", "three", "two")}
    for agent, key in keys_of.items():
        store.write({key: store.session(key, agent=agent)}, agent)
    rows = [
        {"id": agent, "name": agent, "enabled": True, "agentId": agent, "sessionTarget": f"session:{key}"}
        for agent, key in keys_of.items()
    ]
    (store.state / "cron").mkdir()
    write(store.state / "cron" / "jobs.json", json.dumps({"version": 1, "jobs": rows}))
    answer = run_json(CloseProjectBatch, "--with-jobs", *keys_of.values(), state=store.state)
    told = {row["agent"]: (row["status"], "stays on" in str(row["error"])) for row in answer.data["results"]}
    assert (answer.code, told) == (1, dict.fromkeys(keys_of, ("closed", True)))
    (found,) = store.receipts()
    sessions = {each["agent"]: each["sessions"] for each in found["stores"]}
    assert {agent: [one["key"] for one in own] for agent, own in sessions.items()} == {
        agent: [key] for agent, key in keys_of.items()
    }


def test_a_gateway_that_cannot_give_one_job_is_asked_for_all(bases: Bases, stub: StubGateway) -> None:
    stub.tell(faults=[{"method": "cron.get", "do": "error", "error": {"message": "unknown method: cron.get"}}])
    answer = close(bases, "--with-jobs", "alpha")
    assert (answer.code, on(bases)) == (0, {"other"})
    assert undo(bases, answer).code == 0
    assert on(bases) == ALL_ON
