"""cleanup-sessions and what changes between its first look and the lock, and rows that are ahead of the clock."""

from __future__ import annotations

import time
from typing import Any

import pytest
from session_closer.cli.commands.cleanup_sessions import CleanupSessions
from session_closer.cli.commands.keep_only_sessions import KeepOnlySessions
from support.commands import Answer, run_json
from support.keys import LEAD
from support.stores import Store
from support.worker import Between

DAY = 86400.0
OLD, YOUNG = LEAD + "subagent:old", LEAD + "subagent:young"


def put(store: Store, key: str, seconds: float, **more: Any) -> None:
    """Add a session that was idle for so long."""
    store.add((key, store.session(key, **{"updatedAt": int((time.time() - seconds) * 1000), **more})))


def clean(store: Store, *words: str) -> Answer:
    return run_json(CleanupSessions, "--agent", "project-lead", *words, state=store.state)


@pytest.mark.parametrize("rule", [("--stale", "subagent=24h"), ("--fix-missing",), ("--max-entries", "15")])
def test_a_session_that_was_used_in_between_is_not_old(store: Store, between: Between, rule: tuple[str, ...]) -> None:
    put(store, OLD, 3 * DAY, spoken="--fix-missing" not in rule)
    put(store, YOUNG, 2 * DAY)
    between(lambda: store.add((OLD, {**store.entries()[OLD], "updatedAt": int((time.time() + 1) * 1000)})))
    answer = clean(store, *rule, "--unknown-age-is-old")
    assert OLD in store.entries()
    assert OLD not in [row["key"] for row in answer.data["results"] if row["status"] == "closed"]


def test_of_many_agents_a_session_that_was_used_in_between_is_not_old(store: Store, between: Between) -> None:
    theirs = "agent:researcher:subagent:"
    put(store, OLD, 3 * DAY)
    for name in ("old", "older"):
        row = store.session(theirs + name, agent="researcher", updatedAt=int((time.time() - 3 * DAY) * 1000))
        store.add((theirs + name, row), agent="researcher")
    used = {**store.entries("researcher")[theirs + "old"], "updatedAt": int((time.time() + 1) * 1000)}
    between(lambda: store.add((theirs + "old", used), agent="researcher"))
    answer = run_json(CleanupSessions, "--stale", "subagent=24h", state=store.state)
    gone = {row["key"] for row in answer.data["results"] if row["status"] == "closed"}
    assert {OLD, theirs + "older"} <= gone
    assert theirs + "old" not in gone
    assert store.entries("researcher")[theirs + "old"] == used


@pytest.mark.parametrize("rule", [("--stale", "subagent=0s"), ("--fix-missing",)])
def test_a_session_ahead_of_the_clock_is_not_old(store: Store, rule: tuple[str, ...]) -> None:
    put(store, OLD, -DAY, spoken=False)
    answer = clean(store, *rule, "--unknown-age-is-old")
    assert OLD in store.entries()
    assert OLD not in [row["key"] for row in answer.data["results"]]


@pytest.mark.parametrize("key", ["", " "])
def test_a_row_without_a_name_stays(store: Store, key: str) -> None:
    store.add((key, {"sessionId": "nameless", "updatedAt": 1}))
    for answer in (
        clean(store, "--stale", "other=1h,project=1h", "--max-entries", "1", "--unknown-age-is-old", "--yes"),
        run_json(KeepOnlySessions, "--agent", "project-lead", "cron:nightly", "--yes", state=store.state),
    ):
        assert answer.code == 0
        assert key in store.entries()
    assert set(store.entries()) == {key, LEAD + "main", LEAD + "cron:nightly"}


def test_an_age_of_several_parts_in_the_configuration_is_an_age(store: Store) -> None:
    store.configure(session={"maintenance": {"pruneAfter": "1d12h"}})
    put(store, OLD, 1.6 * DAY)
    put(store, YOUNG, 1.4 * DAY)
    answer = clean(store, "--maintenance", "--dry-run")
    assert answer.code == 0
    assert (OLD, "would_close") in answer.rows
    assert YOUNG not in [key for key, _ in answer.rows]
