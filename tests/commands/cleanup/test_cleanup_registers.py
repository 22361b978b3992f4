"""What OpenClaw keeps beside a store counts: cron jobs, bound conversations, runs of subagents, and what time it is."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.close_project import CloseProject
from session_closer.cli.commands.list_sessions import ListSessions
from support.cleanup import DAY, HOUR, OLD_CHILD, STALE, ago, all_keys, clean, gone, put, summary
from support.clock import Ahead, handed
from support.commands import run, run_json
from support.keys import LEAD
from support.stores import Store
from support.trees import write

JOB, LOST = LEAD + "cron:nightly", LEAD + "cron:lost"
TALK = {
    LEAD + "telegram:slash:4711", LEAD + "discord:slash:1", LEAD + "dreaming", LEAD + "dreaming:light",
    LEAD + "wecom:wangzihao", LEAD + "session-1774095193327", LEAD + "dashboard:0b9f7f2e",
}  # fmt: skip


def state_database(store: Store, table: str, *rows: dict[str, Any]) -> None:
    """Write the database that all agents share, with one table of these rows."""
    path = store.state / "state" / "openclaw.sqlite"
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"create table {table} ({', '.join(rows[0])})")
        for row in rows:
            marks = ", ".join("?" * len(row))
            connection.execute(f"insert into {table} values ({marks})", list(row.values()))


def in_json(store: Store, name: str, content: Any) -> None:
    path = store.state / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(content))


def listed(store: Store, key: str) -> dict[str, Any]:
    rows = run_json(ListSessions, "--limit", "all", state=store.state).data["sessions"]
    return dict(next(row for row in rows if row["key"] == key))


# Conversation


def test_conversation_is_never_stale_by_kind(filled: Store) -> None:
    for key in TALK:
        put(filled, key, 400 * DAY)
    put(filled, LEAD + "dreaming-narrative-rem-1", 400 * DAY)
    words = ("--older-than", "1d", "--max-entries", "1", "--max-disk", "1b", "--yes")
    assert LEAD + "dreaming-narrative-rem-1" in gone(clean(filled, *words))
    assert all_keys(filled) >= TALK


@pytest.mark.parametrize("account", ["main", "group", "channel", "dm", "thread", "topic", "work"])
def test_a_peer_of_any_account_is_left_behind_by_the_scope(filled: Store, account: str) -> None:
    key = f"{LEAD}telegram:{account}:direct:104"
    put(filled, key, DAY)
    assert key in gone(clean(filled, "--fix-dm-scope"))


# Cron jobs


def jobs_in_json(store: Store, *names: str) -> None:
    in_json(store, "cron/jobs.json", {"version": 1, "jobs": [{"id": name} for name in names]})


def jobs_in_database(store: Store, *names: str) -> None:
    state_database(store, "cron_jobs", *({"store_key": "default", "job_id": name} for name in names))


@pytest.mark.parametrize("told", [jobs_in_json, jobs_in_database])
def test_the_session_of_a_job_that_is_gone_is_a_kind_of_its_own(filled: Store, told: Any) -> None:
    put(filled, LOST, 400 * DAY)
    told(filled, "Nightly", "other")
    assert (listed(filled, LOST)["kind"], listed(filled, LOST).get("protected")) == ("cron-orphan", None)
    assert (listed(filled, JOB)["kind"], listed(filled, JOB).get("protected")) == ("cron", "cron")
    assert gone(clean(filled, "--dry-run"), "would_close") == STALE
    answer = clean(filled, "--stale", "cron-orphan=30d")
    assert (gone(answer), answer.data["results"][0]["kind"]) == ({LOST}, "cron-orphan")


def test_jobs_of_a_list_that_was_moved_into_a_database_are_all_there(filled: Store) -> None:
    put(filled, LOST, 400 * DAY)
    jobs_in_json(filled, "lost")
    jobs_in_database(filled, "nightly")
    assert clean(filled, "--stale", "cron-orphan=30d").data["results"] == []


@pytest.mark.parametrize("text", [None, "nonsense", "[]", "{}", '{"jobs": 5}'])
def test_without_a_list_of_jobs_no_job_is_gone(filled: Store, text: str | None) -> None:
    put(filled, LOST, 400 * DAY)
    if text is not None:
        in_json(filled, "cron/jobs.json", None)
        write(filled.state / "cron" / "jobs.json", text)
    assert listed(filled, LOST)["kind"] == "cron"
    assert clean(filled, "--stale", "cron-orphan=30d").data["results"] == []


# Bound conversations


def binding(key: str, **more: Any) -> dict[str, Any]:
    return {
        "bindingId": "b",
        "targetSessionKey": key,
        "targetKind": "subagent",
        "status": "active",
        "boundAt": 1,
        **more,
    }


BOUND_IN = {
    "bindings/current-conversations.json": "list",
    "telegram/thread-bindings-default.json": "list",
    "matrix/accounts/a/thread-bindings.json": "list",
    "discord/thread-bindings.json": "object",
    "state": "database",
}


def bind(store: Store, place: str, record: dict[str, Any]) -> None:
    how = BOUND_IN[place]
    if how == "database":
        row = {"record_json": json.dumps(record), "expires_at": record.get("expiresAt")}
        state_database(store, "current_conversation_bindings", row)
    else:
        in_json(store, place, {"version": 1, "bindings": [record] if how == "list" else {"thread:1": record}})


@pytest.mark.parametrize("place", BOUND_IN)
def test_a_subagent_that_a_conversation_leads_to_stays(filled: Store, place: str) -> None:
    bind(filled, place, binding(OLD_CHILD))
    assert listed(filled, OLD_CHILD).get("protected") == "bound"
    answer = clean(filled, "--max-entries", "1", "--yes")
    assert OLD_CHILD in filled.listed()
    assert summary(answer)["spared"]["bound"] == 1
    # A policy leaves it, a person may close it.
    assert run_json(CloseProject, OLD_CHILD, state=filled.state).code == 0


@pytest.mark.parametrize(
    "ended",
    [
        {"expiresAt": ago(HOUR)},
        {"idleTimeoutMs": 60_000, "lastActivityAt": ago(HOUR)},
        {"maxAgeMs": 60_000, "boundAt": ago(HOUR)},
        {"status": "ended"},
    ],
)
@pytest.mark.parametrize("place", ["bindings/current-conversations.json", "state"])
def test_a_binding_that_has_ended_keeps_nothing(filled: Store, place: str, ended: dict[str, Any]) -> None:
    bind(filled, place, binding(OLD_CHILD, **ended))
    assert OLD_CHILD in gone(clean(filled))


# Runs


def run_in_json(store: Store, **more: Any) -> None:
    entry = {"runId": "r", "childSessionKey": OLD_CHILD, **more}
    in_json(store, "subagents/runs.json", {"version": 2, "runs": {"r": entry}})


def run_in_database(store: Store, **more: Any) -> None:
    names = {
        "child_session_key": "childSessionKey", "created_at": "createdAt", "started_at": "startedAt",
        "session_started_at": "sessionStartedAt", "ended_at": "endedAt", "run_timeout_seconds": "runTimeoutSeconds",
    }  # fmt: skip
    entry = {"childSessionKey": OLD_CHILD, **more}
    state_database(store, "subagent_runs", {column: entry.get(name) for column, name in names.items()})


@pytest.mark.parametrize("told", [run_in_json, run_in_database])
@pytest.mark.parametrize(
    ("entry", "runs"),
    [
        ({"createdAt": ago(HOUR)}, True),
        ({"createdAt": ago(DAY), "startedAt": ago(HOUR)}, True),
        ({"createdAt": ago(3 * HOUR)}, False),
        ({"createdAt": ago(3 * HOUR), "runTimeoutSeconds": 4 * 3600}, True),
        ({"createdAt": ago(HOUR), "endedAt": ago(60)}, False),
    ],
)
def test_with_the_gateway_down_a_run_that_openclaw_has_not_ended_is_in_flight(
    filled: Store, told: Any, entry: dict[str, Any], runs: bool
) -> None:
    told(filled, **entry)
    assert listed(filled, OLD_CHILD).get("protected") == ("running" if runs else None)
    named = run_json(CloseProject, OLD_CHILD, "--dry-run", state=filled.state).data["results"][0]
    assert (named["status"], named["reason"]) == (("refused", "running") if runs else ("would_close", None))
    assert (OLD_CHILD in gone(clean(filled))) is not runs


@pytest.mark.parametrize(
    "content", [[], {"runs": []}, {"runs": {"a": 5, "b": {"childSessionKey": 7}}}, {"runs": {"": {}}}]
)
def test_a_file_of_runs_that_makes_no_sense_harms_nobody(filled: Store, content: Any) -> None:
    in_json(filled, "subagents/runs.json", content)
    in_json(filled, "bindings/current-conversations.json", content)
    assert gone(clean(filled)) == STALE


# Numbers, and limits that cannot be met


def test_the_newest_of_each_job_and_of_each_parent_stay(filled: Store, tmp_path: Path) -> None:
    for days in (2, 3, 4):
        put(filled, f"{LEAD}cron:hourly:run:{days}", days * DAY)
        put(filled, f"{LEAD}subagent:of-main-{days}", days * DAY, spawnedBy=LEAD + "main")
        put(filled, f"{LEAD}subagent:of-kelly-{days}", days * DAY, parentSessionKey=LEAD + "kelly")
    oldest = {LEAD + name for name in ("cron:hourly:run:4", "subagent:of-main-4", "subagent:of-kelly-4")}
    path = tmp_path / "policy.toml"
    write(path, 'keep-last = 2\n[stale]\ncron-run = "24h"\nsubagent = "24h"\n')
    for words in (("--policy", str(path)), ("--keep-last", "2")):
        assert gone(clean(filled, *words, "--dry-run"), "would_close") - {OLD_CHILD} == oldest
    assert "keep-last 2" in clean(filled, "--keep-last", "2").data["rules"]


def test_a_limit_that_cannot_be_met_is_said_in_text_too(filled: Store) -> None:
    put(filled, LEAD + "young", 60)
    words = ("--agent", "project-lead", "--max-entries", "1", "--max-disk", "1b", "--yes")
    shown = run(CleanupSessions, *words, "--dry-run", state=filled.state)
    said = [line for line in shown.stderr.splitlines() if line.startswith("warning: agent project-lead: ")]
    assert [word for word in ("--max-entries 1", "--max-disk 1B") if any(word in line for line in said)] == [
        "--max-entries 1", "--max-disk 1B",
    ]  # fmt: skip
    answer = clean(filled, *words)
    assert LEAD + "young" in filled.listed()
    assert sum("more than --max" in warning for warning in answer.data["warnings"]) == 2


# What time it is


def test_rows_from_far_ahead_are_old_only_where_that_is_asked_for(filled: Store) -> None:
    key = LEAD + "subagent:ahead"
    put(filled, key, -40 * DAY)
    assert summary(clean(filled, "--dry-run"))["spared"]["unknown-age"] == 1
    assert key in gone(clean(filled, "--unknown-age-is-old"))


def test_by_a_clock_that_was_set_back_no_row_is_old_for_being_ahead(filled: Store) -> None:
    put(filled, LEAD + "subagent:new", 0)
    assert clean(filled, "--agent", "researcher").code == 0
    with handed(Ahead(seconds=-40 * DAY)):
        answer = clean(filled, "--unknown-age-is-old")
    assert (answer.code, answer.data["results"]) == (0, [])
    assert any("the clock is behind the last run" in warning for warning in answer.data["warnings"])
