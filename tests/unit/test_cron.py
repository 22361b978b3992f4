"""Which sessions a cron job is bound to, by OpenClaw's rules."""

from __future__ import annotations

from typing import Any

import pytest
from session_closer.openclaw.attached import cron

KEY = "agent:lead:project-one"


@pytest.mark.parametrize(
    ("job", "bound"),
    [
        ({"sessionTarget": f"session:{KEY}"}, {KEY}),
        ({"sessionTarget": "session:project-one"}, {KEY}),
        ({"sessionTarget": "session: Project-One "}, {KEY}),
        ({"sessionTarget": "session:agent:Lead:project-one"}, {KEY}),
        ({"sessionTarget": "isolated"}, {"agent:lead:cron:7"}),
        ({"sessionTarget": "isolated", "sessionKey": KEY}, {"agent:lead:cron:7", KEY}),
        ({"sessionTarget": "current", "sessionKey": KEY}, {"agent:lead:cron:7", KEY}),
        ({"sessionTarget": "main", "sessionKey": KEY}, {KEY}),
        ({"sessionTarget": "session:agent:lead:other", "sessionKey": KEY}, {"agent:lead:other", KEY}),
        ({"sessionTarget": "main"}, set()),
        ({"sessionTarget": 7, "sessionKey": ["x"]}, set()),
    ],
)
def test_a_job_is_bound_to_where_it_runs_and_to_where_it_reports(job: dict[str, Any], bound: set[str]) -> None:
    with_agent = cron.targets({"id": "7", "agentId": "lead", **job}, "main")
    assert {key for key in with_agent if key == key.lower()} == bound
    assert cron.targets({"id": "7", **job}, "lead") == with_agent
