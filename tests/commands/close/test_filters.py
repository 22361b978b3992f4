"""The closing commands choose by what sessions are: all filters hold, people's conversations stay unless named."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.close_project_batch import CloseProjectBatch
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import Answer, run, run_json
from support.keys import LEAD, RESEARCHER, session_id
from support.listing import DAY, HOUR
from support.stores import Store
from support.trees import tree, write
from support.worker import Between

KELLY, OLD, RUN, CRON = LEAD + "kelly", LEAD + "project-old", LEAD + "cron:n:run:1", LEAD + "cron:n"
GROUP, PINNED, MAIN = LEAD + "telegram:group:-1", LEAD + "pinned", LEAD + "main"
AGES = {KELLY: HOUR, OLD: 9 * DAY, RUN: 3 * DAY, CRON: 3 * DAY, GROUP: 9 * DAY, PINNED: 9 * DAY, MAIN: 9 * DAY}


@pytest.fixture
def filled(store: Store) -> Store:
    """A store with a session of each sort, and the same keys in another agent's."""
    now = int(time.time() * 1000)
    store.write({})
    for agent in ("project-lead", "researcher"):
        for key, age in AGES.items():
            own = key if agent == "project-lead" else key.replace(LEAD, RESEARCHER)
            more: dict[str, Any] = {"pinnedAt": now} if key == PINNED else {}
            more |= {"sessionFile": str(store.folder(agent) / f"{session_id(own)}.jsonl")} if key == KELLY else {}
            more |= {"label": "Test"} if key in (KELLY, OLD) else {}
            store.add((own, {"sessionId": session_id(own), "updatedAt": now - age, **more}), agent=agent)
    return store


def close(store: Store, *words: str) -> Answer:
    """Close; what a dry run says before is the same."""
    dry = run_json(CloseProjectBatch, "--dry-run", *words, state=store.state)
    answer = run_json(CloseProjectBatch, *words, state=store.state)
    went = {"would_close": "closed"}
    assert [(key, went.get(status, status)) for key, status in dry.rows] == answer.rows
    assert dry.code == answer.code
    return answer


def status(answer: Answer, named: str) -> set[str]:
    return {key for key, became in answer.rows if became == named}


@pytest.mark.parametrize(
    ("words", "gone", "kept"),
    [
        (["--kind", "project"], {KELLY, OLD}, {PINNED}),
        (["--kind", "project", "--older-than", "2d"], {OLD}, {PINNED}),
        (["--match", "*:cron:*"], {RUN}, {CRON}),
        (["--match", "*:cron:*", "--kind", "cron"], {CRON}, set()),
        (["--older-than", "8d"], {OLD}, {GROUP, PINNED, MAIN}),
        (["--older-than", "8d", "--kind", "group,project"], {OLD, GROUP}, {PINNED}),
        (["--kind", "main"], set(), {MAIN}),
        (["--label", "test"], {KELLY, OLD}, set()),
        (["--label", "TEST", "--match", "*old"], {OLD}, set()),
        (["--kind", "group"], {GROUP}, set()),
    ],
)
def test_what_matches_goes_and_what_a_policy_may_not_take_stays(
    filled: Store, words: list[str], gone: set[str], kept: set[str]
) -> None:
    others = filled.entries("researcher")
    answer = close(filled, *words)
    assert (answer.code, status(answer, "closed"), status(answer, "kept")) == (0, gone, kept)
    assert all(row["reason"] == "protected" and row["ok"] for row in answer.data["results"] if row["status"] == "kept")
    assert set(filled.entries()) == set(AGES) - gone
    assert filled.entries("researcher") == others


def test_another_agent_is_named(filled: Store) -> None:
    answer = close(filled, "--agent", "researcher", "--kind", "cron-run")
    assert answer.rows == [(RUN.replace(LEAD, RESEARCHER), "closed")]
    assert set(filled.entries()) == set(AGES)


def test_names_and_filters_must_both_hold(filled: Store) -> None:
    answer = close(filled, "kelly", "old", GROUP, "--older-than", "2d")
    assert dict(answer.rows) == {KELLY: "kept", OLD: "closed", GROUP: "closed"}
    (row,) = [row for row in answer.data["results"] if row["status"] == "kept"]
    assert (row["input"], row["reason"], row["error"]) == ("kelly", "filter", "not --older-than 2d")


def test_of_two_sessions_that_a_name_stands_for_only_the_one_that_matches_goes(filled: Store) -> None:
    young = LEAD + "old"
    filled.add((young, {"sessionId": session_id(young), "updatedAt": int(time.time() * 1000)}))
    answer = close(filled, "old", "--older-than", "2d")
    assert dict(answer.rows) == {OLD: "closed", young: "kept"}
    assert OLD not in filled.entries()
    assert young in filled.entries()


def test_a_name_that_is_not_there_is_not_found_whatever_the_filters(filled: Store) -> None:
    assert run_json(CloseProject, "nobody", "--kind", "project", state=filled.state).code == 1


def test_no_match_is_a_failure_and_changes_nothing(filled: Store) -> None:
    before = tree(filled.state)
    answer = close(filled, "--match", "*nobody/*", "--kind", "hook")
    (row,) = answer.data["results"]
    assert (answer.code, row["status"], row["reason"], row["key"]) == (1, "not_found", "filter", None)
    assert row["error"] == "agent project-lead has no such session"
    assert tree(filled.state) == before


