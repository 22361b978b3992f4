"""What OpenClaw keeps of sessions beside their store says which of them stay, whatever else stands there."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from session_closer.core.model import Session, Snapshot
from session_closer.openclaw import registers
from session_closer.openclaw.home import Home

NOW = 1_790_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
KEY = "agent:lead:subagent:1"


def ago(seconds: float) -> float:
    """Return the moment so many seconds before NOW, in ms."""
    return (NOW - seconds) * 1000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(str(tmp_path), "--state-dir", {})


def in_json(home: Home, name: str, content: Any, *, age: float = 0.0) -> Path:
    path = Path(home.state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    os.utime(path, (NOW - age,) * 2)
    return path


def in_database(home: Home, *statements: str) -> None:
    path = Path(home.state_database)
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    ("run", "age", "runs"),
    [
        ({}, HOUR, True),
        ({}, 3 * HOUR, False),
        ({"createdAt": 1e300}, 3 * HOUR, False),
        ({"createdAt": True}, HOUR, True),
        ({"createdAt": ago(DAY), "startedAt": ago(DAY), "sessionStartedAt": ago(HOUR)}, DAY, True),
        ({"createdAt": ago(HOUR), "runTimeoutSeconds": 60}, DAY, True),
        ({"createdAt": ago(3 * HOUR), "runTimeoutSeconds": 3 * HOUR - MINUTE / 2}, DAY, True),
        ({"createdAt": ago(3 * HOUR), "runTimeoutSeconds": 3 * HOUR - 2 * MINUTE}, DAY, False),
        ({"createdAt": ago(HOUR), "endedAt": True}, DAY, True),
        ({"createdAt": ago(HOUR), "childSessionKey": f" {KEY} "}, DAY, True),
    ],
)
def test_a_run_is_in_flight_until_it_has_ended_or_nobody_can_wait_for_it(
    home: Home, run: dict[str, Any], age: float, runs: bool
) -> None:
    in_json(home, "subagents/runs.json", {"runs": {"r": {"childSessionKey": KEY, **run}}}, age=age)
    assert registers.running(home, NOW) == (frozenset([KEY]) if runs else frozenset())


@pytest.mark.parametrize(
    ("record", "holds"),
    [
        ({}, True),
        ({"status": "active"}, True),
        ({"status": "paused"}, False),
        ({"targetSessionKey": f" {KEY} "}, True),
        ({"expiresAt": ago(-HOUR)}, True),
        ({"expiresAt": ago(0)}, False),
        ({"idleTimeoutMs": 0, "lastActivityAt": ago(DAY)}, True),
        ({"maxAgeMs": 0, "boundAt": ago(DAY)}, True),
        ({"idleTimeoutMs": 60_000}, True),
        ({"expiresAt": ago(-HOUR), "maxAgeMs": 60_000, "boundAt": ago(HOUR)}, False),
    ],
)
def test_a_conversation_is_bound_as_long_as_nothing_ends_it(home: Home, record: dict[str, Any], holds: bool) -> None:
    in_json(home, "bindings/any.json", {"bindings": [{"targetSessionKey": KEY, **record}]})
    assert registers.bound(home, NOW) == (frozenset([KEY]) if holds else frozenset())


def test_of_what_a_channel_keeps_only_its_bindings_of_threads_are_looked_at(home: Home) -> None:
    for name in ("telegram/cache.json", "telegram/thread-bindings.txt", "elsewhere/thread-bindings.json"):
        in_json(home, name, {"bindings": [{"targetSessionKey": KEY}]})
    assert registers.bound(home, NOW) == frozenset()


def test_what_a_binding_says_of_its_end_itself_holds(home: Home) -> None:
    records = ({"targetSessionKey": "own", "expiresAt": ago(-HOUR)}, {"targetSessionKey": "column"})
    rows = [f"insert into current_conversation_bindings values ('{json.dumps(one)}', {ago(HOUR)})" for one in records]
    in_database(home, "create table current_conversation_bindings (record_json, expires_at)", *rows)
    assert registers.bound(home, NOW) == frozenset(["own"])


def test_a_database_that_is_none_or_has_other_columns_binds_nobody(home: Home) -> None:
    in_database(home, "create table current_conversation_bindings (record_json)")
    assert registers.bound(home, NOW) == frozenset()
    Path(home.state_database).write_bytes(b"no database" * 100)
    assert registers.bound(home, NOW) == frozenset()


def test_a_view_which_may_be_a_query_without_an_end_is_not_asked(home: Home) -> None:
    in_database(home, "create view cron_jobs as select 'nightly' as job_id")
    assert registers.jobs(home) is None


def test_jobs_are_those_of_the_file_and_of_the_database_as_their_keys_name_them(home: Home) -> None:
    assert registers.jobs(home) is None
    in_json(home, "cron/jobs.json", {"jobs": [{"id": " Nightly "}, {"id": 7}, 5]})
    assert registers.jobs(home) == {"nightly"}
    in_database(home, "create table cron_jobs (job_id)", "insert into cron_jobs values (' Hourly ')")
    assert registers.jobs(home) == {"nightly", "hourly"}
    Path(home.state, "cron", "jobs.json").unlink()
    assert registers.jobs(home) == {"hourly"}


def test_a_list_of_jobs_that_cannot_be_read_now_is_an_error_and_no_empty_list(home: Home) -> None:
    path = in_json(home, "cron/jobs.json", {"jobs": []})
    assert home.cron_jobs == str(path)
    problem = PermissionError(13, "Permission denied", str(path))
    with mock.patch.object(registers.files, "read", side_effect=problem), pytest.raises(PermissionError):
        registers.jobs(home)


def test_a_file_that_is_nested_too_deep_binds_nobody(home: Home) -> None:
    path = in_json(home, "bindings/any.json", {})
    path.write_text("[" * 100_000)
    assert registers.bound(home, NOW) == frozenset()


def test_each_session_is_marked_with_what_is_said_of_it_alone(home: Home) -> None:
    keys = [KEY, "agent:lead:cron:gone", "agent:lead:cron:there", "agent:lead:cron:both", "agent:lead:x"]
    snapshot = Snapshot("lead", "/s/i", "/s", {key: Session("lead", key, None, None) for key in keys})
    records = [{"targetSessionKey": key} for key in (KEY, "agent:lead:cron:both", "agent:lead:nobody")]
    in_json(home, "bindings/any.json", {"bindings": records})
    assert not any(one.orphaned for one in registers.marked(home, snapshot, NOW).sessions.values())
    in_json(home, "cron/jobs.json", {"jobs": [{"id": "there"}]})
    found = registers.marked(home, snapshot, NOW).sessions
    assert list(found) == keys
    assert [(one.orphaned, one.bound) for one in found.values()] == [
        (False, True), (True, False), (False, False), (True, True), (False, False),
    ]  # fmt: skip
