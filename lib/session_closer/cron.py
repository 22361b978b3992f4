"""Which session a cron job of OpenClaw speaks to, and when it is due (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_PREFIX = "session:"


def target(job: Mapping[str, Any]) -> str:
    """Return the key of the session that a job speaks to, "" where it has none of its own."""
    wanted, key = job.get("sessionTarget"), job.get("sessionKey")
    if isinstance(wanted, str) and wanted.startswith(_PREFIX):
        return wanted.removeprefix(_PREFIX)
    if isinstance(key, str) and key:
        return key
    agent, own = job.get("agentId"), job.get("id")
    if isinstance(agent, str) and isinstance(own, str) and wanted in ("isolated", "current"):
        return f"agent:{agent}:cron:{own}"
    return ""


def due(state: Mapping[str, Any]) -> str:
    """Return when a job runs next, in words, "" where it is not planned."""
    at = state.get("nextRunAtMs")
    if type(at) is not int or not 0 < at < 1 << 48:
        return ""
    return f"next run {datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}"