def test_how_many_of_each_kind_go_is_said(filled: Store) -> None:
    answer = run_json(CloseProjectBatch, "--dry-run", "--older-than", "1d", "--kind", "cron-run,project,group",
                      state=filled.state)  # fmt: skip
    assert "by kind: 1 group, 1 cron-run, 1 project" in answer.data["warnings"]


def test_more_than_the_limit_needs_a_word(filled: Store) -> None:
    before = tree(filled.state)
    answer = run_json(CloseProjectBatch, "--kind", "project", "--max", "1", state=filled.state)
    assert (answer.code, answer.data["error"]["name"]) == (3, "too_many")
    assert "--kind project" in answer.data["error"]["remedy"]
    assert tree(filled.state) == before


def test_a_run_in_flight_stays(filled: Store) -> None:
    (filled.folder() / f"{session_id(KELLY)}.jsonl").write_text("{}")
    filled.lock_transcript(KELLY)
    assert dict(close(filled, "--kind", "project").rows) == {KELLY: "kept", OLD: "closed", PINNED: "kept"}
    assert dict(close(filled, "--kind", "project", "--force").rows) == {KELLY: "closed", PINNED: "kept"}


@pytest.mark.parametrize("command", [CloseProject, CloseProjectBatch])
def test_neither_name_nor_filter_is_wrong(filled: Store, command: Any) -> None:
    assert run_json(command, state=filled.state).code == 2


def test_what_is_kept_is_not_named_by_a_filter(filled: Store) -> None:
    assert run(KeepOnlySessions, "--kind", "project", state=filled.state).code == 2


def test_what_does_not_match_any_more_under_the_lock_stays_and_that_is_said(filled: Store, between: Between) -> None:
    now = int(time.time() * 1000)
    between(lambda: filled.add((OLD, {**filled.entries()[OLD], "updatedAt": now})))
    answer = run_json(CloseProjectBatch, "--kind", "project,cron-run", "--older-than", "2d", state=filled.state)
    assert (answer.code, dict(answer.rows)) == (0, {RUN: "closed", OLD: "kept", PINNED: "kept"})
    (row,) = [row for row in answer.data["results"] if row["key"] == OLD]
    assert (row["reason"], row["error"]) == ("filter", "it does not match any more")
    assert OLD in filled.entries()


def test_what_is_named_and_does_not_match_any_more_stays(filled: Store, between: Between) -> None:
    now = int(time.time() * 1000)
    between(lambda: filled.add((OLD, {**filled.entries()[OLD], "updatedAt": now})))
    answer = run_json(CloseProjectBatch, "old", RUN, "--older-than", "2d", state=filled.state)
    assert (answer.code, dict(answer.rows)) == (0, {RUN: "closed", OLD: "kept"})
    assert OLD in filled.entries()


def test_a_session_that_was_begun_anew_under_the_lock_stays(filled: Store, between: Between) -> None:
    anew = {"sessionId": session_id("anew"), "updatedAt": int(time.time() * 1000)}
    between(lambda: filled.add((OLD, anew)))
    answer = run_json(CloseProjectBatch, "--match", "*old", "--older-than", "1d", state=filled.state)
    assert (answer.code, answer.rows) == (0, [(OLD, "kept")])
    assert filled.entries()[OLD] == anew


def test_in_a_file_for_all_agents_a_filter_means_one_agent_s_own(filled: Store) -> None:
    index = filled.state / "all.json"
    rows = {**filled.entries(), **filled.entries("researcher"), "global": {}, "bare": {"updatedAt": 1600000000000}}
    write(index, json.dumps(rows))
    for agent in ("project-lead", "researcher", "main"):
        filled.index(agent).unlink(missing_ok=True)
    filled.configure(session={"store": str(index)})
    answer = close(filled, "--older-than", "8d", "--kind", "project,other")
    assert (status(answer, "closed"), status(answer, "kept")) == ({OLD}, {PINNED})
    assert set(json.loads(index.read_bytes())) == set(rows) - {OLD}


def test_the_own_session_that_a_filter_matches_goes_last(filled: Store) -> None:
    (filled.folder() / f"{session_id(KELLY)}.jsonl").write_text("{}")
    filled.lock_transcript(KELLY)
    answer = run_json(CloseProjectBatch, "--dry-run", "--kind", "project", "--self", KELLY, state=filled.state)
    assert dict(answer.rows) == {KELLY: "would_defer", OLD: "would_close", PINNED: "kept"}
    assert "by kind: 2 project" in answer.data["warnings"]


def test_the_session_of_a_job_that_is_gone_is_a_kind_that_may_go(filled: Store) -> None:
    jobs = filled.state / "cron" / "jobs.json"
    jobs.parent.mkdir(exist_ok=True)
    jobs.write_text(json.dumps({"version": 1, "jobs": [{"id": "another"}]}))
    assert close(filled, "--match", "*:cron:n").rows == [(CRON, "closed")]


def test_a_label_is_looked_for_in_the_stores_of_several_agents(filled: Store) -> None:
    theirs = OLD.replace(LEAD, RESEARCHER)
    answer = close(filled, KELLY, RUN, theirs, "--label", "test")
    assert {key for key, status in answer.rows if status == "closed"} == {KELLY, theirs}
