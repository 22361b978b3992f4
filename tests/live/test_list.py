"""list-sessions beside a real gateway: it shows what is in the store, as the gateway does, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from .gateway import wait_until
from .lab import AGENTS, Lab, Result, create, end_run, run, start_run
from .snapshots import everything, rows, settled

pytestmark = pytest.mark.live

KINDS = {
    "agent:project-lead:main": "main",
    "agent:project-lead:list-one": "project",
    "agent:project-lead:subagent:5c1d9f0e-0000-4000-8000-000000000001": "subagent",
    "agent:project-lead:cron:nightly:run:5c1d9f0e-0000-4000-8000-000000000002": "cron-run",
    "agent:project-lead:hook:mail:1": "hook",
    "agent:main:project-list": "project",
    "agent:main:list-two": "other",
}
RUNS = "agent:main:list-that-runs"


def listed(lab: Lab, *words: str) -> Result:
    result = run(lab, "list-sessions", *words)
    assert result.code == 0, result
    return result


def found_now(lab: Lab) -> dict[str, Any]:
    """Return what a list says of the session that was run."""
    return next(row for row in listed(lab, "--limit", "all").json["sessions"] if row["key"] == RUNS)


def ageless(result: Result) -> list[dict[str, Any]]:
    """Return the sessions of a list without what time alone changes."""
    return [{name: value for name, value in row.items() if name != "ageSeconds"} for row in result.json["sessions"]]


def test_exactly_the_sessions_of_the_store_are_listed(shared: Lab) -> None:
    with shared.rpc() as rpc:
        made = create(rpc, *KINDS)
        settled(shared)
        theirs = rows(rpc)
        before = everything(shared)
        result = listed(shared, "--limit", "all")
        assert everything(shared) == before
        assert rows(rpc) == theirs
    assert (result.json["warnings"], result.json["gateway"]["state"]) == ([], "up")
    ours = {row["key"]: row for row in result.json["sessions"]}
    entries = {key: entry for agent in AGENTS for key, entry in shared.entries(agent).items()}
    assert set(ours) == set(entries) >= set(made)
    assert len(result.json["sessions"]) == result.json["totalCount"] == len(entries)
    for key, entry in entries.items():
        assert ours[key]["sessionId"] == entry["sessionId"]
        assert ours[key]["updatedAt"] == entry["updatedAt"]
        assert (ours[key]["running"], ours[key]["archived"]) == (False, False)
        assert ours[key]["agent"] == key.split(":")[1]
    for key, kind in KINDS.items():
        assert (ours[key]["kind"], ours[key]["sessionId"]) == (kind, made[key])
        assert ours[key]["transcriptBytes"] >= len(shared.store.said(key.split(":")[1], key).encode()) * 0.9
    assert set(theirs) <= set(ours)
    for key, row in theirs.items():
        assert (ours[key]["sessionId"], ours[key]["updatedAt"]) == (row["sessionId"], row["updatedAt"])
    times = [row["updatedAt"] for row in result.json["sessions"]]
    assert times == sorted(times, reverse=True)
    assert {store["era"] for store in result.json["stores"]} == {shared.era}


def test_a_session_with_a_run_in_flight_is_running(shared: Lab) -> None:
    with shared.rpc() as rpc:
        create(rpc, RUNS)
        start_run(rpc, shared, "main", RUNS)
        # One that is cut off before it is written down is never written down as ended.
        wait_until(lambda: shared.entries("main")[RUNS].get("status") == "running", 60, "a run in the store")
        try:
            result = listed(shared, "--agent", "main", "--active", "60", "--kind", "other")
        finally:
            end_run(rpc, shared, "main", RUNS)
        found = {row["key"]: row for row in result.json["sessions"]}
        assert (found[RUNS]["running"], found[RUNS]["protected"]) == (True, "running")
        wait_until(lambda: not found_now(shared)["running"], 30, "a run that has ended")
        assert "protected" not in found_now(shared)


@pytest.mark.depth
def test_without_its_gateway_the_same_is_listed(lab: Lab) -> None:
    lab.start()
    with lab.rpc() as rpc:
        create(rpc, *KINDS)
    up = listed(lab)
    lab.stop()
    before = everything(lab)
    down = listed(lab)
    assert everything(lab) == before
    assert (up.json["gateway"]["state"], down.json["gateway"]["state"]) == ("up", "down")
    assert ageless(down) == ageless(up)
