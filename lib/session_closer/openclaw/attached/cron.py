"""Which session a cron job of OpenClaw speaks to, and when it is due (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_PREFIX = "session:"
_DETACHED = ("isolated", "current")


def targets(job: Mapping[str, Any], default_agent: str) -> frozenset[str]:
    """Return the keys of the sessions that a job is bound to, by OpenClaw's rules: where it runs, where it reports.

    A job that names no agent is the default agent's. Keys are there as the job spells them and in lower case.
    """
    wanted, own = job.get("sessionTarget"), job.get("id")
    names = [job.get("sessionKey")]
    if wanted in _DETACHED:
        names.append(f"cron:{own}")
    elif isinstance(wanted, str) and wanted.startswith(_PREFIX):
        names.append(wanted.removeprefix(_PREFIX))
    agent = job.get("agentId")
    agent = agent if isinstance(agent, str) and agent else default_agent
    found: set[str] = set()
    for name in names:
        if isinstance(name, str) and name.strip():
            key = name.strip() if name.strip().lower().startswith("agent:") else f"agent:{agent}:{name.strip()}"
            found |= {key, key.lower()}
    return frozenset(found)


def due(state: Mapping[str, Any]) -> str:
    """Return when a job runs next, in words, "" where it is not planned."""
    at = state.get("nextRunAtMs")
    if type(at) is not int or not 0 < at < 1 << 48:
        return ""
    return f"next run {datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec='seconds').replace('+00:00', 'Z')}"
