"""The database that all agents share, with cron jobs and worktrees as OpenClaw 2026.9.6 keeps them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from support.moments import BORN
from support.schemas import STATE_SCHEMA

HOUR_MS = 3_600_000


class Refused(Exception):
    """The gateway refuses a call."""


@contextlib.contextmanager
def shared(state: str | Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to the database, made where there is none."""
    path = Path(state, "state", "openclaw.sqlite")
    fresh = not path.exists()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        if fresh:
            connection.executescript(STATE_SCHEMA)
            path.chmod(0o600)
        yield connection


def add_job(state: str | Path, name: str, **more: Any) -> str:
    """Add a cron job that is on, unless told otherwise; return its id."""
    job = {"id": f"job-{name}", "name": name, "agentId": "project-lead", "enabled": True, "updatedAtMs": BORN, **more}
    with shared(state) as connection:
        next_run = json.dumps({"nextRunAtMs": BORN + HOUR_MS})
        values = ("jobs", job["id"], job["enabled"], json.dumps(job), next_run)
        connection.execute("insert into cron_jobs values (?, ?, ?, ?, ?)", values)
    return str(job["id"])


def jobs(state: str | Path) -> dict[str, bool]:
    """Return which jobs are on, by id."""
    with shared(state) as connection:
        return {row["job_id"]: bool(row["enabled"]) for row in connection.execute("select * from cron_jobs")}


def cron(state: str | Path, method: str, params: Mapping[str, Any], now: int) -> dict[str, Any]:
    """Do what the gateway does on `cron.list`, `cron.get` and `cron.update`."""
    with shared(state) as connection:
        if method == "cron.list":
            rows = connection.execute("select * from cron_jobs order by job_id limit ? offset ?", (
                params["limit"], params["offset"]))  # fmt: skip
            return {"jobs": [json.loads(row["job_json"]) for row in rows]}
        row = connection.execute("select * from cron_jobs where job_id = ?", (params["id"],)).fetchone()
        if row is None:
            raise Refused(f"unknown cron job id: {params['id']}")
        job = json.loads(row["job_json"])
        revision = str(job["updatedAtMs"])
        if method == "cron.get":
            return {**job, "state": json.loads(row["state_json"]), "configRevision": revision}
        if params.get("expectedConfigRevision") not in (None, revision):
            raise Refused("cron job definition no longer matches the loaded version")
        job |= {**params["patch"], "updatedAtMs": now}
        state_of_it = {"nextRunAtMs": now + HOUR_MS} if job["enabled"] else {}
        values = (job["enabled"], json.dumps(job), json.dumps(state_of_it), params["id"])
        connection.execute("update cron_jobs set enabled = ?, job_json = ?, state_json = ? where job_id = ?", values)
        return {**job, "state": state_of_it}


def add_worktree(state: str | Path, name: str, path: Path, *provisioned: str) -> None:
    """Record a managed worktree."""
    with shared(state) as connection:
        connection.execute(
            "insert into worktrees values (?, ?, ?, 'session', null, ?, null)",
            (name, str(path), f"openclaw/{name}", json.dumps(provisioned)),
        )
